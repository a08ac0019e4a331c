//! Each message of a node has a number of its own, and is taken once.

use super::{Instant, Membership};
use crate::wire::{Envelope, Message};
use brant_types::node::NodeId;
use rand::Rng;

impl Membership {
    /// Whether this number of a known node's is taken for the first time.
    pub(super) fn fresh(&mut self, now: Instant, from: NodeId, sequence: u64) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        if !peer.window.take(sequence) {
            self.dropped.replayed += 1;
            return false;
        }
        peer.last_heard = now;
        let standing = peer.standing;
        self.hear_anybody(now, standing);
        true
    }

    /// Seals what this node says, under its next number.
    pub(super) fn seal(&mut self, message: Message) -> Vec<u8> {
        let (nonce, envelope) = self.envelope(message);
        self.sealer.seal(nonce, &envelope)
    }

    /// A nonce, and what is to be sealed.
    pub(super) fn envelope(&mut self, message: Message) -> ([u8; 24], Vec<u8>) {
        self.sequence += 1;
        let envelope = Envelope { from: self.me.id, sequence: self.sequence, message };
        let bytes =
            postcard::to_allocvec(&envelope).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
        let mut nonce = [0; 24];
        self.rng.fill_bytes(&mut nonce);
        (nonce, bytes)
    }
}
