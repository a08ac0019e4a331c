//! What a process says to, and hears from, processes that stay at home: pipes, and its terminal's output.
//!
//! Each stream has a source at one end of the link and a sink at the other. A source sends no more than the sink has
//! given it room for, so that one stream that nobody reads does not hold up the others, or the signals.
//!
//! ```text
//!  source                                sink
//!    │ ──── Data (as much as there is room for) ──▶ │ queued, then written
//!    │ ◀─── Room (what was written) ─────────────── │
//!    │ ──── End (all writers have closed) ────────▶ │ closes when all is written
//!    │ ◀─── Broken (no reader is left) ──────────── │ closed; the source closes, its writers get EPIPE
//! ```

use serde::{Deserialize, Serialize};

/// The room of a stream whose sink nobody else reads from, bytes.
pub const WINDOW: u32 = 256 << 10;
/// The most that one message carries, bytes.
pub const PART: u32 = 64 << 10;
/// Room is told in steps of at least this, unless all is written, bytes.
const STEP: u32 = 32 << 10;

/// A stream's number within one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u16);

/// What a process writes to its terminal.
pub const TERMINAL: StreamId = StreamId(0);

/// Which way a pipe leads, seen from the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// It reads.
    In,
    /// It writes.
    Out,
}

/// What is at the home end of a stream, as the image names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// The pipe of this number.
    Pipe(u64),
    /// The open file of this path, which others write to meanwhile: at home, one after the other.
    File(String),
}

/// A way between the process and processes that stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// What it leads to.
    pub home: Home,
    /// Which way it leads.
    pub direction: Direction,
    /// Whether processes that stay read from it, too: then only what the process asks for may be taken out of it.
    pub shared: bool,
}

impl Stream {
    /// The numbers of a session's pipes; the terminal comes before them.
    pub fn numbered(streams: &[Self]) -> impl Iterator<Item = (StreamId, &Self)> {
        (TERMINAL.0 + 1..).map(StreamId).zip(streams)
    }

    /// The room that its source begins with.
    pub fn first_room(&self) -> u32 {
        if self.shared { 0 } else { WINDOW }
    }
}

/// One word about one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamWord {
    /// Which stream.
    pub stream: StreamId,
    /// What happens to it.
    pub event: StreamEvent,
}

/// What happens to a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamEvent {
    /// From the source: the next bytes.
    Data(Vec<u8>),
    /// From the source: there will be no more.
    End,
    /// From the sink: nobody reads any more.
    Broken,
    /// From the sink: so many more bytes may come.
    Room(u32),
}

/// How much a source may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance(i64);

impl Allowance {
    /// An allowance to begin with.
    pub fn new(room: u32) -> Self {
        Self(room.into())
    }

    /// The most that the next message may carry; 0 means: do not even look.
    pub fn next(self) -> u32 {
        u32::try_from(self.0.clamp(0, PART.into())).unwrap_or(0)
    }

    /// So much was sent; more than was allowed counts against later room.
    pub fn spend(&mut self, bytes: u32) {
        self.0 = self.0.saturating_sub(bytes.into());
    }

    /// The sink has more room.
    pub fn grow(&mut self, room: u32) {
        self.0 = self.0.saturating_add(room.into());
    }
}

/// What a sink owes its source: room for what it has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed(u32);

impl Owed {
    /// So much was written, and `queued` bytes wait still; gives the room to tell the source of, if it is time to.
    pub fn written(&mut self, bytes: u32, queued: usize) -> Option<u32> {
        self.0 = self.0.saturating_add(bytes);
        (self.0 >= STEP || (queued == 0 && self.0 > 0)).then(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_never_sends_more_than_there_is_room_for() {
        let mut allowance = Allowance::new(WINDOW);
        let mut sent = 0;
        while allowance.next() > 0 {
            sent += allowance.next();
            allowance.spend(allowance.next());
        }
        assert_eq!(sent, WINDOW);
        allowance.grow(10);
        assert_eq!(allowance.next(), 10);
    }

    #[test]
    fn room_is_told_in_steps_and_when_all_is_written() {
        let mut owed = Owed::default();
        assert_eq!(owed.written(100, 5000), None);
        assert_eq!(owed.written(STEP, 5000), Some(STEP + 100));
        assert_eq!(owed.written(7, 0), Some(7));
        assert_eq!(owed.written(0, 0), None);
    }

    #[test]
    fn pipes_are_numbered_after_the_terminal() {
        let pipe = Stream { home: Home::Pipe(9), direction: Direction::In, shared: true };
        let numbers: Vec<StreamId> =
            Stream::numbered(&[pipe.clone(), pipe.clone()]).map(|(id, _)| id).collect();
        assert_eq!(numbers, [StreamId(1), StreamId(2)]);
        assert_eq!(pipe.first_room(), 0);
    }
}
