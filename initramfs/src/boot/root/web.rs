//! A root that was not in the initramfs, and whose node has booted over the network: it is fetched from the server that
//! it has booted from, into memory. What comes is checked like that of a medium, block by block, while it is read.
//!
//! Nothing limits how long it takes: somebody may be about to plug the cable in, or to start the server.

use super::memory;
use crate::modules::Modules;
use crate::net::addresses::{Given, Links};
use crate::net::remembered::Remembered;
use crate::report;
use anyhow::{Context, Result, bail, ensure};
use brant_sys::child::Tool;
use std::fs::File;
use std::net::SocketAddrV4;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What the file is called there; `brant-image netboot` puts it there.
const NAME: &str = "root.squashfs";
/// How long to wait before the server is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long nothing is said of an address that does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// The program that speaks HTTP.
const BUSYBOX: &str = "/bin/busybox";

/// Fetches it.
pub(super) fn fetch(server: SocketAddrV4, given: Given, length: u64, modules: &mut Modules) -> Result<File> {
    let free = memory::free_memory();
    ensure!(
        free > length,
        "the root takes {} MB of memory, and {} MB are free",
        length / 1_000_000,
        free / 1_000_000
    );
    // Packets without an address, which DHCP is made of.
    modules.load("af_packet").ok();
    if !given.vlans.is_empty() {
        modules
            .load("8021q")
            .context("loading what VLANs need")
            .unwrap_or_else(|error| report::complain(&format!("{error:#}")));
    }
    let mut links = Links::open(Vec::new(), given, Remembered::default())?;
    let url = format!("http://{server}/{NAME}");
    report::say(&format!("fetching the root from {url}"));
    let since = Instant::now();
    let mut said = false;
    loop {
        links.turn_within(AGAIN)?;
        if !links.has_lease() {
            if since.elapsed() > PATIENCE && !std::mem::replace(&mut said, true) {
                report::complain("no DHCP server has given this PC an address yet; is its cable plugged in?");
            }
            continue;
        }
        match attempt(&url, length) {
            Ok(file) => return Ok(file),
            Err(error) => {
                report::complain(&format!("{error:#}; trying again"));
                let again = Instant::now() + AGAIN;
                while Instant::now() < again {
                    links.turn_within(again.saturating_duration_since(Instant::now()))?;
                }
            }
        }
    }
}

fn attempt(url: &str, length: u64) -> Result<File> {
    let fetching = || format!("fetching `{url}`");
    let wget = Tool::new(BUSYBOX).args(["wget", "-q", "-T", "20", "-O", "-", url]).stdout(Stdio::piped());
    let mut wget = wget.stderr(Stdio::piped()).spawn().with_context(fetching)?;
    let Some(stdout) = wget.child.stdout.take() else { bail!("nothing comes from busybox") };
    // One more than there should be tells of another image's.
    let (file, got) = memory::fill(stdout, length + 1).with_context(fetching)?;
    if got <= length {
        wget.wait().with_context(fetching)?;
    }
    ensure!(
        got == length,
        "`{url}` is not the root of this image, which has {length} bytes; {got} have come"
    );
    Ok(file)
}
