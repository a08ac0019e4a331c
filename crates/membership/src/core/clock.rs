//! Whose wall clock the cluster follows: a setting, which the member with the lowest id makes when there is no such node.
//!
//! So a newcomer, whatever its clock says, follows the clock that the others follow, and of two halves that heal one follows
//! the other: settings agree by themselves. Who has not heard of others since it misses that node chooses
//! nobody.

use super::{Instant, Membership, Output, Standing};
use brant_types::node::NodeId;
use brant_types::settings::Key;
use std::time::Duration;

/// How long nobody may be there before one is chosen: others may have another one by then.
const PATIENCE: Duration = Duration::from_secs(3);

impl Membership {
    /// Chooses this node if nobody's clock is there to be followed, and it is this node's turn.
    pub(super) fn choose_clock(&mut self, now: Instant) -> Vec<Output> {
        let alive = |id: NodeId| {
            id == self.me.id || self.peers.get(&id).is_some_and(|peer| peer.standing == Standing::Alive)
        };
        let lowest = self.peers.iter().find(|(_, peer)| peer.standing == Standing::Alive).map(|(id, _)| *id);
        let followed = self.settings.value(Key::Clock).parse().is_ok_and(alive);
        let (Some(lowest), false) = (lowest, followed) else {
            self.clockless_since = None;
            return Vec::new();
        };
        let since = *self.clockless_since.get_or_insert(now);
        // What was heard before that may be old: this node may have been cut off.
        if self.me.id > lowest || self.settings_known < since || now < since + PATIENCE {
            return Vec::new();
        }
        self.set(now, Key::Clock, Some(self.me.id.to_string()))
            .unwrap_or_else(|_| unreachable!("an id is a value of this setting"))
    }
}
