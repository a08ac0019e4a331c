//! The ends of the process's pipes that the deputy carries, and the files whose offsets others here go on from.

use crate::terminal::Terminal;
use brant_migration::protocol::{Hello, SharedFile};
use brant_migration::stream::{Direction, Home, Stream, TERMINAL};
use brant_migrationd::descriptors;
use brant_migrationd::streams::{Access, Streams};
use rustix::fs::{OFlags, fcntl_getfl};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// What was taken.
pub(crate) struct Ends {
    pub(crate) streams: Streams,
    pub(crate) files: Vec<OwnedFd>,
}

/// Takes them from the daemon, or, where the one that had them has ended, from what the process itself had open. The
/// terminal is a stream, too.
pub(crate) fn take(
    daemon: &UnixStream,
    hello: &Hello,
    inherited: &[(i32, OwnedFd)],
    terminal: Option<&Terminal>,
) -> io::Result<Ends> {
    let mut streams = Streams::default();
    if let Some(output) = terminal.and_then(|terminal| terminal.output.try_clone().ok()) {
        streams.add_sink(TERMINAL, output, Access::Own, true);
    }
    for (id, stream) in Stream::numbered(&hello.streams) {
        let end =
            if hello.descriptors { descriptors::receive(daemon)? } else { find_end(stream, inherited)? };
        match stream.direction {
            Direction::In => streams.add_source(id, end, Access::Shared, stream.first_room()),
            Direction::Out => {
                // Files take what they are given without waiting for anybody.
                let access = if matches!(stream.home, Home::Pipe(_)) { Access::Shared } else { Access::Own };
                streams.add_sink(id, end, access, true);
            }
        }
    }
    let file = |file: &SharedFile| {
        if hello.descriptors { descriptors::receive(daemon) } else { find_file(*file, inherited) }
    };
    Ok(Ends { streams, files: hello.shared_files.iter().map(file).collect::<io::Result<_>>()? })
}

fn find_end(stream: &Stream, inherited: &[(i32, OwnedFd)]) -> io::Result<OwnedFd> {
    let name = match &stream.home {
        Home::Pipe(inode) => format!("pipe:[{inode}]"),
        Home::File(path) => path.clone(),
    };
    let writes = stream.direction == Direction::Out;
    let leads_there = |fd: &OwnedFd| {
        let target = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        target.is_ok_and(|target| target.to_str() == Some(&name))
            && fcntl_getfl(fd).is_ok_and(|flags| (flags & OFlags::RWMODE == OFlags::RDONLY) != writes)
    };
    let found = inherited.iter().find(|(_, fd)| leads_there(fd));
    found.ok_or_else(|| io::Error::other(format!("nobody has kept {name} for it")))?.1.try_clone()
}

fn find_file(file: SharedFile, inherited: &[(i32, OwnedFd)]) -> io::Result<OwnedFd> {
    let found = inherited.iter().find(|(number, _)| *number == file.number);
    found.ok_or_else(|| io::Error::other("nobody has kept a shared file for it"))?.1.try_clone()
}
