//! The ports that Brant listens on, and the overlay's interface. The first two are open to the LAN, the others to the overlay network only.

/// UDP: beacons and gossip, sealed datagrams.
pub const GOSSIP: u16 = 4727;
/// UDP: WireGuard.
pub const WIREGUARD: u16 = 51820;
/// TCP, overlay only: migrationd to migrationd.
pub const MIGRATION: u16 = 4728;

/// The overlay network's interface.
pub const OVERLAY_INTERFACE: &str = "brant0";
