//! What is behind a process's descriptors, and who outside shares it.

use super::Stat;
use super::holders::{Holder, Holders, OpenInfo, open_descriptors};
use super::memory::{Mounts, is_memory_file, on_foreign_mount};
use super::sleep::waits_for_a_child;
use super::sockets::LocalSockets;
use super::tree::ancestors;
use brant_migration::obstacle::facts::{Descriptor, Nameless, Opened, OutsideEnds, Sharer};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Looks at descriptors, with what is known of the whole node.
pub(super) struct Looker<'a> {
    holders: &'a Holders,
    mounts: &'a Mounts,
    /// Those of the process that leads the tree.
    ancestors: Vec<i32>,
    sockets: OnceCell<LocalSockets>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(leader: i32, holders: &'a Holders, mounts: &'a Mounts) -> Self {
        Self { holders, mounts, ancestors: ancestors(leader), sockets: OnceCell::new() }
    }

    /// All descriptors of a process.
    pub(super) fn descriptors(&self, pid: i32) -> Vec<Descriptor> {
        let all = open_descriptors(pid).into_iter();
        all.map(|(number, target)| Descriptor { number, what: self.opened(Holder { pid, number }, &target) })
            .collect()
    }

    fn opened(&self, holder: Holder, target: &str) -> Opened {
        if let Some(inode) = numbered(target, "pipe:") {
            let info = OpenInfo::read(holder);
            return Opened::Pipe { inode, writes: info.writes(), packets: info.is_direct() };
        }
        if let Some(inode) = numbered(target, "socket:") {
            return self.socket(inode);
        }
        if let Some(kind) = target.strip_prefix("anon_inode:") {
            return self.anonymous(holder, target, kind);
        }
        if is_memory_file(target) {
            let shared_with = self.holders.user_of_file(target, holder);
            return Opened::Memory { path: target.to_owned(), shared_with };
        }
        if let Some(device) = device(target) {
            let another = matches!(device, Opened::Terminal(_)) && !is_own_terminal(holder);
            return if another { Opened::Device(target.to_owned()) } else { device };
        }
        if !target.starts_with('/') {
            return Opened::Other(target.to_owned());
        }
        self.file(holder, target)
    }

    fn file(&self, holder: Holder, target: &str) -> Opened {
        let info = OpenInfo::read(holder);
        if on_foreign_mount(target) || info.mount.is_some_and(|mount| !self.mounts.is_root(mount)) {
            return Opened::ForeignMount(target.to_owned());
        }
        let meta = fs::metadata(format!("/proc/{}/fd/{}", holder.pid, holder.number)).ok();
        if meta.as_ref().is_some_and(|meta| meta.file_type().is_fifo()) {
            let shared_with = self.holders.user_of_file(target, holder);
            return Opened::Fifo { path: target.to_owned(), shared_with };
        }
        let only_writes = info.only_writes();
        // Where several append, each one's end is where the others have come to: that is known at home only.
        let appends_with = || self.holders.writer_of_file(target, holder).filter(|_| info.appends());
        let shared = self
            .shared(target, holder)
            .or_else(|| appends_with().map(|Holder { pid, number }| Sharer { pid, number, waits: false }));
        let nameless = |meta: Metadata| Nameless { linked: meta.nlink() > 0, kib: meta.len().div_ceil(1024) };
        match target.strip_suffix(" (deleted)") {
            Some(path) => {
                Opened::File { path: path.to_owned(), shared, only_writes, deleted: meta.map(nameless) }
            }
            None => Opened::File { path: target.to_owned(), shared, only_writes, deleted: None },
        }
    }

    fn shared(&self, target: &str, holder: Holder) -> Option<Sharer> {
        let mut shared = None;
        for Holder { pid, number } in self.holders.sharers(target, holder) {
            if !self.ancestors.contains(&pid) || !waits_for_a_child(pid) {
                return Some(Sharer { pid, number, waits: false });
            }
            shared.get_or_insert(Sharer { pid, number, waits: true });
        }
        shared
    }

    fn anonymous(&self, holder: Holder, target: &str, kind: &str) -> Opened {
        match kind {
            "[eventpoll]" | "[eventfd]" | "[timerfd]" | "[signalfd]" => Opened::EventLoop {
                shared_with: self.holders.sharers(target, holder).next().map(|other| other.pid),
            },
            "[io_uring]" => Opened::IoUring,
            "inotify" | "[fanotify]" => Opened::Watch,
            _ => Opened::Other(target.to_owned()),
        }
    }

    /// A pair is inside when all who hold either end move, and somebody holds the other end.
    fn socket(&self, inode: u64) -> Opened {
        let sockets = self.sockets.get_or_init(|| {
            LocalSockets::list().unwrap_or_else(|error| {
                tracing::warn!(%error, "listing local sockets");
                LocalSockets::default()
            })
        });
        match sockets.peer(inode) {
            None => Opened::Socket("of the network".to_owned()),
            Some(None) => Opened::Socket("local, not connected".to_owned()),
            Some(Some(peer)) => {
                let name = |inode: u64| format!("socket:[{inode}]");
                let inside = !self.holders.all(&name(peer)).is_empty()
                    && self.holders.outside(&name(peer)).next().is_none()
                    && self.holders.outside(&name(inode)).next().is_none();
                Opened::Pair { inside }
            }
        }
    }
}

/// Who outside holds the ends of the members' pipes.
pub(super) fn outside_ends<'a>(
    holders: &Holders,
    descriptors: impl Iterator<Item = &'a Descriptor>,
) -> BTreeMap<u64, OutsideEnds> {
    let mut ends = BTreeMap::new();
    for descriptor in descriptors {
        let Opened::Pipe { inode, .. } = descriptor.what else { continue };
        for other in holders.outside(&format!("pipe:[{inode}]")) {
            let ends: &mut OutsideEnds = ends.entry(inode).or_default();
            let writes = OpenInfo::read(other).writes();
            let end = if writes { &mut ends.writer } else { &mut ends.reader };
            end.get_or_insert(other.pid);
        }
    }
    ends
}

fn numbered(target: &str, kind: &str) -> Option<u64> {
    target.strip_prefix(kind)?.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Whether it is the terminal of the process's own session, which its deputy can open.
fn is_own_terminal(holder: Holder) -> bool {
    let terminal = Stat::read(holder.pid).and_then(|stat| stat.field(7));
    let meta = fs::metadata(format!("/proc/{}/fd/{}", holder.pid, holder.number)).ok();
    // proc_pid_stat(5): the minor number is in bits 31 to 20 and 7 to 0, the major one in 15 to 8.
    let number = meta.map(|meta| {
        let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        u64::from((minor & 0xff) | ((major & 0xff) << 8) | ((minor & !0xff) << 12))
    });
    number.is_some() && number == terminal
}

fn device(target: &str) -> Option<Opened> {
    let name = target.strip_prefix("/dev/")?;
    Some(match name {
        "null" | "zero" | "full" | "random" | "urandom" => Opened::PlainDevice,
        "tty" => Opened::ControllingTerminal,
        _ if name.starts_with("pts/") => Opened::Terminal(target.to_owned()),
        _ => Opened::Device(target.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn mine(number: &impl AsRawFd) -> Opened {
        let me = i32::try_from(std::process::id()).unwrap();
        let (holders, mounts) = (Holders::scan(&[me]), Mounts::of(me));
        let all = Looker::new(me, &holders, &mounts).descriptors(me);
        let wanted = number.as_raw_fd();
        all.into_iter().find(|descriptor| descriptor.number == wanted).unwrap().what
    }

    #[test]
    fn what_is_behind_a_descriptor_is_told_apart() {
        let null = fs::File::open("/dev/null").unwrap();
        assert_eq!(mine(&null), Opened::PlainDevice);
        let proc = fs::File::open("/proc/self/stat").unwrap();
        assert!(matches!(mine(&proc), Opened::ForeignMount(_)));
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(mine(&one), Opened::Pair { inside: true });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(mine(&listener), Opened::Socket("of the network".to_owned()));
    }

    #[test]
    fn a_pipe_knows_its_end_and_who_else_has_the_other() {
        let me = i32::try_from(std::process::id()).unwrap();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let Opened::Pipe { inode, writes: false, .. } = mine(&reader) else { panic!("not a pipe") };
        assert_eq!(mine(&writer), Opened::Pipe { inode, writes: true, packets: false });
        let cat = brant_sys::child::Tool::new("sleep").arg("60").stdout(writer).spawn().unwrap();
        let number = reader.as_raw_fd();
        let all = [Descriptor { number, what: mine(&reader) }];
        let ends = outside_ends(&Holders::scan(&[me]), all.iter());
        let writer = i32::try_from(cat.id()).ok();
        assert_eq!(ends.get(&inode), Some(&OutsideEnds { reader: None, writer }));
        cat.kill();
    }
}
