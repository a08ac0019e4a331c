//! Who a node is: its id, its addresses on the overlay, and what it says of itself.

use crate::processor::Features;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A node's id: 8 bytes drawn from its WireGuard public key, never from an address.
///
/// As text it is 16 hexadecimal digits; in binary formats, its 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 8]);

impl NodeId {
    /// The id that belongs to a key.
    pub fn of(key: &WireGuardKey) -> Self {
        let digest = Sha256::new().chain_update(b"brant node 1").chain_update(key.0).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }

    /// The id's bytes, as they go over the wire.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl From<[u8; 8]> for NodeId {
    fn from(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct BadText {
    /// What was expected.
    pub what: &'static str,
    /// What was there.
    pub text: String,
}

impl FromStr for NodeId {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let bad = || BadText { what: "a node id (16 hexadecimal digits)", text: text.to_owned() };
        if text.len() != 16 || !text.is_ascii() {
            return Err(bad());
        }
        u64::from_str_radix(text, 16).map(|id| Self(id.to_be_bytes())).map_err(|_| bad())
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 8]>::deserialize(from).map(Self)
        }
    }
}

/// A WireGuard public key (Curve25519).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireGuardKey(pub [u8; 32]);

impl WireGuardKey {
    /// Reads the base64 form that `wg` prints.
    ///
    /// # Errors
    /// [`BadText`] unless it is 44 characters of base64 for 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, BadText> {
        let bad = || BadText { what: "a WireGuard key", text: "…".to_owned() };
        let text = text.trim().as_bytes();
        if text.len() != 44 || text[43] != b'=' {
            return Err(bad());
        }
        let mut bits = 0_u32;
        let mut bit_count = 0;
        let mut key = Vec::with_capacity(33);
        for symbol in &text[..43] {
            let value = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(bad()),
            };
            bits = (bits << 6) | u32::from(value);
            bit_count += 6;
            if bit_count >= 8 {
                bit_count -= 8;
                key.push((bits >> bit_count) as u8);
            }
        }
        key.try_into().map(Self).map_err(|_| bad())
    }

    /// The base64 form that `wg` reads.
    pub fn to_base64(&self) -> String {
        base64(&self.0)
    }
}

/// Standard base64 with padding (RFC 4648), for the keys that `wg` reads.
pub fn base64(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            if position <= chunk.len() {
                text.push(char::from(SYMBOLS[(word >> (18 - 6 * position)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// A cluster's public id, drawn from its secret: says which cluster a datagram is for, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterId(pub [u8; 8]);

impl ClusterId {
    /// The id that belongs to a secret.
    pub fn of(secret: &crate::secret::ClusterSecret) -> Self {
        if let Some(inherited) = secret.inherited_cluster() {
            return Self(inherited);
        }
        let mut id = [0; 8];
        id.copy_from_slice(&secret.key("cluster id")[..8]);
        Self(id)
    }

    /// The cluster's overlay network, 64 bits long.
    pub fn network(self) -> Ipv6Addr {
        let [a, b, c, d, ..] = self.overlay_address(NodeId([0; 8])).segments();
        Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
    }

    /// A node's stable address on the cluster's overlay network: a unique local address (RFC 4193) whose global
    /// id is the cluster's and whose interface id is the node's.
    pub fn overlay_address(self, node: NodeId) -> Ipv6Addr {
        let mut address = [0_u8; 16];
        address[0] = 0xfd;
        address[1..6].copy_from_slice(&self.0[..5]);
        address[8..].copy_from_slice(&node.0);
        address.into()
    }
}

/// What a node says of itself; it does not change while the node is up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its id; must be the one that belongs to `key`.
    pub id: NodeId,
    /// Its name: one RFC 1123 label.
    pub name: String,
    /// Its WireGuard public key.
    pub key: WireGuardKey,
    /// The UDP port that its WireGuard listens on.
    pub port: u16,
    /// Processors.
    pub cores: u16,
    /// Memory, KiB.
    pub memory_kib: u64,
    /// One core's measured speed, in thousands of a reference loop's rounds a second.
    pub speed: u32,
    /// What the image was built from.
    pub image_id: String,
    /// The processor's features, as programs see them.
    pub cpu: Features,
}

#[cfg(any(test, feature = "testing"))]
impl NodeFacts {
    /// An ordinary node for tests: `node-N`, with a key made of Ns.
    pub fn sample(n: u8) -> Self {
        let key = WireGuardKey([n; 32]);
        Self {
            id: NodeId::of(&key),
            name: format!("node-{n}"),
            key,
            port: 51820,
            cores: 1,
            memory_kib: 1 << 20,
            speed: 1000,
            image_id: "image".to_owned(),
            cpu: Features::default(),
        }
    }
}

/// The longest name of a node, bytes (RFC 1123).
pub const LONGEST_NAME: usize = 63;

/// What means something else where a node's name may stand: `brant migrate PID home`, `/etc/hosts`.
const RESERVED: [&str; 6] =
    ["balance", "home", "ip6-allnodes", "ip6-allrouters", "ip6-localhost", "localhost"];

/// Whether a text may be a node's name: one RFC 1123 label, in lower case, no word with another meaning, and no number, which
/// programs would take for an address (inet_aton(3)).
pub fn is_node_name(text: &str) -> bool {
    let is_number = |text: &str| {
        let hexadecimal =
            text.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        hexadecimal || text.bytes().all(|b| b.is_ascii_digit())
    };
    (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !is_number(text)
        && !RESERVED.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_nothing_else() {
        for name in ["a", "node-7", "7-of-9", "1e3", "0x1g", "home-1", &"x".repeat(63)] {
            assert!(is_node_name(name), "{name}");
        }
        for name in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a b",
            "home",
            "balance",
            "localhost",
            "101",
            "0x1f",
            &"x".repeat(64),
        ] {
            assert!(!is_node_name(name), "{name}");
        }
    }

    #[test]
    fn keys_read_what_they_write() {
        let key = WireGuardKey(std::array::from_fn(|i| (i * 7) as u8));
        assert_eq!(WireGuardKey::from_base64(&key.to_base64()), Ok(key));
        assert!(WireGuardKey::from_base64("short").is_err());
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(b"M"), "TQ==");
    }

    #[test]
    fn ids_round_trip_as_text() {
        let id = NodeId::of(&WireGuardKey([3; 32]));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("00".parse::<NodeId>().is_err());
    }

    #[test]
    fn overlay_addresses_are_unique_local_and_carry_the_id() {
        let cluster = ClusterId([9; 8]);
        let node = NodeId::from([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(cluster.overlay_address(node).to_string(), "fd09:909:909:0:102:304:506:708");
    }

    #[test]
    fn names_are_single_labels() {
        assert!(is_node_name("quiet-heron"));
        for bad in ["", "-a", "a.b", "Ä", "localhost", "a b"] {
            assert!(!is_node_name(bad), "{bad}");
        }
    }
}
