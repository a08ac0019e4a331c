//! The process moves on: it is frozen, migrationd has its image made, and what lay in its pipes goes along.

use crate::streams::Pipes;
use anyhow::{Context, Result};
use brant_migration::protocol::FromProcess;
use brant_migration::session::relay;
use brant_migration::stream::{StreamEvent, StreamId, StreamWord};
use brant_migrationd::criu::{self, Links};
use brant_migrationd::dump;
use brant_migrationd::guest::capsule::{DEPARTURE, WORK_GROUP};
use brant_migrationd::streams::{Accounts, Streams};
use brant_sys::cgroup::Cgroup;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// How long the kernel may take to stop or start the processes.
const SOON: Duration = Duration::from_secs(10);
/// The file beside an image that was made in a capsule.
const LUGGAGE: &str = "luggage.bin";

/// What an image that was made in a capsule does not hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Luggage {
    /// The capsule's end of the words with the deputy.
    pub(crate) words: relay::End<FromProcess>,
    /// How the image names the pipes, in the order of the streams: they were made in that capsule.
    pub(crate) pipes: Vec<u64>,
    /// What lay in the pipes that the process reads from.
    pub(crate) lay_in_pipes: Vec<(StreamId, Vec<u8>)>,
    /// What was on its way into them.
    pub(crate) on_the_way: Vec<(StreamId, Vec<u8>)>,
    /// Which of them come to their end after that.
    pub(crate) ended: Vec<StreamId>,
    /// What the streams owe and are owed.
    pub(crate) accounts: Accounts,
    /// What was asked for of shared pipes, and has not come, bytes.
    pub(crate) asked: Vec<(StreamId, u32)>,
    /// What the deputy was told last.
    pub(crate) told: Told,
}

/// What the deputy knows of the process's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// That it waits for its terminal.
    pub(crate) wants_input: bool,
    /// That its group has more than one process.
    pub(crate) family: bool,
    /// That it is stopped, or is not news to it.
    pub(crate) stopped: bool,
}

impl Luggage {
    /// What came with the image; nothing for one that was made at home.
    pub(crate) fn unpack(images: &Path) -> Result<Option<Self>> {
        let path = images.join(LUGGAGE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).context("reading what came with the image")?;
        postcard::from_bytes(&text).context("understanding what came with the image").map(Some)
    }

    /// Makes the streams go on from where they were.
    pub(crate) fn settle(&self, streams: &mut Streams) {
        streams.settle(&self.accounts);
        for (stream, bytes) in &self.lay_in_pipes {
            streams.write_again(*stream, bytes.clone());
        }
        let on_the_way = self.on_the_way.iter().cloned();
        let ended = self.ended.iter().map(|stream| (*stream, StreamEvent::End));
        for (stream, event) in
            on_the_way.map(|(stream, bytes)| (stream, StreamEvent::Data(bytes))).chain(ended)
        {
            streams.take(StreamWord { stream, event });
        }
    }
}

/// What was taken from processes that leave.
#[derive(Debug)]
pub(crate) struct Departed {
    links: Links,
    lay_in_pipes: Vec<(StreamId, Vec<u8>)>,
    on_the_way: Vec<(StreamId, Vec<u8>)>,
}

/// The group that the process and its descendants are in.
fn work() -> Cgroup {
    Cgroup::at(format!("/proc/self/fd/{WORK_GROUP}"))
}

/// The file through which a process gets into that group.
pub(crate) fn processes() -> Result<File> {
    let path = work().path().join("cgroup.procs");
    File::options().write(true).open(path).context("opening the group of the process")
}

/// Their numbers, in here.
pub(crate) fn members() -> Vec<i32> {
    work().processes().unwrap_or_default()
}

/// Stops them.
pub(crate) fn freeze() -> Result<()> {
    work().freeze(SOON).context("freezing the process")
}

/// Ends them.
pub(crate) fn kill() {
    if let Err(error) = work().kill() {
        eprintln!("capsule-init: ending the process: {error}");
    }
}

/// Lets them go on if something has stopped them: a CRIU that has lost its daemon ends by freezing them once more.
pub(crate) fn thaw_if_frozen() -> Result<()> {
    let state = work().get("cgroup.freeze").context("looking whether the process is frozen")?;
    if state.trim() == "0" { Ok(()) } else { thaw() }
}

/// Lets them go on.
pub(crate) fn thaw() -> Result<()> {
    work().thaw(SOON).context("thawing the process")
}

/// Packs what the image of the frozen process does not hold. What fails is undone.
pub(crate) fn pack(
    streams: &mut Streams,
    pipes: &Pipes,
    words: relay::End<FromProcess>,
    asked: Vec<(StreamId, u32)>,
    told: Told,
) -> Result<Departed> {
    let folder = Path::new(DEPARTURE);
    let links = criu::make_links(&folder.join(dump::FOLDER).join(dump::LAST))?;
    let accounts = streams.accounts();
    let departed = match pipes.read_inward() {
        Ok(lay_in_pipes) => Departed { lay_in_pipes, on_the_way: streams.take_unwritten(), links },
        Err(error) => {
            links.remove();
            return Err(error);
        }
    };
    let luggage = Luggage {
        words,
        pipes: pipes.inodes(),
        lay_in_pipes: departed.lay_in_pipes.clone(),
        on_the_way: departed.on_the_way.clone(),
        ended: streams.ended(),
        accounts,
        asked,
        told,
    };
    let packed = postcard::to_allocvec(&luggage).context("writing down what goes along");
    let packed = packed
        .and_then(|packed| std::fs::write(folder.join(LUGGAGE), packed).context("packing what goes along"));
    match packed {
        Ok(()) => Ok(departed),
        Err(error) => {
            departed.undo(streams, pipes)?;
            Err(error)
        }
    }
}

impl Departed {
    /// The process stays after all: its pipes get back what was taken out of them.
    pub(crate) fn undo(self, streams: &mut Streams, pipes: &Pipes) -> Result<()> {
        self.links.remove();
        pipes.write_back(&self.lay_in_pipes)?;
        let words = self.on_the_way.into_iter();
        words
            .map(|(stream, bytes)| StreamWord { stream, event: StreamEvent::Data(bytes) })
            .for_each(|word| streams.take(word));
        Ok(())
    }
}
