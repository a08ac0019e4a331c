//! The cluster's secret, and the keys that are drawn from it.

use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;

/// The 32 bytes that make a PC a member of a cluster. Never printed, never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterSecret([u8; 32]);

impl ClusterSecret {
    /// A secret from 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for one purpose (HKDF-SHA256, RFC 5869); purposes never share a key.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(b"brant 1"), &self.0)
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

    /// The secret in hexadecimal, for the one file that holds it.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

/// A secret that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster secret is 64 hexadecimal digits")]
pub struct BadSecret;

impl FromStr for ClusterSecret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadSecret);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| BadSecret)?;
        }
        Ok(Self(bytes))
    }
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
}
