//! Faults on purpose, for tests: the daemon ends as if by a bug, at a place that is named beforehand.
//!
//! Root writes the name of a place into a file that only root may write; the daemon ends there, once.

use std::path::Path;

/// Where the name is written.
pub const FILE: &str = "/run/brant/fault";

/// A place in a move, in the order in which a move comes by: on the home node, then on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The target has accepted.
    Negotiated,
    /// The memory has been sent once, while the process runs.
    Precopied,
    /// The process stands still.
    Frozen,
    /// Its image is made.
    Dumped,
    /// The target holds it.
    Restored,
    /// Its next act is to become its deputy.
    Redirected,
    /// On the target: the offer is accepted.
    Accepted,
    /// On the target: the image is there.
    Received,
}

impl Place {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Negotiated => "negotiated",
            Self::Precopied => "precopied",
            Self::Frozen => "frozen",
            Self::Dumped => "dumped",
            Self::Restored => "restored",
            Self::Redirected => "redirected",
            Self::Accepted => "accepted",
            Self::Received => "received",
        }
    }

    /// Ends the daemon if somebody wants that here.
    pub fn pass(self) {
        if std::fs::read_to_string(FILE).is_ok_and(|wanted| wanted.trim() == self.name()) {
            // Else it would end here again and again.
            let _gone = std::fs::remove_file(Path::new(FILE));
            tracing::error!("a fault was asked for: the daemon ends, `{}`", self.name());
            std::process::abort();
        }
    }
}
