//! The capsule's ends of the process's pipes: CRIU gets one end of a new pipe for each, the relay keeps the other.

use crate::departure::Luggage;
use crate::members;
use anyhow::{Context, Result};
use brant_migration::stream::{
    Direction, Home, PART, Stream, StreamEvent, StreamId, StreamWord, TERMINAL, WINDOW,
};
use brant_migrationd::streams::{Access, Streams};
use rustix::fs::{Mode, OFlags, Uid, fchown, fstat, open};
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::OwnedFd;

/// Where CRIU's own descriptors for them begin; lower numbers would disturb `--shell-job`.
const FIRST: i32 = 200;
/// What a process that waits for several descriptors at once is given when a pipe is among them, bytes.
const TASTE: u32 = 1;

/// The process's ends, until CRIU has them.
pub(crate) struct ProcessEnds {
    ends: Vec<(Home, OwnedFd)>,
}

impl ProcessEnds {
    /// Each end, the number that it has in CRIU, and what it stands for in the image.
    pub(crate) fn numbered(self) -> impl Iterator<Item = (i32, String, OwnedFd)> {
        (FIRST..).zip(self.ends).map(|(number, (home, end))| {
            let name = match home {
                Home::Pipe(inode) => format!("pipe:[{inode}]"),
                Home::File(path) => path.trim_start_matches('/').to_owned(),
            };
            (number, name, end)
        })
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

    /// What was asked for and has not come.
    pub(crate) fn owed(&self) -> (StreamId, u32) {
        (self.id, self.asked)
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

/// The pipes as they are in here, in the order of the streams.
pub(crate) struct Pipes {
    all: Vec<(StreamId, Direction, u64)>,
}

impl Pipes {
    /// Their numbers in here.
    pub(crate) fn inodes(&self) -> Vec<u64> {
        self.all.iter().map(|(_, _, inode)| *inode).collect()
    }

    /// What lies in those that the process reads from, while it stands still.
    pub(crate) fn read_inward(&self) -> Result<Vec<(StreamId, Vec<u8>)>> {
        let mut found = Vec::new();
        for (id, direction, inode) in &self.all {
            if *direction == Direction::In
                && let Some(path) = members::holder(&format!("pipe:[{inode}]"))
            {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let pipe = open(&path, flags, Mode::empty()).context("opening a pipe of the process")?;
                let mut unread = Vec::new();
                let mut part = vec![0; PART as usize];
                while let Ok(length) = read(&pipe, &mut part)
                    && length > 0
                {
                    unread.extend_from_slice(&part[..length]);
                }
                found.push((*id, unread));
            }
        }
        Ok(found)
    }
}

impl Pipes {
    /// Puts back what was read; the pipes are empty, so that there is room for it.
    pub(crate) fn write_back(&self, unread: &[(StreamId, Vec<u8>)]) -> Result<()> {
        for (id, _, inode) in &self.all {
            let bytes = unread.iter().find(|(stream, _)| stream == id).map_or(&[][..], |(_, bytes)| bytes);
            if !bytes.is_empty()
                && let Some(path) = members::holder(&format!("pipe:[{inode}]"))
            {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let pipe = open(&path, flags, Mode::empty()).context("opening a pipe of the process")?;
                write(&pipe, bytes).context("putting back what lay in a pipe")?;
            }
        }
        Ok(())
    }
}

/// All that the capsule has of the process's streams.
pub(crate) struct Made {
    pub(crate) streams: Streams,
    pub(crate) ends: ProcessEnds,
    pub(crate) on_demand: Vec<OnDemand>,
    pub(crate) pipes: Pipes,
}

/// Makes a pipe for each stream and takes the terminal's output among them. `luggage` is what comes with an image that
/// was made in another capsule.
pub(crate) fn make(list: &[Stream], user: u32, terminal: OwnedFd, luggage: Option<&Luggage>) -> Result<Made> {
    let mut streams = Streams::default();
    let mut on_demand = Vec::new();
    let mut ends = Vec::new();
    let mut pipes = Vec::new();
    streams.add_source(TERMINAL, terminal, Access::Own, WINDOW);
    for (id, stream) in Stream::numbered(list) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe for the process")?;
        // So that it can open /dev/stdout again.
        fchown(&reader, Some(Uid::from_raw(user)), None).context("giving the process its pipe")?;
        let inode = fstat(&reader).context("looking at a pipe")?.st_ino;
        pipes.push((id, stream.direction, inode));
        // An image that was made in a capsule knows them by what they were there.
        let there = luggage.and_then(|luggage| luggage.pipes.get(pipes.len() - 1));
        let named = there.map_or_else(|| stream.home.clone(), |inode| Home::Pipe(*inode));
        match stream.direction {
            Direction::Out => {
                streams.add_source(id, reader, Access::Shared, stream.first_room());
                ends.push((named, writer));
            }
            Direction::In => {
                if stream.shared {
                    let asked =
                        luggage.and_then(|luggage| luggage.asked.iter().find(|(other, _)| *other == id));
                    on_demand.push(OnDemand { id, inode, asked: asked.map_or(0, |(_, asked)| *asked) });
                }
                streams.add_sink(id, writer, Access::Shared, !stream.shared);
                ends.push((named, reader));
            }
        }
    }
    if let Some(luggage) = luggage {
        luggage.settle(&mut streams);
    }
    Ok(Made { streams, ends: ProcessEnds { ends }, on_demand, pipes: Pipes { all: pipes } })
}
