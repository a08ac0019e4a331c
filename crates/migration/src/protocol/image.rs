//! An image on its way into a host's memory, on a connection of its own.

use crate::pagemap::{Owner, Run};
use serde::{Deserialize, Serialize};

/// The parts, in their order: rounds of memory, files, the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePart {
    /// Memory, as it is dumped. Behind this message, and not part of it, come the contents of those runs that have
    /// any, at most [`MOST_CONTENTS`](super::MOST_CONTENTS) bytes: whatever would look at each byte costs more than
    /// sending it.
    Pages {
        /// Whose.
        owner: Owner,
        /// Which, at most [`MOST_RUNS`](super::MOST_RUNS).
        runs: Vec<Run>,
    },
    /// That was a round while the process runs; to be answered once it is merged.
    RoundOver,
    /// That was the last round: what was not in it is no more.
    LastRoundOver {
        /// Pages that must be there when the process starts, by process and address: those its stacks are at.
        eager: Vec<(u64, u64)>,
    },
    /// A file of the image begins.
    File {
        /// Its name, without any folder.
        name: String,
        /// Its length, bytes.
        size: u64,
    },
    /// The next part of that file.
    Data(Vec<u8>),
    /// Nothing to say, but still here.
    StillHere,
    /// The image is whole.
    Complete,
}

/// What the receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageAnswer {
    /// A round has been merged.
    Merged {
        /// So many pages should have come in an earlier round and have not: all of it is to be sent again.
        missing: u64,
    },
}
