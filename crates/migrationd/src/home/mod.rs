//! The home node's side: one move, and then the life of the process away from home.
//!
//! `source` is the move, in the order that [`brant_migration::steps`] keeps; `precopy`, `frozen`, `dump`, `pages` and
//! `takeover` are what it is made of; `keeper` relays between deputy and target afterwards.

mod dump;
mod frozen;
mod journal;
mod keeper;
mod memory;
mod pages;
mod pipes;
mod precopy;
mod recovery;
mod source;
mod takeover;

pub use dump::remove_leftovers;
pub(crate) use keeper::Event;
pub use precopy::can_track_memory;
pub use recovery::recover;

use crate::guest::Arrivals;
use crate::node::Node;
use crate::registry::Registry;
use brant_migration::balancer::Order;
use brant_migration::obstacle::Obstacle;
use brant_migration::protocol::Refusal;
use brant_types::agent::NodeView;
use brant_types::migration::{MoveRecord, MovedBy, Refused};
use std::sync::mpsc;

/// What every part of the daemon needs.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// This node and its cluster.
    pub node: Node,
    /// What is known of the processes that move.
    pub registry: Registry,
    /// Who expects an image from a third node.
    pub arrivals: Arrivals,
}

/// Why a move did not happen. The process runs on at home, unharmed, in every case but the last.
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
    #[error("the move failed while {doing}, and was undone")]
    Undone {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: anyhow::Error,
    },
    /// The link broke after the commit: the process may run on the target, or be lost with it.
    #[error("the link to the node broke just as the process left")]
    LostOnTheWay {
        /// What went wrong.
        #[source]
        source: anyhow::Error,
    },
}

impl Stayed {
    /// The reason for the process's owner.
    pub fn for_owner(&self) -> Refused {
        let (reason, hint) = match self {
            Self::Obstacle(obstacle) => (obstacle.name(), obstacle.hint()),
            Self::Busy(_) => ("busy", Some("wait a moment, then look at `brant ps`")),
            Self::Refused { .. } => ("refused", Some("`brant nodes` shows the others")),
            Self::Undone { .. } => ("undone", Some("the details are in /run/brant/log/migrationd.log")),
            Self::LostOnTheWay { .. } => ("lost_on_the_way", None),
        };
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Refused { reason: reason.to_owned(), message, hint: hint.map(str::to_owned) }
    }
}

/// What becomes of a move, once it is known.
pub type MoveAnswer = mpsc::Receiver<Result<MoveRecord, Stayed>>;

/// Moves a process on a thread of its own; the answer comes when it runs there, or has stayed.
pub fn move_away(daemon: &Daemon, pid: i32, to: NodeView, by: MovedBy) -> MoveAnswer {
    let (answer, wait) = mpsc::channel();
    let daemon = daemon.clone();
    // A process that is away has a keeper, who sees to it.
    if let Some(keeper) = daemon.registry.keeper_of(pid) {
        let hop = keeper::Hop { to, by, answer };
        let _ended_just_now = keeper.send(keeper::Event::Hop(Box::new(hop)));
        return wait;
    }
    // Should no thread start, the answer's sender is dropped, and whoever waits sees that.
    let spawned = std::thread::Builder::new()
        .name(format!("move {pid}"))
        .spawn(move || source::run(&daemon, pid, &to, by, &answer));
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
