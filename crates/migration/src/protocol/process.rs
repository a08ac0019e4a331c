//! Between the deputy and the process that it stands for: what home does to the process, and what home sees of it.
//!
//! These words go from end to end; none is lost or doubled by a link that breaks, a daemon that restarts or a move.

use super::{End, Size};
use crate::stream::StreamWord;
use serde::{Deserialize, Serialize};

/// From the deputy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProcess {
    /// A signal for it.
    Signal(i32),
    /// A signal for its whole group.
    SignalGroup(i32),
    /// What was typed.
    Input(Vec<u8>),
    /// The terminal has another size.
    Resize(Size),
    /// Something happens to a stream.
    Stream(StreamWord),
}

/// From the capsule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromProcess {
    /// Something happens to a stream.
    Stream(StreamWord),
    /// Whether it waits for input from its terminal.
    WantsInput(bool),
    /// It was stopped by this signal.
    Stopped(i32),
    /// Whether its group has more than one process.
    Family(bool),
    /// How far it has come in a shared file: its place in the offer's list, and the offset in bytes.
    Offset(u16, u64),
    /// Its first process has ended; others go on.
    LeaderEnded(End),
    /// It has ended, with all that moved along or was born there: the last word.
    Ended(End),
}
