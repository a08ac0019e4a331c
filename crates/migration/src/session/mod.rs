//! Never lost, never twice: the protocol of a process away from home, as state machines that do nothing themselves.
//!
//! A machine is told what happened ([`home::Event`], [`host::Event`]) and the time, and appends what is to be done
//! ([`home::Action`], [`host::Action`]). The shell does it, in that order, and says how it went. One [`home::Home`]
//! belongs to each process that is moving or away, on its home node; one [`host::Host`] to each stay of a process on
//! a node, the home node included. Deputy and capsule, which outlive every daemon, hold the two ends of a
//! [`relay::End`] and a [`lease::Lease`] each.
//!
//! ```text
//!            home node                                     nodes that host it
//!  deputy ═══ relay, numbered end to end, carried by the daemons ═══ capsule-init (lease, relay, the process)
//!     │                                                                  │
//!  Home (the record, the only decision) ── Order, echo ──▶ Host A ── image ──▶ Host B
//!                                       ◀── Standing, sent_at ──
//! ```
//!
//! # The decision
//!
//! Who may run the process is decided at home only, by one durable record ([`home::Record`]). No node in the middle
//! can block it, and none is needed after a move:
//!
//! ```text
//!  (none) ──▶ Leaving(A) ──COMMIT: the deputy stands──▶ Away(A) ──COMMIT: written──▶ Away(B) ──▶ … ──▶ (none)
//!    ▲           │
//!    └─ put back ┘
//! ```
//!
//! - `Leaving` is written before the task is touched, and holds what was there. From then on the task itself says how it
//!   was decided: the execve of its deputy is one act of the kernel, and cannot be undone; a task that has not done it,
//!   also after its thaw and however its daemon died, is put back.
//! - `Away` names the stay that may run. A host is told [`letter::Order::Run`] only for the stay that the record names,
//!   and only when the deputy stands.
//!
//! A move from A to B is committed when B says that it holds the process stopped. B can say so only of an image that A
//! made of the frozen process; and A, once it may have sent that image, lets the process go on only when home says so,
//! after home has called the move off for good. So either way there is one copy that may run.
//!
//! # Restart
//!
//! A daemon that starts again has its node's records and what it finds there, and nothing else; a move that was under
//! way is off. What a host has promised (`Held`) outlives its daemon inside the capsule. Letters carry the run of the
//! daemon that wrote them, and of the one they were written to ([`letter::Mail`]): what was meant for an earlier run,
//! comes late or comes twice is not read.
//!
//! # The lease
//!
//! A host reports with its own clock's time; home echoes the newest; the host may keep the process for one lease after
//! the time that was echoed. So a delayed letter prolongs nothing, and only the clocks' rates matter. Home counts a
//! process as lost one lease and a margin after it last heard the host. The capsule itself keeps the time, for its
//! daemon may be the one that died.

pub mod home;
pub mod host;
pub mod lease;
pub mod letter;
pub mod relay;

use crate::protocol::Refusal;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time on one node's clock that goes on while the node sleeps, since a moment of that node's own.
pub type Time = Duration;

/// The cluster's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long home and host may be cut off from each other without any effect.
    pub lease: Duration,
    /// What home waits beyond the lease before it counts a process as lost: for clocks of different rates.
    pub margin: Duration,
    /// Each side says something at least this often.
    pub word_every: Duration,
    /// How long one attempt to move may take.
    pub attempt: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            margin: Duration::from_secs(1),
            word_every: Duration::from_secs(1),
            attempt: Duration::from_secs(180),
        }
    }
}

impl Settings {
    /// How long a host keeps a process after the newest time that home has echoed: the lease, a word that was due when
    /// the cut began, and one that comes late when it has healed.
    pub fn grant(&self) -> Duration {
        self.lease + 2 * self.word_every
    }

    /// Whether it is time for another word. A little early, for whoever looks once in that time would else see it pass
    /// now and then, and speak half as often.
    pub(crate) fn is_word_due(&self, last: Time, now: Time) -> bool {
        now + self.word_every / 4 >= last + self.word_every
    }

    /// How soon a piece of work that must not fail is tried again.
    pub(crate) fn again_after(&self) -> Duration {
        self.word_every / 2
    }
}

/// A piece of work that was handed to the shell; its outcome is told with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why something did not work, or is not there any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Why {
    /// The host does not take it; nothing was done.
    #[error(transparent)]
    Refused(Refusal),
    /// A step failed; what it had begun is undone.
    #[error("{0}")]
    Failed(String),
    /// The host heard nothing from home for a lease, and has ended its copy.
    #[error("its node was cut off from this one for longer than the lease")]
    LeaseRanOut,
    /// Nothing was heard from the host for a lease and more; it holds no copy now.
    #[error("nothing was heard from its node for longer than the lease")]
    Silent,
    /// The process has ended, and its deputy knows how: nothing is lost.
    #[error("it has ended")]
    Over,
    /// The capsule has ended, with all that was in it.
    #[error("its capsule has ended")]
    CapsuleEnded,
    /// The host knows nothing of it: it was restarted, or has forgotten it long ago.
    #[error("its node does not know it any more")]
    Unknown,
    /// The step took too long.
    #[error("it took too long")]
    TooLong,
    /// The host was told to end it.
    #[error("it was called off")]
    CalledOff,
}
