//! The service `medium`: says what is wrong when the medium that the root is read from turns out to be damaged.
//!
//! dm-verity lets reads of what has changed fail, and programs then fail in ways that nobody connects with a stick.

use crate::devices::Uevents;
use crate::report;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::BTreeSet;

/// More blocks than these are not named one by one.
const MOST: usize = 20;

/// Watches for as long as the node runs.
pub(crate) fn run() -> Result<()> {
    let mut uevents = Uevents::open()?;
    let mut named = BTreeSet::new();
    loop {
        match poll(&mut [PollFd::new(&uevents, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for a device event of the kernel"),
        }
        while let Some(event) = uevents.take()? {
            let Some(place) = event.damaged else { continue };
            if named.len() < MOST && named.insert(place.clone()) {
                report::alarm(&advice(&place));
            }
        }
    }
}

fn advice(place: &str) -> String {
    let block = place.split(',').nth(1).unwrap_or(place);
    format!(
        "the medium is damaged (block {block} of the root): what was read there has failed, and programs may end. \
         Write the image to this medium anew, or to another one, and restart this PC"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_named() {
        assert!(advice("1,77").contains("(block 77 of the root)"));
    }
}
