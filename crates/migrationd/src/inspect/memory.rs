//! What is mapped into a process's memory, and which mounts its files are on.

use super::holders::{Holders, processes};
use brant_migration::obstacle::facts::Mapping;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most that shared memory with a name may be to move along, bytes.
const MOST_NAMED: u64 = 64 << 20;

/// The mounts that a process sees.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    root: Option<u32>,
}

impl Mounts {
    pub(super) fn of(pid: i32) -> Self {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default())
    }

    /// The last mount on `/` is the one that is seen.
    fn parse(table: &str) -> Self {
        let root = table.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
        Self { root: root.and_then(|line| line.split(' ').next()?.parse().ok()) }
    }

    /// Whether a file on this mount is one of the root file system, which a capsule has too.
    pub(super) fn is_root(&self, mount: u32) -> bool {
        self.root.is_none_or(|root| root == mount)
    }
}

/// Whether a file lives in memory only, apart from any device: a memfd, or POSIX shared memory.
pub(super) fn is_memory_file(path: &str) -> bool {
    path.starts_with("/memfd:") || path.starts_with("/dev/shm/")
}

/// Whether a path is on a mount that a capsule has one of its own of.
pub(super) fn on_foreign_mount(path: &str) -> bool {
    ["/proc", "/sys", "/dev", "/run"].iter().any(|mount| Path::new(path).starts_with(mount))
}

/// One line of `/proc/PID/maps`.
struct Line<'a> {
    range: &'a str,
    shared: bool,
    writable: bool,
    /// Device and inode, as they stand there.
    file: (&'a str, &'a str),
    path: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (range, permissions, _offset) = (fields.next()?, fields.next()?, fields.next()?);
        let file = (fields.next()?, fields.next()?);
        let path = fields.next().unwrap_or_default().trim_start();
        let permissions = permissions.as_bytes();
        Some(Self {
            range,
            shared: permissions.get(3) == Some(&b's'),
            writable: permissions.get(1) == Some(&b'w'),
            file,
            path,
        })
    }
}

/// The mappings of a process that need a word.
pub(super) fn mappings(pid: i32, user: u32, holders: &Holders) -> Vec<Mapping> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut found: Vec<Mapping> = Vec::new();
    for line in maps.lines().filter_map(Line::parse).filter(|line| !line.path.is_empty()) {
        let mapping = if line.path.starts_with("/SYSV") {
            Some(Mapping::SystemV)
        } else if line.shared && (line.writable || is_memory_file(line.path)) {
            shared(&line, pid, user, holders)
        } else if !line.path.starts_with('[') && !is_memory_file(line.path) && on_foreign_mount(line.path) {
            let anonymous = line.path == "/dev/zero (deleted)" || line.path == "/dev/zero";
            (!anonymous).then(|| Mapping::ForeignMount(line.path.to_owned()))
        } else {
            None
        };
        found.extend(mapping.filter(|mapping| !found.contains(mapping)));
    }
    found
}

/// Shared memory is no obstacle where all who share it move.
fn shared(line: &Line<'_>, pid: i32, user: u32, holders: &Holders) -> Option<Mapping> {
    let mapped_by = processes().filter(|pid| !holders.is_member(*pid)).find(|pid| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.lines().filter_map(Line::parse).any(|other| other.shared && other.file == line.file)
    });
    let with = mapped_by.or_else(|| holders.outside(line.path).next().map(|holder| holder.pid));
    if let Some(with) = with {
        return Some(Mapping::Shared { path: line.path.to_owned(), with });
    }
    if line.path.starts_with("/dev/shm/") && line.path.ends_with(" (deleted)") {
        // A semaphore is made under a name of its own, and then gets the one that it is known by.
        let file = fs::metadata(format!("/proc/{pid}/map_files/{}", line.range));
        return file.is_ok_and(|file| file.nlink() > 0).then(|| Mapping::Renamed(line.path.to_owned()));
    }
    let named = line.path.starts_with("/dev/shm/");
    if named {
        // It is removed here when it moves, so it has to be the owner's own; and it moves while the process stands still.
        let fits = fs::metadata(line.path).is_ok_and(|meta| meta.uid() == user && meta.len() <= MOST_NAMED);
        let path = line.path.to_owned();
        return Some(if fits { Mapping::Named(path) } else { Mapping::ForeignMount(path) });
    }
    let foreign =
        on_foreign_mount(line.path) && !is_memory_file(line.path) && !line.path.starts_with("/dev/zero");
    foreign.then(|| Mapping::ForeignMount(line.path.to_owned()))
}

/// Whether this user has System V semaphores or message queues: nothing tells which of his processes use them.
pub(super) fn has_system_v(user: u32) -> bool {
    let owns = |file: &str, columns: [usize; 2]| {
        let table = fs::read_to_string(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            columns.iter().any(|column| words.get(*column).is_some_and(|word| word.parse() == Ok(user)))
        })
    };
    // Owner and creator.
    owns("sem", [4, 6]) || owns("msg", [7, 9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_on_the_root_counts() {
        let table = "1 0 0:2 / / rw - rootfs rootfs rw\n25 1 0:23 / / rw,relatime shared:1 - overlay overlay rw\n\
                     30 25 0:5 / /dev rw - tmpfs dev rw\n";
        let mounts = Mounts::parse(table);
        assert!(mounts.is_root(25) && !mounts.is_root(1) && !mounts.is_root(30));
    }

    #[test]
    fn a_line_of_a_map_is_taken_apart() {
        let line = "7f00-7f01 rw-s 00000000 00:01 3                          /memfd:a b (deleted)";
        let line = Line::parse(line).unwrap();
        assert!(line.shared && line.writable && is_memory_file(line.path));
        assert_eq!((line.file, line.path), (("00:01", "3"), "/memfd:a b (deleted)"));
    }

    #[test]
    fn memory_that_this_test_shares_with_nobody_is_no_obstacle() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(mappings(me, 0, &Holders::scan(&[me])), []);
    }
}
