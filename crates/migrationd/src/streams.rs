//! The ends of streams on this side: what is readable is sent, what comes is written, and nothing ever waits.

use brant_migration::stream::{Allowance, Owed, PART, StreamEvent, StreamId, StreamWord};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

/// "At the current position", for the calls that take one; a pipe knows no other.
const HERE: u64 = u64::MAX;

/// How a descriptor is kept from waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is opened so (`O_NONBLOCK`), and nobody else uses this opening of it.
    Own,
    /// Others use the same open pipe and expect it to wait: each call says for itself that it does not.
    Shared,
}

impl Access {
    fn flags(self) -> ReadWriteFlags {
        match self {
            Self::Own => ReadWriteFlags::empty(),
            Self::Shared => ReadWriteFlags::NOWAIT,
        }
    }
}

/// All streams of one session, on one side of the link.
#[derive(Debug, Default)]
pub struct Streams {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
}

#[derive(Debug)]
struct Source {
    id: StreamId,
    fd: Option<OwnedFd>,
    access: Access,
    allowance: Allowance,
}

#[derive(Debug)]
struct Sink {
    id: StreamId,
    fd: Option<OwnedFd>,
    access: Access,
    queue: VecDeque<u8>,
    owed: Owed,
    /// So much at the front of the queue was told of as room already, bytes.
    told: usize,
    /// Whether room is told of as it comes, rather than when the process asks.
    tells_room: bool,
    ended: bool,
}

/// What streams owe and are owed, when they go on elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    allowances: Vec<(StreamId, Allowance)>,
    owed: Vec<(StreamId, Owed)>,
}

impl Streams {
    /// Sends what can be read from this, as far as there is room.
    pub fn add_source(&mut self, id: StreamId, fd: OwnedFd, access: Access, room: u32) {
        self.sources.push(Source { id, fd: Some(fd), access, allowance: Allowance::new(room) });
    }

    /// Writes what comes to this; `tells_room` is false where the process's own wishes decide what comes.
    pub fn add_sink(&mut self, id: StreamId, fd: OwnedFd, access: Access, tells_room: bool) {
        let (queue, owed, fd) = (VecDeque::new(), Owed::default(), Some(fd));
        self.sinks.push(Sink { id, fd, access, queue, owed, told: 0, tells_room, ended: false });
    }

    /// What is to go along when the streams go on elsewhere.
    pub fn accounts(&self) -> Accounts {
        Accounts {
            allowances: self.sources.iter().map(|source| (source.id, source.allowance)).collect(),
            owed: self.sinks.iter().map(|sink| (sink.id, sink.owed)).collect(),
        }
    }

    /// Goes on from there.
    pub fn settle(&mut self, accounts: &Accounts) {
        for source in &mut self.sources {
            let known = accounts.allowances.iter().find(|(id, _)| *id == source.id);
            source.allowance = known.map_or(source.allowance, |(_, allowance)| *allowance);
        }
        for sink in &mut self.sinks {
            let known = accounts.owed.iter().find(|(id, _)| *id == sink.id);
            sink.owed = known.map_or(sink.owed, |(_, owed)| *owed);
        }
    }

    /// Bytes that were written to a stream before, and were not read: they are written again, and no room is told of.
    pub fn write_again(&mut self, id: StreamId, bytes: Vec<u8>) {
        if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.id == id && sink.fd.is_some()) {
            sink.told += bytes.len();
            sink.queue.extend(bytes);
        }
    }

    /// What to wait for. A source without room is left alone: its hang-up would wake the caller again and again.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sources = self.sources.iter().filter(|source| source.allowance.next() > 0);
        let sources = sources.filter_map(|source| Some(PollFd::new(source.fd.as_ref()?, PollFlags::IN)));
        let sinks = self.sinks.iter().filter_map(|sink| {
            // A sink with nothing to write still hears that its reader has gone.
            let wanted = if sink.queue.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            Some(PollFd::new(sink.fd.as_ref()?, wanted))
        });
        sources.chain(sinks)
    }

    /// Reads and writes all that can be without waiting; gives what to tell the other side.
    pub fn serve(&mut self) -> Vec<StreamWord> {
        let mut words = Vec::new();
        for source in &mut self.sources {
            words.extend(
                source.read(source.allowance.next()).map(|event| StreamWord { stream: source.id, event }),
            );
        }
        for sink in &mut self.sinks {
            words.extend(sink.write().map(|event| StreamWord { stream: sink.id, event }));
        }
        words
    }

    /// Does what the other side says.
    pub fn take(&mut self, word: StreamWord) {
        let StreamWord { stream, event } = word;
        match event {
            StreamEvent::Data(bytes) => {
                if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.id == stream && sink.fd.is_some())
                {
                    sink.queue.extend(bytes);
                }
            }
            StreamEvent::End => {
                if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.id == stream) {
                    sink.ended = true;
                }
            }
            StreamEvent::Broken => {
                if let Some(source) = self.sources.iter_mut().find(|source| source.id == stream) {
                    source.fd = None;
                }
            }
            StreamEvent::Room(room) => {
                if let Some(source) = self.sources.iter_mut().find(|source| source.id == stream) {
                    source.allowance.grow(room);
                }
            }
        }
    }

    /// Reads all that can be read at this moment, whether there is room for it or not: the writers stand still, and will
    /// go on elsewhere.
    pub fn drain(&mut self) -> Vec<StreamWord> {
        let mut words = Vec::new();
        for source in &mut self.sources {
            while let Some(event) = source.read(PART) {
                words.push(StreamWord { stream: source.id, event });
            }
        }
        words
    }

    /// Takes back what came and was not written yet.
    pub fn take_unwritten(&mut self) -> Vec<(StreamId, Vec<u8>)> {
        let queues = self.sinks.iter_mut().filter(|sink| !sink.queue.is_empty());
        queues.map(|sink| (sink.id, sink.queue.drain(..).collect())).collect()
    }

    /// The sinks that will be told nothing more.
    pub fn ended(&self) -> Vec<StreamId> {
        self.sinks.iter().filter(|sink| sink.ended).map(|sink| sink.id).collect()
    }

    /// Whether everything that came has been written, or can no longer be.
    pub fn is_written(&self) -> bool {
        self.sinks.iter().all(|sink| sink.queue.is_empty())
    }

    /// Whether every source has come to its end, or nobody wants it.
    pub fn is_read(&self) -> bool {
        self.sources.iter().all(|source| source.fd.is_none())
    }

    /// Writes to a sink what the other side has not said, without waiting.
    pub fn say_last(&mut self, id: StreamId, text: &[u8]) {
        if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.id == id && sink.fd.is_some()) {
            sink.queue.extend(text);
            let _nobody_left_to_tell = sink.write();
        }
    }
}

impl Source {
    fn read(&mut self, most: u32) -> Option<StreamEvent> {
        let fd = self.fd.as_ref().filter(|_| most > 0)?;
        let mut bytes = vec![0; most as usize];
        match preadv2(fd, &mut [IoSliceMut::new(&mut bytes)], HERE, self.access.flags()) {
            // A terminal's master says EIO once nobody holds the other side.
            Ok(0) | Err(Errno::IO) => {
                self.fd = None;
                Some(StreamEvent::End)
            }
            Ok(length) => {
                bytes.truncate(length);
                self.allowance.spend(u32::try_from(length).unwrap_or(most));
                Some(StreamEvent::Data(bytes))
            }
            Err(_not_now) => None,
        }
    }
}

impl Sink {
    fn write(&mut self) -> Option<StreamEvent> {
        let fd = self.fd.as_ref()?;
        if self.queue.is_empty() {
            if self.ended || reader_gone(fd) {
                let broken = !self.ended;
                self.fd = None;
                return broken.then_some(StreamEvent::Broken);
            }
            return None;
        }
        let (front, back) = self.queue.as_slices();
        match pwritev2(fd, &[IoSlice::new(front), IoSlice::new(back)], HERE, self.access.flags()) {
            Ok(length) => {
                self.queue.drain(..length);
                let again = self.told.min(length);
                self.told -= again;
                let written = u32::try_from(length - again).unwrap_or(u32::MAX);
                let room = self.owed.written(written, self.queue.len()).filter(|_| self.tells_room);
                if self.queue.is_empty() && self.ended {
                    self.fd = None;
                }
                room.map(StreamEvent::Room)
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(_nobody_reads) => {
                self.fd = None;
                self.queue.clear();
                (!self.ended).then_some(StreamEvent::Broken)
            }
        }
    }
}

fn reader_gone(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds[0].revents().intersects(PollFlags::ERR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_migration::stream::{TERMINAL, WINDOW};
    use rustix::pipe::pipe;

    /// Carries words between the two sides until both are quiet.
    fn settle(one: &mut Streams, other: &mut Streams) {
        loop {
            let (from_one, from_other) = (one.serve(), other.serve());
            if from_one.is_empty() && from_other.is_empty() {
                return;
            }
            from_one.into_iter().for_each(|word| other.take(word));
            from_other.into_iter().for_each(|word| one.take(word));
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in_and_the_end_follows_them() {
        let ((from, writer), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let (mut there, mut here) = (Streams::default(), Streams::default());
        there.add_source(TERMINAL, from, Access::Shared, WINDOW);
        here.add_sink(TERMINAL, to, Access::Shared, true);
        let text: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut written, mut read) = (0, Vec::new());
        while read.len() < text.len() {
            if written < text.len() {
                let part = &text[written..(written + 30_000).min(text.len())];
                written += rustix::io::write(&writer, part).unwrap();
            }
            settle(&mut there, &mut here);
            let mut part = vec![0; 50_000];
            let length = rustix::io::read(&reader, &mut part).unwrap();
            read.extend_from_slice(&part[..length]);
        }
        drop(writer);
        settle(&mut there, &mut here);
        assert_eq!(read, text);
        assert_eq!(rustix::io::read(&reader, &mut [0; 10]).unwrap(), 0, "the end has come through");
        assert!(there.is_read() && here.is_written());
    }

    #[test]
    fn a_stream_that_nobody_reads_fills_its_window_and_no_more() {
        let ((from, writer), (_reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let (mut there, mut here) = (Streams::default(), Streams::default());
        there.add_source(TERMINAL, from, Access::Shared, WINDOW);
        here.add_sink(TERMINAL, to, Access::Shared, true);
        let mut written = 0;
        for _ in 0..100 {
            written +=
                pwritev2(&writer, &[IoSlice::new(&[7; 10_000])], HERE, ReadWriteFlags::NOWAIT).unwrap_or(0);
            settle(&mut there, &mut here);
        }
        let pipes = 2 * (64 << 10);
        assert!(written <= WINDOW as usize + pipes, "{written}");
        assert!(written >= WINDOW as usize, "{written}");
    }

    #[test]
    fn a_reader_that_goes_away_is_a_broken_pipe_for_the_writer() {
        let ((from, writer), (reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let (mut there, mut here) = (Streams::default(), Streams::default());
        there.add_source(TERMINAL, from, Access::Shared, WINDOW);
        here.add_sink(TERMINAL, to, Access::Shared, true);
        drop(reader);
        settle(&mut there, &mut here);
        assert_eq!(rustix::io::write(&writer, b"x"), Err(Errno::PIPE));
    }

    #[test]
    fn streams_that_go_on_elsewhere_keep_to_their_window() {
        let ((from, mut writer), (_reader, to)) = (pipe().unwrap(), pipe().unwrap());
        let (mut there, mut here) = (Streams::default(), Streams::default());
        there.add_source(TERMINAL, from, Access::Shared, WINDOW);
        here.add_sink(TERMINAL, to, Access::Shared, true);
        let (mut written, mut taken) = (0, Vec::new());
        for _ in 0..20 {
            for _ in 0..100 {
                let part = [IoSlice::new(&[7; 10_000])];
                written += pwritev2(&writer, &part, HERE, ReadWriteFlags::NOWAIT).unwrap_or(0);
                settle(&mut there, &mut here);
            }
            // The sink goes on elsewhere, with what it has not written; then the source does.
            let (accounts, unwritten) = (here.accounts(), here.take_unwritten());
            let (reader, to) = pipe().unwrap();
            here = Streams::default();
            here.add_sink(TERMINAL, to, Access::Shared, true);
            here.settle(&accounts);
            for (stream, bytes) in unwritten {
                here.take(StreamWord { stream, event: StreamEvent::Data(bytes) });
            }
            taken.push(reader);
            let accounts = there.accounts();
            let (from, next) = pipe().unwrap();
            there = Streams::default();
            there.add_source(TERMINAL, from, Access::Shared, WINDOW);
            there.settle(&accounts);
            writer = next;
        }
        let (pipes, most) = (41 * (64 << 10), WINDOW as usize);
        assert!(written <= most + pipes, "{written}");
    }

    #[test]
    fn what_is_written_again_makes_no_room() {
        let (reader, to) = pipe().unwrap();
        let mut here = Streams::default();
        here.add_sink(TERMINAL, to, Access::Shared, true);
        here.write_again(TERMINAL, vec![1; 50_000]);
        here.take(StreamWord { stream: TERMINAL, event: StreamEvent::Data(vec![2; 7]) });
        assert_eq!(here.serve(), [StreamWord { stream: TERMINAL, event: StreamEvent::Room(7) }]);
        assert_eq!(rustix::io::read(&reader, &mut [0; 60_000]).unwrap(), 50_007);
    }

    #[test]
    fn nothing_is_taken_from_a_shared_pipe_before_it_is_asked_for() {
        let (from, writer) = pipe().unwrap();
        let mut there = Streams::default();
        let again = from.try_clone().unwrap();
        there.add_source(TERMINAL, from, Access::Shared, 0);
        rustix::io::write(&writer, b"one two").unwrap();
        assert_eq!(there.serve(), []);
        there.take(StreamWord { stream: TERMINAL, event: StreamEvent::Room(3) });
        let data = StreamEvent::Data(b"one".to_vec());
        assert_eq!(there.serve(), [StreamWord { stream: TERMINAL, event: data }]);
        let mut rest = [0; 10];
        assert_eq!(rustix::io::read(&again, &mut rest).unwrap(), 4);
    }
}
