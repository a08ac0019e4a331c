//! Sealing and opening datagrams: XChaCha20-Poly1305 under a key of the cluster, a random nonce each.
//!
//! ```text
//! | "BRNT" | version | cluster id (8) | nonce (24) | ciphertext and tag |
//!  └──────── authenticated as it stands ┘
//! ```

use brant_types::node::ClusterId;
use brant_types::secret::ClusterSecret;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const MAGIC: &[u8; 4] = b"BRNT";
/// The version of all that nodes say to each other on the LAN.
pub const VERSION: u8 = 3;
const HEADER: usize = 4 + 1 + 8;
const NONCE: usize = 24;
/// The most that a datagram may hold; longer ones are not looked at.
pub const MOST: usize = 1472;

/// Why a datagram was not opened. Nothing of it was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// Not a datagram of Brant's, or one for another cluster.
    #[error("not for this cluster")]
    Foreign,
    /// Made with another secret, or changed on the way.
    #[error("not made with this cluster's secret")]
    Forged,
    /// Made with this cluster's secret, by a node that speaks another version of the protocol.
    #[error("of version {0} of the protocol")]
    Version(u8),
}

/// The cluster's datagram key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    header: [u8; HEADER],
}

impl Sealer {
    /// The key that belongs to a secret.
    pub fn new(secret: &ClusterSecret) -> Self {
        Self::of_version(secret, VERSION)
    }

    /// The same for a node that speaks another version, as tests play it.
    pub fn of_version(secret: &ClusterSecret, version: u8) -> Self {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4] = version;
        header[5..].copy_from_slice(&ClusterId::of(secret).0);
        Self { cipher: XChaCha20Poly1305::new(&secret.key("datagram").into()), header }
    }

    /// Seals a message; the nonce must be random.
    pub fn seal(&self, nonce: [u8; NONCE], message: &[u8]) -> Vec<u8> {
        let payload = Payload { msg: message, aad: &self.header };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .unwrap_or_else(|_| unreachable!("messages are far below the cipher's limit"));
        [&self.header[..], &nonce, &sealed].concat()
    }

    /// Opens a datagram.
    ///
    /// # Errors
    /// [`Unopened`]; nothing was parsed.
    pub fn open(&self, datagram: &[u8]) -> Result<Vec<u8>, Unopened> {
        if datagram.len() > MOST || datagram.len() < HEADER + NONCE {
            return Err(Unopened::Foreign);
        }
        // The version is authenticated with the rest, so whoever says another one has the secret.
        let version = datagram[4];
        if datagram[..4] != self.header[..4] || datagram[5..HEADER] != self.header[5..] {
            return Err(Unopened::Foreign);
        }
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&datagram[HEADER..HEADER + NONCE]);
        let payload = Payload { msg: &datagram[HEADER + NONCE..], aad: &datagram[..HEADER] };
        let opened = self.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| Unopened::Forged)?;
        if version == self.header[4] { Ok(opened) } else { Err(Unopened::Version(version)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let ours = Sealer::new(&ClusterSecret::from_bytes([1; 32]));
        let theirs = Sealer::new(&ClusterSecret::from_bytes([2; 32]));
        let sealed = ours.seal([7; 24], b"hello");
        assert_eq!(ours.open(&sealed).as_deref(), Ok(&b"hello"[..]));
        assert_eq!(theirs.open(&sealed), Err(Unopened::Foreign));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open(&changed).is_err(), "byte {at}");
        }
        assert_eq!(ours.open(b"short"), Err(Unopened::Foreign));
    }

    #[test]
    fn another_version_is_told_apart_and_only_by_whoever_has_the_secret() {
        let secret = ClusterSecret::from_bytes([1; 32]);
        let ours = Sealer::new(&secret);
        let later = Sealer::of_version(&secret, VERSION + 1);
        let sealed = later.seal([7; 24], b"hello");
        assert_eq!(ours.open(&sealed), Err(Unopened::Version(VERSION + 1)));
        assert_eq!(later.open(&ours.seal([7; 24], b"hello")), Err(Unopened::Version(VERSION)));
        let mut said = ours.seal([7; 24], b"hello");
        said[4] = VERSION + 1;
        assert_eq!(ours.open(&said), Err(Unopened::Forged));
    }

    #[test]
    fn another_secret_with_a_copied_header_is_forged() {
        let ours = Sealer::new(&ClusterSecret::from_bytes([1; 32]));
        let theirs = Sealer::new(&ClusterSecret::from_bytes([2; 32]));
        let mut sealed = theirs.seal([7; 24], b"hello");
        sealed[..HEADER].copy_from_slice(&ours.header);
        assert_eq!(ours.open(&sealed), Err(Unopened::Forged));
    }
}
