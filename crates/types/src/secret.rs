//! The cluster's secret, and the keys that are drawn from it.

use crate::node::ClusterId;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;

/// The 32 bytes that make a PC a member of a cluster. Never printed, never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterSecret {
    bytes: [u8; 32],
    /// Of one that came after another.
    succession: Option<Succession>,
}

/// What the secrets of one cluster have in common, and what orders them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Succession {
    /// The cluster's id, drawn from its first secret: addresses and names stay.
    cluster: [u8; 8],
    /// How many came before.
    generation: u32,
}

impl ClusterSecret {
    /// A secret from 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, succession: None }
    }

    /// The secret that takes this one's place in its cluster, from 32 random bytes.
    #[must_use]
    pub fn successor(&self, bytes: [u8; 32]) -> Self {
        let cluster = ClusterId::of(self).0;
        let generation = self.generation().saturating_add(1);
        Self { bytes, succession: Some(Succession { cluster, generation }) }
    }

    /// How many secrets its cluster had before.
    pub fn generation(&self) -> u32 {
        self.succession.map_or(0, |succession| succession.generation)
    }

    /// The cluster's id, if it was drawn from an earlier secret.
    pub(crate) fn inherited_cluster(&self) -> Option<[u8; 8]> {
        self.succession.map(|succession| succession.cluster)
    }

    /// What this secret is known again by, in hexadecimal, where it is not to be kept itself.
    pub fn mark(&self) -> String {
        self.key("mark").iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key for one purpose (HKDF-SHA256, RFC 5869); purposes never share a key.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(b"brant 1"), &self.bytes)
            .expand(purpose.as_bytes(), &mut key)
            .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        key
    }

    /// A proof of knowing the secret, bound to this one conversation by what both sides made up for it.
    pub fn proof(&self, purpose: &str, conversation: &[u8]) -> [u8; 32] {
        let mut proof = [0; 32];
        Hkdf::<Sha256>::new(Some(conversation), &self.key(purpose))
            .expand(b"proof", &mut proof)
            .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        proof
    }

    /// The secret in hexadecimal, for the one file that holds it; behind one that came after another, the cluster's id and how
    /// many came before.
    pub fn reveal(&self) -> String {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let secret = hexadecimal(&self.bytes);
        match &self.succession {
            Some(Succession { cluster, generation }) => {
                format!("{secret}:{}:{generation}", hexadecimal(cluster))
            }
            None => secret,
        }
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

/// A secret that is not 64 hexadecimal digits, with or without what [`ClusterSecret::reveal`] writes behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster secret is 64 hexadecimal digits")]
pub struct BadSecret;

impl FromStr for ClusterSecret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        match parts[..] {
            [secret] => Ok(Self { bytes: bytes_of(secret)?, succession: None }),
            [secret, cluster, generation] => {
                let generation = generation.parse().map_err(|_| BadSecret)?;
                let succession = Some(Succession { cluster: bytes_of(cluster)?, generation });
                Ok(Self { bytes: bytes_of(secret)?, succession })
            }
            _ => Err(BadSecret),
        }
    }
}

fn bytes_of<const N: usize>(text: &str) -> Result<[u8; N], BadSecret> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BadSecret);
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| BadSecret)?;
    }
    Ok(bytes)
}

impl TryFrom<String> for ClusterSecret {
    type Error = BadSecret;
    fn try_from(text: String) -> Result<Self, BadSecret> {
        text.parse()
    }
}

impl From<ClusterSecret> for String {
    fn from(secret: ClusterSecret) -> Self {
        secret.reveal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_secret() {
        let a = ClusterSecret::from_bytes([1; 32]);
        let b = ClusterSecret::from_bytes([2; 32]);
        assert_ne!(a.key("beacon"), a.key("gossip"));
        assert_ne!(a.key("beacon"), b.key("beacon"));
    }

    #[test]
    fn text_form_round_trips_and_debug_hides() {
        let secret = ClusterSecret::from_bytes([0xab; 32]);
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains("ab"));
        assert_eq!("xyz".parse::<ClusterSecret>(), Err(BadSecret));
    }

    #[test]
    fn a_successor_is_of_the_same_cluster_and_has_other_keys() {
        let first = ClusterSecret::from_bytes([1; 32]);
        let third = first.successor([2; 32]).successor([3; 32]);
        assert_eq!(ClusterId::of(&third), ClusterId::of(&first));
        assert_ne!(third.key("datagram"), first.key("datagram"));
        assert_eq!((first.generation(), third.generation()), (0, 2));
        assert_eq!(third.reveal().parse(), Ok(third.clone()));
        for bad in [":", "::", "00:00:1", &format!("{}:{}:x", "0".repeat(64), "0".repeat(16))] {
            assert_eq!(bad.parse::<ClusterSecret>(), Err(BadSecret), "{bad}");
        }
    }
}
