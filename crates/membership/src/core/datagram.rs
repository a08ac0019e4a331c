//! What this node makes of a datagram: opened before it is parsed, and taken once.

use super::beacons::Heard;
use super::{Instant, Membership, Output};
use crate::seal::Unopened;
use crate::wire::{Envelope, Message};
use brant_types::node::{NodeId, is_node_name};
use std::net::SocketAddrV6;

impl Membership {
    /// Takes a datagram from the LAN. Never fails: what is not good is dropped and counted.
    pub fn datagram(&mut self, now: Instant, from: SocketAddrV6, datagram: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        let message = match self.open(datagram) {
            Ok(message) => message,
            Err(Unopened::Foreign) => {
                self.dropped.foreign += 1;
                return out;
            }
            Err(Unopened::Forged) => {
                self.dropped.forged += 1;
                return out;
            }
            Err(Unopened::Version(version)) => {
                self.hear_version(now, *from.ip(), version);
                return out;
            }
        };
        let Ok(envelope) = postcard::from_bytes::<Envelope>(&message) else {
            self.dropped.malformed += 1;
            return out;
        };
        // A looped switch, or a hypervisor's multicast, lets a node hear itself.
        if envelope.from == self.me.id || self.left_out.contains(&envelope.from) {
            return out;
        }
        match envelope.message {
            Message::Beacon { facts, renewal, addresses, asks } => {
                if facts.id != envelope.from
                    || NodeId::of(&facts.key) != facts.id
                    || !is_node_name(&facts.name)
                {
                    self.dropped.malformed += 1;
                } else {
                    let heard = Heard { from, sequence: envelope.sequence, facts, renewal, addresses };
                    // A recorded one is not answered: its sender may be anybody.
                    if self.beacon(now, heard, &mut out) && asks {
                        let datagram = self.sealed_beacon(false);
                        out.push(Output::Send { to: from, datagram });
                    }
                }
            }
            Message::Swim(packet) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    // SWIM refuses packets that are out of turn; nothing changes by that.
                    let _refused = self.swim.handle_data(&packet, &mut self.runtime);
                    self.drain_swim(now, &mut out);
                }
            }
            Message::Loads(news) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_loads(news);
                }
            }
            Message::Settings(entries) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_settings(now, envelope.from, entries, &mut out);
                }
            }
            Message::Who(ids) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.introduce(envelope.from, &ids, &mut out);
                }
            }
            Message::Introduce(nodes) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.meet(from, &nodes, &mut out);
                }
            }
            Message::Rotation { secret, without } => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_rotation(now, (from, envelope.from), (secret, without), &mut out);
                }
            }
            Message::Taken(secret) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_taken((from, envelope.from), &secret, &mut out);
                }
            }
            Message::MembersDigest(digest) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_members_digest(envelope.from, digest, &mut out);
                }
            }
            Message::MembersParts(parts) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_members_parts(envelope.from, &parts, &mut out);
                }
            }
            Message::MembersOf { parts, members } => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_members_of(now, envelope.from, (parts, &members), &mut out);
                }
            }
            Message::MembersNews(members) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_members_news(now, envelope.from, &members, &mut out);
                }
            }
            Message::SettingsDigest(digest) => {
                if self.fresh(now, envelope.from, envelope.sequence) {
                    self.hear_settings_digest(now, envelope.from, digest, &mut out);
                }
            }
        }
        out
    }
}
