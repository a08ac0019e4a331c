//! Copying a process's memory while it runs, so that little is left to send while it stands still.

use super::Image;
use crate::history::millis;
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::pagemap::PAGE;
use brant_migration::protocol::{ImageAnswer, ImagePart};
use brant_migration::rounds::{self, Next, Round};
use brant_sys::child::Tool;
use brant_types::migration::RoundRecord;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the target may take to merge a round.
const MERGING: Duration = Duration::from_secs(60);

/// How often all is sent again while the process runs, before it is sent while it stands still.
const MOST_RESTARTS: u32 = 2;

/// Whether this kernel remembers which pages were written to; asked once, for it costs a start of CRIU.
pub fn can_track_memory() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let outcome = Tool::new("criu").args(["check", "--feature", "mem_dirty_track"]).run();
        if let Err(error) = &outcome {
            tracing::warn!("memory is not copied before a process stops: {error:#}");
        }
        outcome.is_ok()
    })
}

/// Sends rounds until [`rounds::next`] says that it is time to stop the process. It runs on throughout, but for the
/// moment in which CRIU notes which pages there are.
pub(crate) fn run(image: &mut Image, resident_kib: u64, link: &mut TcpStream) -> Result<Vec<Round>> {
    let pid = image.of.pid();
    let (mut all, mut done) = (Vec::new(), Vec::new());
    let mut restarts = 0;
    if !can_track_memory() {
        return Ok(all);
    }
    link.set_read_timeout(Some(MERGING)).context("setting up the link")?;
    loop {
        match rounds::next((resident_kib << 10) / PAGE, &done) {
            Next::Freeze(why) => {
                tracing::debug!(pid, ?why, rounds = done.len(), "copied while it ran");
                return Ok(all);
            }
            Next::Round => {
                let start = Instant::now();
                let streamed = image.pre_dump(link)?;
                crate::image::send(link, &ImagePart::RoundOver)?;
                let missing = wait_merged(link)?;
                let round = Round { pages: streamed.pages, bytes: streamed.bytes, took: start.elapsed() };
                all.push(round);
                done.push(round);
                if missing > 0 {
                    tracing::debug!(pid, missing, "pages are missing");
                    image.start_over();
                    done.clear();
                    restarts += 1;
                }
                if restarts > MOST_RESTARTS {
                    return Ok(all);
                }
            }
        }
    }
}

/// Gives the number of pages that are missing there.
fn wait_merged(link: &mut TcpStream) -> Result<u64> {
    match wire::receive(link).context("waiting for the target to take a round")? {
        Some(ImageAnswer::Merged { missing }) => Ok(missing),
        None => bail!("the target takes no more of it"),
    }
}

/// A round as it is remembered.
pub(crate) fn record(round: &Round) -> RoundRecord {
    RoundRecord { pages: round.pages, bytes: round.bytes, ms: millis(round.took) }
}
