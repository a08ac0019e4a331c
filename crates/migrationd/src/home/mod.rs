//! The home node's side: a process's moves, and its life away from home.
//!
//! `keeper` owns one process that moves or is away: its machine, its deputy, the links to its hosts and the record of
//! it. `departure` is what is done to a process that leaves its place here, one piece of work after the other, and
//! `frozen`, `memory`, `pipes`, `takeover` and [`crate::dump`] are what it is made of.

mod departure;
mod frozen;
mod journal;
mod keeper;
mod memory;
mod pipes;
mod recovery;
mod takeover;

pub(crate) use keeper::Event;
pub use keeper::{listen_for_deputies, serve_deputies};
pub use recovery::recover;

use crate::guest::Stays;
use crate::node::Node;
use crate::registry::Registry;
use brant_migration::balancer::Order;
use brant_migration::obstacle::Obstacle;
use brant_migration::protocol::{Refusal, SessionId};
use brant_migration::session::Why;
use brant_types::agent::NodeView;
use brant_types::migration::{MoveRecord, MovedBy, Refused};
use std::sync::mpsc::{Receiver, Sender, channel};

/// What every part of the daemon needs.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// This node and its cluster.
    pub node: Node,
    /// What is known of the processes that move.
    pub registry: Registry,
    /// The processes that stay here and are at home elsewhere, or have come home.
    pub stays: Stays,
}

/// Why a move did not happen. The process runs on where it was, unharmed, in every case but the last.
#[derive(Debug, thiserror::Error)]
pub enum Stayed {
    /// The process cannot move.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// It is moving already.
    #[error("process {0} is being moved already")]
    Busy(i32),
    /// The target does not take it.
    #[error("the node `{node}` does not take it")]
    Refused {
        /// The target's name.
        node: String,
        /// Its reason.
        #[source]
        refusal: Refusal,
    },
    /// Something went wrong on the way; it was undone.
    #[error("the move to the node `{node}` was called off")]
    CalledOff {
        /// The target's name.
        node: String,
        /// What went wrong.
        #[source]
        why: Why,
    },
    /// This node cannot even begin.
    #[error("the move could not begin")]
    NotBegun {
        /// What went wrong.
        #[source]
        source: anyhow::Error,
    },
}

impl Stayed {
    /// The reason for the process's owner.
    pub fn for_owner(&self) -> Refused {
        let fixed = |hint: &str| Some(hint.to_owned());
        let (reason, hint) = match self {
            Self::Obstacle(obstacle) => (obstacle.name(), obstacle.hint().map(str::to_owned)),
            Self::Busy(_) => ("busy", fixed("wait a moment, then look at `brant ps`")),
            Self::Refused { .. } => ("refused", fixed("`brant nodes` shows the others")),
            Self::CalledOff { .. } | Self::NotBegun { .. } => {
                ("undone", Some(format!("the details are in {}", crate::system::own_log())))
            }
        };
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Refused { reason: reason.to_owned(), message, hint }
    }
}

/// What becomes of a move, once it is known.
pub type MoveAnswer = Receiver<Result<MoveRecord, Stayed>>;

/// The wish that a process be on another node.
#[derive(Debug)]
pub(crate) struct Wish {
    to: NodeView,
    by: MovedBy,
    answer: Sender<Result<MoveRecord, Stayed>>,
}

/// Moves a process on a thread of its own; the answer comes when it runs there, or has stayed.
pub fn move_away(daemon: &Daemon, pid: i32, to: NodeView, by: MovedBy) -> MoveAnswer {
    let (answer, wait) = channel();
    let wish = Wish { to, by, answer };
    // A process that is away has a keeper, who sees to it.
    if let Some(keeper) = daemon.registry.keeper_of(pid) {
        // One that has ended just now drops the wish, and whoever waits sees that.
        let _ended_just_now = keeper.send(Event::Wish(Box::new(wish)));
        return wait;
    }
    let daemon = daemon.clone();
    let spawned = std::thread::Builder::new()
        .name(format!("keeper {pid}"))
        .spawn(move || keeper::begin(&daemon, pid, wish));
    if let Err(error) = spawned {
        tracing::error!(%error, "starting a thread for a move");
    }
    wait
}

/// The order of the balancer, as a move.
pub fn carry_out(daemon: &Daemon, order: Order) -> Option<MoveAnswer> {
    let to = daemon.node.view().nodes.into_iter().find(|node| node.id == order.to)?;
    Some(move_away(daemon, order.pid, to, MovedBy::Balancer))
}

/// A name for a stay that was never used.
fn new_session() -> SessionId {
    let mut bytes = [0; 8];
    // Only equal numbers would do harm, and the clock is a fair second when the kernel has no randomness yet.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        bytes = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_nsec.to_ne_bytes();
    }
    SessionId(u64::from_ne_bytes(bytes))
}
