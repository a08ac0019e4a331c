//! Faults on purpose, for tests: at a place that is named beforehand, the daemon ends as if by a bug, or what it has
//! just done counts as failed.
//!
//! Root writes the name of a place into a file that only root may write, alone or with `fails` behind it; it happens
//! there, once.

use anyhow::{Result, bail};
use std::path::Path;

/// Where the name is written.
pub const FILE: &str = "/run/brant/fault";

/// A place in a move, in the order in which a move comes by: on the node that it leaves, then on the target.
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
    /// It is its deputy.
    Committed,
    /// On the target: the offer is accepted.
    Accepted,
    /// On the target: the image is there.
    Received,
    /// On the target: the process is restored, and is held.
    Held,
    /// On the target: it runs.
    Released,
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
            Self::Committed => "committed",
            Self::Accepted => "accepted",
            Self::Received => "received",
            Self::Held => "held",
            Self::Released => "released",
        }
    }

    /// Goes on, unless somebody wants a fault here.
    ///
    /// # Errors
    /// When what was done is to count as failed. The daemon ends where that is wanted instead.
    pub fn pass(self) -> Result<()> {
        let wanted = std::fs::read_to_string(FILE).unwrap_or_default();
        let mut words = wanted.split_ascii_whitespace();
        if words.next() != Some(self.name()) {
            return Ok(());
        }
        // Else it would happen again and again.
        let _gone = std::fs::remove_file(Path::new(FILE));
        if words.next() == Some("fails") {
            bail!("a fault was asked for at `{}`", self.name());
        }
        tracing::error!("a fault was asked for: the daemon ends, `{}`", self.name());
        std::process::abort();
    }
}
