//! Whose wall clock the cluster follows: a setting, which the member with the lowest id makes when there is no such node.
//!
//! So a newcomer, whatever its clock says, follows the clock that the others follow, and of two halves that heal one follows
//! the other: settings agree by themselves. Who misses that node chooses another only when its settings are those of others
//! since then, and waits longer if it has never met the node that they name: it is new itself, and others may follow that one.

use super::{Instant, Membership, Output};
use brant_types::node::NodeId;
use brant_types::settings::Key;
use std::time::Duration;

/// How long nobody may be there before one is chosen: others may have another one by then.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a node that was never met: all of a thousand are by then.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_secs(30);

impl Membership {
    /// Chooses this node if nobody's clock is there to be followed, and it is this node's turn.
    pub(super) fn choose_clock(&mut self, now: Instant) -> Vec<Output> {
        let named: Option<NodeId> = self.settings.value(Key::Clock).parse().ok();
        let followed = named.is_some_and(|id| id == self.me.id || self.active.contains(&id));
        let (Some(lowest), false) = (self.active.first(), followed) else {
            self.clockless_since = None;
            return Vec::new();
        };
        let since = *self.clockless_since.get_or_insert(now);
        let is_stranger = named.is_some_and(|id| !self.peers.contains_key(&id));
        let patience = if is_stranger { PATIENCE_WITH_STRANGERS } else { PATIENCE };
        // What was heard before that may be old: this node may have been cut off.
        if self.me.id > *lowest || self.settings_known < since || now < since + patience {
            return Vec::new();
        }
        self.set(now, Key::Clock, Some(self.me.id.to_string()))
            .unwrap_or_else(|_| unreachable!("an id is a value of this setting"))
    }
}
