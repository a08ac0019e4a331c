//! Finding the medium: a file with a name that only this image has, on whichever block device, never by a label.
//!
//! ```text
//! look at what is new or may have changed ─▶ found
//!        ▲                    │ not
//!        └── wait: a device, a key, a while ◀── after a time: what was looked at, and a shell for who wants one
//! ```
//! There is no limit to it: some drives take minutes, and somebody may be looking for the stick.

mod devices;
mod filesystem;
mod probe;

use crate::devices::Uevents;
use crate::modules::Modules;
use crate::report;
use crate::rescue::Invitation;
use anyhow::{Context, Result};
use devices::BlockDevice;
use probe::{NotHere, probe};
pub(in crate::boot) use probe::{Wanted, let_go};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long nothing is said but what is looked at.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often drives that were empty or unreadable are looked at again.
const AGAIN: Duration = Duration::from_secs(3);

/// What was found on a device, and when.
struct Seen {
    sectors: u64,
    at: Instant,
    why: NotHere,
}

/// The file, and the device that it is on, or in an image on.
pub(in crate::boot) struct Found {
    pub(in crate::boot) file: File,
    pub(in crate::boot) device: String,
}

/// Searches until the file is there.
pub(in crate::boot) fn find(wanted: &Wanted, modules: &mut Modules, uevents: &mut Uevents) -> Result<Found> {
    loop {
        if let Some(found) = search(wanted, modules, uevents, None)? {
            return Ok(found);
        }
    }
}

/// Searches for a time only; none when it is not there then.
pub(in crate::boot) fn find_within(
    wanted: &Wanted,
    modules: &mut Modules,
    uevents: &mut Uevents,
    most: Duration,
) -> Result<Option<Found>> {
    search(wanted, modules, uevents, Some(most))
}

fn search(
    wanted: &Wanted,
    modules: &mut Modules,
    uevents: &mut Uevents,
    most: Option<Duration>,
) -> Result<Option<Found>> {
    modules.load_for_devices(|_| true);
    let started = Instant::now();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut invitation: Option<Invitation> = None;
    report::say("looking for the medium that this image was started from");
    loop {
        let present = devices::all();
        seen.retain(|name, _| present.iter().any(|device| device.name == *name));
        for device in &present {
            if !worth_a_look(device, seen.get(&device.name)) {
                continue;
            }
            let outcome = if wanted.damaged.contains(&device.name) {
                Err(NotHere::Damaged)
            } else {
                probe(device, wanted, modules)
            };
            match outcome {
                Ok(file) => {
                    report::say(&format!("the medium is /dev/{}", device.name));
                    return Ok(Some(Found { file, device: device.name.clone() }));
                }
                Err(why) => {
                    if seen.get(&device.name).is_none_or(|before| before.why != why) {
                        report::say(&format!("/dev/{}: {why}", device.name));
                    }
                    let now = Instant::now();
                    seen.insert(device.name.clone(), Seen { sectors: device.sectors, at: now, why });
                }
            }
        }
        if most.is_some_and(|most| started.elapsed() > most) {
            return Ok(None);
        }
        if most.is_none() && invitation.is_none() && started.elapsed() > PATIENCE {
            invitation = Some(Invitation::extend(&message(&seen)));
        }
        wait(uevents, invitation.as_ref())?;
        while let Some(event) = uevents.take()? {
            if let Some(modalias) = event.modalias {
                modules.load_for(&modalias);
            }
        }
        // The search goes on when the person has left the shell.
        if let Some(accepted) = invitation.as_mut().and_then(Invitation::accepted) {
            crate::rescue::shell_on(&accepted)?;
            invitation = Some(Invitation::extend(&message(&seen)));
        }
    }
}

fn worth_a_look(device: &BlockDevice, before: Option<&Seen>) -> bool {
    before.is_none_or(|seen| {
        // Nothing tells when another CD is put in.
        let may_change = seen.why.may_change() || device.is_optical();
        seen.sectors != device.sectors || (may_change && seen.at.elapsed() > AGAIN)
    })
}

fn wait(uevents: &Uevents, invitation: Option<&Invitation>) -> Result<()> {
    let mut fds = vec![PollFd::from_borrowed_fd(uevents.as_fd(), PollFlags::IN)];
    fds.extend(
        invitation.iter().flat_map(|it| it.consoles()).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
    );
    match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context("waiting for a device event of the kernel"),
    }
}

fn message(seen: &BTreeMap<String, Seen>) -> String {
    let mut text =
        "\n*** The medium that this PC was started from has not been found yet; the search goes on.\n"
            .to_owned();
    if seen.is_empty() {
        text += "*** No disk, stick or drive at all is known to this PC's kernel.\n";
    } else {
        text += "*** What was looked at:\n";
    }
    for (name, seen) in seen {
        text += &format!("***   /dev/{name}: {}\n", seen.why);
    }
    text + "*** What to try:  put the medium in again, or into another port.\n\
            *** Press Enter for a shell on this console.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_was_looked_at() {
        let mut seen = BTreeMap::new();
        assert!(message(&seen).contains("No disk"));
        let at = Instant::now();
        seen.insert("sda1".to_owned(), Seen { sectors: 1, at, why: NotHere::Other("vfat") });
        let text = message(&seen);
        assert!(
            text.contains("/dev/sda1: vfat, without this image's files") && !text.contains("No disk"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
}
