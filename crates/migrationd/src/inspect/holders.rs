//! Who on this node has what open: one look at every process's descriptors.

use brant_sys::namespace::same_open_file;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// One descriptor of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) number: i32,
}

/// Every open descriptor on the node, by what the kernel calls what is behind it.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_target: HashMap<String, Vec<Holder>>,
    members: BTreeSet<i32>,
}

impl Holders {
    /// Looks at all processes; `members` are those that move together.
    pub(super) fn scan(members: &[i32]) -> Self {
        let mut holders = Self { members: members.iter().copied().collect(), ..Self::default() };
        for pid in processes() {
            for (number, target) in open_descriptors(pid) {
                holders.by_target.entry(target).or_default().push(Holder { pid, number });
            }
        }
        holders
    }

    /// All who hold it, members or not.
    pub(super) fn all(&self, target: &str) -> &[Holder] {
        self.by_target.get(target).map_or(&[], Vec::as_slice)
    }

    /// Those who hold it and stay.
    pub(super) fn outside(&self, target: &str) -> impl Iterator<Item = Holder> + '_ {
        self.all(target).iter().copied().filter(|holder| !self.members.contains(&holder.pid))
    }

    /// Whether a process moves along.
    pub(super) fn is_member(&self, pid: i32) -> bool {
        self.members.contains(&pid)
    }

    /// Those who stay and have the same open file (one offset for all), as in `for f in *; do job $f; done > out`.
    pub(super) fn sharers(&self, target: &str, holder: Holder) -> impl Iterator<Item = Holder> + '_ {
        let same = move |other: &Holder| {
            same_open_file((holder.pid, holder.number), (other.pid, other.number)).unwrap_or(false)
        };
        self.outside(target).filter(same)
    }

    /// A process that stays and has the same file open, however it came by it.
    pub(super) fn user_of_file(&self, target: &str, holder: Holder) -> Option<i32> {
        self.users_of_file(target, holder).next().map(|other| other.pid)
    }

    /// A process that stays and has opened the same file for writing, by itself.
    pub(super) fn writer_of_file(&self, target: &str, holder: Holder) -> Option<Holder> {
        self.users_of_file(target, holder).find(|other| OpenInfo::read(*other).writes())
    }

    fn users_of_file(&self, target: &str, holder: Holder) -> impl Iterator<Item = Holder> + '_ {
        let identity = |holder: Holder| {
            let meta = fs::metadata(format!("/proc/{}/fd/{}", holder.pid, holder.number)).ok()?;
            Some((meta.dev(), meta.ino()))
        };
        let wanted = identity(holder);
        self.outside(target).filter(move |other| wanted.is_some() && identity(*other) == wanted)
    }
}

/// The numbers of all processes.
pub(super) fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A process's descriptors in the order of their numbers, and what the kernel calls what is behind them.
pub(super) fn open_descriptors(pid: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut all: Vec<(i32, String)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        })
        .collect();
    all.sort_unstable();
    all
}

/// What `/proc/PID/fdinfo` says of a descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OpenInfo {
    /// As given to open(2).
    pub(super) flags: u32,
    /// The mount that the file is on.
    pub(super) mount: Option<u32>,
}

impl OpenInfo {
    pub(super) fn read(holder: Holder) -> Self {
        let text =
            fs::read_to_string(format!("/proc/{}/fdinfo/{}", holder.pid, holder.number)).unwrap_or_default();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Self {
            flags: value("flags:").and_then(|flags| u32::from_str_radix(flags, 8).ok()).unwrap_or(0),
            mount: value("mnt_id:").and_then(|id| id.parse().ok()),
        }
    }

    /// Whether it may be written to.
    pub(super) fn writes(self) -> bool {
        self.flags & 3 != 0
    }

    /// Whether it is open for writing only.
    pub(super) fn only_writes(self) -> bool {
        self.flags & 3 == 1
    }

    /// Whether everything that is written goes to the end: `O_APPEND`.
    pub(super) fn appends(self) -> bool {
        self.flags & 0o2000 != 0
    }

    /// Whether it keeps packets apart: `O_DIRECT` on a pipe.
    pub(super) fn is_direct(self) -> bool {
        self.flags & 0o40_000 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_shared_open_file_is_found_and_a_second_opening_is_not() {
        let me = i32::try_from(std::process::id()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let target = fs::canonicalize(file.path()).unwrap().to_str().unwrap().to_owned();
        let holder = Holder { pid: me, number: file.as_file().as_raw_fd() };
        assert!(OpenInfo::read(holder).writes());
        assert_eq!(Holders::scan(&[me]).sharers(&target, holder).next(), None);
        let other = Tool::new("sleep").arg("60").stdout(file.reopen().unwrap()).spawn().unwrap();
        let holders = Holders::scan(&[me]);
        assert_eq!(holders.sharers(&target, holder).next(), None, "opened by itself");
        assert_eq!(holders.user_of_file(&target, holder), i32::try_from(other.id()).ok());
        other.kill();
        let shared = file.as_file().try_clone().unwrap();
        let other = Tool::new("sleep").arg("60").stdout(shared).spawn().unwrap();
        let other_pid = i32::try_from(other.id()).unwrap();
        assert_eq!(
            Holders::scan(&[me]).sharers(&target, holder).next().map(|other| other.pid),
            Some(other_pid)
        );
        assert_eq!(Holders::scan(&[me, other_pid]).sharers(&target, holder).next(), None, "it moves along");
        other.kill();
    }
}
