//! Spreading settings: a change goes to a few random members at once, and on from each that it is new to; and every
//! other second each node compares digests with one, so that those who missed it, or were away, hear of it.

use super::{Instant, Membership, Output};
use crate::wire::Message;
use brant_types::node::NodeId;
use brant_types::settings::{BadValue, Key, Setting, Settings};
use std::net::SocketAddrV6;

/// To how many random members a change goes at once (Demers et al. 1987: rumours).
const FANOUT: usize = 3;
/// Most registers in one datagram.
const MOST_IN_ONE: usize = 8;

impl Membership {
    /// What holds on all nodes.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes a setting for the whole cluster; none goes back to what holds by itself.
    ///
    /// # Errors
    /// [`BadValue`]; nothing has changed.
    pub fn set(&mut self, now: Instant, key: Key, value: Option<String>) -> Result<Vec<Output>, BadValue> {
        self.settings.set(key, value, self.me.id)?;
        Ok(self.tell_settings(now))
    }

    /// Takes what an earlier run of this agent has known.
    pub fn remember(&mut self, now: Instant, settings: &Settings) -> Vec<Output> {
        if self.settings.merge(settings) { self.tell_settings(now) } else { Vec::new() }
    }

    pub(super) fn hear_settings(
        &mut self,
        now: Instant,
        from: NodeId,
        entries: Vec<(String, Setting)>,
        out: &mut Vec<Output>,
    ) {
        // Else it cannot be seen whether this is all, or the last of several.
        let all_of_them = self.settings.iter().count().max(entries.len()) < MOST_IN_ONE;
        let theirs = Settings::of(entries);
        if self.settings.merge(&theirs) {
            out.extend(self.tell_settings(now));
        } else if all_of_them && self.settings.has_news_for(&theirs) {
            self.send_settings(from, out);
        }
    }

    pub(super) fn hear_settings_digest(
        &mut self,
        now: Instant,
        from: NodeId,
        digest: u64,
        out: &mut Vec<Output>,
    ) {
        if digest == self.settings.digest() {
            self.settings_known = now;
        } else {
            self.send_settings(from, out);
        }
    }

    pub(super) fn send_settings(&mut self, to: NodeId, out: &mut Vec<Output>) {
        if let Some(to) = self.peers.get(&to).map(|peer| peer.heard_at) {
            self.send_settings_to(to, out);
        }
    }

    fn tell_settings(&mut self, now: Instant) -> Vec<Output> {
        let mut out = Vec::new();
        self.refresh_config(now, &mut out);
        for to in self.some_members(FANOUT) {
            self.send_settings_to(to, &mut out);
        }
        out
    }

    fn send_settings_to(&mut self, to: SocketAddrV6, out: &mut Vec<Output>) {
        let entries: Vec<(String, Setting)> =
            self.settings.iter().map(|(name, setting)| (name.to_owned(), setting.clone())).collect();
        // None at all is news as well, to be answered.
        let parts: Vec<&[(String, Setting)]> =
            if entries.is_empty() { vec![&[]] } else { entries.chunks(MOST_IN_ONE).collect() };
        for part in parts {
            let datagram = self.seal(Message::Settings(part.to_vec()));
            out.push(Output::Send { to, datagram });
        }
    }
}
