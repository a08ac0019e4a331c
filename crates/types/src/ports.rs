//! The ports that Brant listens on. The first two are open to the LAN, the others to the overlay network only.

/// UDP: beacons and gossip, sealed datagrams.
pub const GOSSIP: u16 = 4727;
/// UDP: WireGuard.
pub const WIREGUARD: u16 = 51820;
/// TCP, overlay only: migrationd to migrationd.
pub const MIGRATION: u16 = 4728;
