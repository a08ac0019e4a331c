//! The capsule's ends of the process's pipes: CRIU gets one end of a new pipe for each, the relay keeps the other.

use anyhow::{Context, Result};
use brant_migration::stream::{Direction, Home, Stream, StreamEvent, StreamId, StreamWord, TERMINAL, WINDOW};
use brant_migrationd::streams::{Access, Streams};
use brant_sys::child::Tool;
use rustix::fs::{Uid, fchown, fstat};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::OwnedFd;

/// Where CRIU's own descriptors for them begin; lower numbers would disturb `--shell-job`.
const FIRST: i32 = 200;
/// What a process that waits for several descriptors at once is given when a pipe is among them, bytes.
const TASTE: u32 = 4096;

/// The process's ends, until CRIU has them.
pub(crate) struct ProcessEnds {
    ends: Vec<(Home, OwnedFd)>,
}

impl ProcessEnds {
    /// Tells CRIU which of its descriptors stands for which pipe of the image.
    pub(crate) fn give_to(self, mut criu: Tool) -> Tool {
        for ((home, end), number) in self.ends.into_iter().zip(FIRST..) {
            let named = match home {
                Home::Pipe(inode) => format!("pipe:[{inode}]"),
                Home::File(path) => path.trim_start_matches('/').to_owned(),
            };
            criu = criu.args(["--inherit-fd".to_owned(), format!("fd[{number}]:{named}")]);
            criu = criu.keep(number, end);
        }
        criu
    }
}

/// A pipe that others at home read from as well: only what the process asks for is taken out of it.
pub(crate) struct OnDemand {
    id: StreamId,
    /// The pipe's number in here.
    inode: u64,
    /// Asked for and not yet come, bytes.
    asked: u32,
}

impl OnDemand {
    /// Notes what has come.
    pub(crate) fn came(&mut self, word: &StreamWord) {
        if let (true, StreamEvent::Data(bytes)) = (word.stream == self.id, &word.event) {
            self.asked = self.asked.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
    }

    /// What to ask for now, when a process waits for this pipe.
    pub(crate) fn ask(&mut self, wish: Option<u32>) -> Option<StreamWord> {
        let wish = wish.filter(|wish| self.asked == 0 && *wish > 0)?;
        self.asked = wish;
        Some(StreamWord { stream: self.id, event: StreamEvent::Room(wish) })
    }

    /// What the kernel calls the pipe.
    pub(crate) fn name(&self) -> String {
        format!("pipe:[{}]", self.inode)
    }

    /// How much a waiting process is given that does not say how much it wants.
    pub(crate) fn taste() -> u32 {
        TASTE
    }
}

/// Makes a pipe for each stream and takes the terminal's output among them.
pub(crate) fn make(
    list: &[Stream],
    user: u32,
    terminal: OwnedFd,
) -> Result<(Streams, ProcessEnds, Vec<OnDemand>)> {
    let mut streams = Streams::default();
    let mut on_demand = Vec::new();
    let mut ends = Vec::new();
    streams.add_source(TERMINAL, terminal, Access::Own, WINDOW);
    for (id, stream) in Stream::numbered(list) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe for the process")?;
        // So that it can open /dev/stdout again.
        fchown(&reader, Some(Uid::from_raw(user)), None).context("giving the process its pipe")?;
        match stream.direction {
            Direction::Out => {
                streams.add_source(id, reader, Access::Shared, stream.first_room());
                ends.push((stream.home.clone(), writer));
            }
            Direction::In => {
                let inode = fstat(&reader).context("looking at a pipe")?.st_ino;
                if stream.shared {
                    on_demand.push(OnDemand { id, inode, asked: 0 });
                }
                streams.add_sink(id, writer, Access::Shared, !stream.shared);
                ends.push((stream.home.clone(), reader));
            }
        }
    }
    Ok((streams, ProcessEnds { ends }, on_demand))
}
