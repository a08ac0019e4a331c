//! The code that a guest has mapped. Programs and libraries ask the processor what it can do when they are loaded, and
//! keep to that: a process may rely on what the processors had where its code was loaded, and on nothing else.

use brant_sys::cgroup::Cgroup;
use std::collections::BTreeSet;

/// Files that code is mapped from, by device and inode.
type Files = BTreeSet<(String, u64)>;

/// What was mapped when the guest came; nobody knows for one that an earlier daemon has taken in.
#[derive(Debug, Clone, Default)]
pub(super) struct Code(Option<Files>);

impl Code {
    /// What the processes of this group have mapped now.
    pub(super) fn of(work: &Cgroup) -> Self {
        Self(Some(files(work)))
    }

    /// Whether they have mapped more since.
    pub(super) fn is_more_in(&self, work: &Cgroup) -> bool {
        self.0.as_ref().is_none_or(|known| !files(work).is_subset(known))
    }
}

fn files(work: &Cgroup) -> Files {
    let all = work.processes().unwrap_or_default().into_iter();
    let maps = all.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/maps")).ok());
    maps.flat_map(|maps| maps.lines().filter_map(file).collect::<Vec<_>>()).collect()
}

/// The file of one line of `/proc/PID/maps`, where its content is run (proc_pid_maps(5)).
fn file(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (permissions, _offset) = (words.next()?, words.next()?);
    let (device, inode) = (words.next()?, words.next()?.parse().ok()?);
    (permissions.contains('x') && inode != 0).then(|| (device.to_owned(), inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_whose_content_is_run_count() {
        let line = "55d0c0-55d0c1 r-xp 00002000 fe:01 1234   /usr/bin/a b";
        assert_eq!(file(line), Some(("fe:01".to_owned(), 1234)));
        assert_eq!(file("55d0c0-55d0c1 r--p 00002000 fe:01 1234   /usr/bin/a"), None);
        assert_eq!(file("7ffd0-7ffd1 r-xp 00000000 00:00 0    [vdso]"), None);
    }
}
