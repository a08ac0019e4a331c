//! The orderly end: sessions first, then services, then everybody; then the disks; each with a bounded wait.

use super::{Supervisor, prepare, tolerate};
use crate::power::Ending;
use crate::{OWN_PROGRAM, report};
use anyhow::{Context, Result};
use brant_sys::cgroup::Cgroup;
use brant_sys::child::Tool;
use brant_sys::signal;
use rustix::mount::{UnmountFlags, unmount};
use std::fs;
use std::time::{Duration, Instant};

/// How long sessions, and then services, get between being asked and being killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the killed may take to be gone; a process in the kernel can hang for ever.
const LAST_GRACE: Duration = Duration::from_secs(3);
/// How long writing to disks may take; a dead file server would hold us for ever.
const FLUSH: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Ends the node; returns only when the kernel refuses.
    pub(super) fn end(&mut self, ending: Ending) -> Result<()> {
        report::say(&format!("{} in order", ending.gerund()));
        self.services.iter_mut().for_each(super::Service::retire);
        let words = format!("\r\nThis node is {}.\r\n", ending.gerund());
        self.logins.iter_mut().for_each(|login| login.retire(&words));
        // Interactive shells do not care for SIGTERM; a hang-up ends them and tells their jobs.
        self.end_group(prepare::SESSIONS, &[signal::SIGTERM, signal::SIGHUP, signal::SIGCONT])?;
        self.end_group(prepare::SERVICES, &[signal::SIGTERM, signal::SIGCONT])?;
        tolerate("killing what is left", signal::send(-1, signal::SIGKILL));
        self.turn_for(TICK)?;
        self.flush_bounded()?;
        report::say(ending.gerund());
        ending.now()
    }

    /// Asks everybody in the groups below this one, waits, then kills the rest.
    fn end_group(&mut self, parent: &str, signals: &[i32]) -> Result<()> {
        let parent = Cgroup::at(parent);
        for process in processes_below(&parent) {
            for number in signals {
                tolerate("asking a process to end", signal::send(process, *number));
            }
        }
        if !self.wait_empty(&parent, GRACE)? {
            tolerate("killing what does not end", parent.kill());
            self.wait_empty(&parent, LAST_GRACE)?;
        }
        Ok(())
    }

    /// Goes on relaying and reaping until the group is empty or the time is over; whether it is empty.
    fn wait_empty(&mut self, group: &Cgroup, within: Duration) -> Result<bool> {
        let start = Instant::now();
        loop {
            if !group.events()?.populated {
                return Ok(true);
            }
            if start.elapsed() >= within {
                return Ok(false);
            }
            self.turn(TICK)?;
        }
    }

    fn turn_for(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.turn(TICK)?;
        }
        Ok(())
    }

    /// Unmounts and writes to disks in a child, which may hang without holding us.
    fn flush_bounded(&mut self) -> Result<()> {
        let flushing = Tool::new(OWN_PROGRAM).arg("flush").spawn()?.id().cast_signed();
        let start = Instant::now();
        // The supervisor reaps its children itself, so the child is over when it is no longer there.
        while fs::metadata(format!("/proc/{flushing}")).is_ok() {
            if start.elapsed() > FLUSH {
                report::complain("writing to disks takes too long; ending without it");
                break;
            }
            self.turn(TICK)?;
        }
        Ok(())
    }
}

/// Every process in the groups below this one, at any depth.
fn processes_below(group: &Cgroup) -> Vec<i32> {
    let mut found = group.processes().unwrap_or_default();
    for name in group.children().unwrap_or_default() {
        found.extend(processes_below(&group.child(&name)));
    }
    found
}

/// `init flush`: leaves network mounts, unmounts disks, and writes what is not written yet.
pub(crate) fn flush() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    for (target, network) in to_unmount(&mounts) {
        // A network mount whose server is gone would hang the writing below.
        let flags = if network { UnmountFlags::FORCE | UnmountFlags::DETACH } else { UnmountFlags::empty() };
        if let Err(errno) = unmount(target.as_str(), flags) {
            report::complain(&format!("unmounting `{target}`: {errno}"));
        }
    }
    rustix::fs::sync();
    Ok(())
}

/// What has to be unmounted, the last mounted first: (where, whether it is a network file system).
fn to_unmount(mountinfo: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for line in mountinfo.lines().rev() {
        let Some((place, system)) = line.split_once(" - ") else { continue };
        let Some(target) = place.split(' ').nth(4) else { continue };
        let mut system = system.split(' ');
        let (kind, source) = (system.next().unwrap_or_default(), system.next().unwrap_or_default());
        let network = kind.starts_with("nfs") && kind != "nfsd";
        // The root's own squashfs cannot be unmounted, and need not be.
        let disk = source.starts_with("/dev/") && kind != "squashfs";
        if network || disk {
            found.push((unescape(target), network));
        }
    }
    found
}

/// The kernel writes a blank in a path as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_network_mounts_are_unmounted_last_first_and_the_root_is_not() {
        let table = "21 1 0:20 / / rw - overlay overlay rw,lowerdir=/run/brant/ro\n\
                     22 21 7:0 / /run/brant/ro ro - squashfs /dev/loop0 ro\n\
                     23 21 0:5 / /proc rw - proc proc rw\n\
                     24 21 8:1 / /mnt/my\\040disk rw - ext4 /dev/sda1 rw\n\
                     25 21 0:40 / /cluster/a rw shared:3 - nfs4 10.0.0.1:/ rw,hard\n\
                     26 21 0:41 / /proc/fs/nfsd rw - nfsd nfsd rw\n";
        assert_eq!(to_unmount(table), [("/cluster/a".to_owned(), true), ("/mnt/my disk".to_owned(), false)]);
    }
}
