//! How a node without the cluster's secret gets it: somebody types, on a node of the cluster, the code that the new one shows.
//!
//! ```text
//!  applicant (shows a code)                          member (somebody types the code)
//!  Asks: who I am          ── to everybody ──▶       listed, a few at a time
//!                          ◀── Begin ───────         SPAKE2, first message
//!  SPAKE2, second message  ── Reply, proof ──▶       wrong: the code was not right, nothing is sent
//!                          ◀── Sealed ──────         name and secret of the cluster
//!  opens it                ── Done, proof ───▶       admitted
//! ```
//!
//! Nothing here is authenticated before the code is; so everything is small, of fixed shape, and answers are never longer than
//! what they answer. SPAKE2 (RFC 9382) makes a code of eight digits good for one guess: whoever is in between learns
//! nothing else, and after each attempt that came to nothing the applicant shows another code. The key it speaks with is the
//! node's own, so that nobody is admitted in another's name.

mod applicant;
mod member;

pub use applicant::{Applicant, Wants};
pub use member::{Admissions, Ended, Follows, Known, Refusal};

use brant_types::boot::Admitted;
use brant_types::node::{NodeFacts, NodeId};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use std::fmt;
use std::time::Duration;

const MAGIC: &[u8; 5] = b"BRNA\x01";
/// The most that a datagram may hold; longer ones are not looked at.
const MOST: usize = 1024;
/// How long SPAKE2's messages are.
const MESSAGE: usize = 33;
/// How often something that was not answered is said again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Whether a datagram belongs to an admission.
pub fn is_admission(datagram: &[u8]) -> bool {
    datagram.starts_with(MAGIC)
}

/// One attempt, told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Session([u8; 16]);

/// What is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Word {
    /// I would like to join.
    Asks(NodeFacts),
    /// Let us see whether somebody has typed your code. The room makes it no shorter than its answer.
    Begin { applicant: NodeId, session: Session, message: Message, room: [u8; 32] },
    /// My half, and a proof that I know the code.
    Reply { session: Session, message: Message, proof: [u8; 32] },
    /// What the cluster is.
    Sealed { session: Session, nonce: [u8; 24], sealed: Vec<u8> },
    /// I have it.
    Done { session: Session, proof: [u8; 32] },
}

impl Word {
    fn write(&self) -> Vec<u8> {
        let body = postcard::to_allocvec(self).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
        [&MAGIC[..], &body].concat()
    }

    fn read(datagram: &[u8]) -> Option<Self> {
        let body = datagram.strip_prefix(MAGIC).filter(|_| datagram.len() <= MOST)?;
        postcard::from_bytes(body).ok()
    }
}

/// A half of SPAKE2's exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Message(#[serde(with = "halves")] [u8; MESSAGE]);

impl Message {
    fn of(bytes: &[u8]) -> Self {
        let mut message = [0; MESSAGE];
        message.copy_from_slice(bytes);
        Self(message)
    }
}

/// serde knows arrays of up to 32.
mod halves {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 33], to: S) -> Result<S::Ok, S::Error> {
        let [side, element @ ..] = bytes;
        (side, element).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<[u8; 33], D::Error> {
        let (side, element) = <(u8, [u8; 32])>::deserialize(from)?;
        let mut bytes = [side; 33];
        bytes[1..].copy_from_slice(&element);
        Ok(bytes)
    }
}

/// What the applicant shows, and somebody types: eight digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; 8]);

impl Code {
    /// Out of random bytes.
    pub fn random(seed: &[u8; 32]) -> Self {
        let mut number = u64::from_le_bytes(*seed.first_chunk().unwrap_or(&[0; 8]));
        let mut digits = [0; 8];
        for digit in &mut digits {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    /// As it was typed; only the digits count.
    pub fn typed(text: &str) -> Option<Self> {
        let separates = |byte: u8| byte == b'-' || byte.is_ascii_whitespace();
        let digits: Vec<u8> = text.bytes().filter(|byte| !separates(*byte)).collect();
        let digits: [u8; 8] = digits.try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }
}

/// As people read it.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        write!(f, "{}-{}", &text[..4], &text[4..])
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Which end of the exchange.
enum Side {
    Member,
    Applicant,
}

fn exchange(
    side: &Side,
    code: &Code,
    applicant: &NodeFacts,
    seed: [u8; 32],
) -> (Spake2<Ed25519Group>, Message) {
    let password = Password::new(code.0);
    let cluster = Identity::new(b"brant member");
    let whole: Vec<u8> = [&b"brant applicant"[..], &applicant.id.bytes(), &applicant.key.0].concat();
    let applicant = Identity::new(&whole);
    let random = Seeded::new(seed);
    let (state, message) = match side {
        Side::Member => Spake2::start_a_with_rng(&password, &cluster, &applicant, random),
        Side::Applicant => Spake2::start_b_with_rng(&password, &cluster, &applicant, random),
    };
    (state, Message::of(&message))
}

/// The keys that both have when the code was right, and neither otherwise.
#[derive(Clone)]
struct Shared {
    key: Vec<u8>,
    session: Session,
}

impl Shared {
    fn of(state: Spake2<Ed25519Group>, theirs: Message, session: Session) -> Option<Self> {
        state.finish(&theirs.0).ok().map(|key| Self { key, session })
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(&self.session.0), &self.key)
            .expand(purpose.as_bytes(), &mut key)
            .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        key
    }

    /// Compared in the time that all of it takes.
    fn proves(&self, purpose: &str, proof: &[u8; 32]) -> bool {
        let ours = self.derive(purpose);
        ours.iter().zip(proof).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }

    fn seal(&self, admitted: &Admitted, nonce: [u8; 24]) -> Vec<u8> {
        let message =
            postcard::to_allocvec(admitted).unwrap_or_else(|_| unreachable!("plain data, growing buffer"));
        XChaCha20Poly1305::new(&self.derive("seal").into())
            .encrypt(&XNonce::from(nonce), Payload { msg: &message, aad: MAGIC })
            .unwrap_or_else(|_| unreachable!("messages are far below the cipher's limit"))
    }

    fn open(&self, nonce: [u8; 24], sealed: &[u8]) -> Option<Admitted> {
        let opened = XChaCha20Poly1305::new(&self.derive("seal").into())
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: MAGIC })
            .ok()?;
        postcard::from_bytes(&opened).ok()
    }
}

const REPLY: &str = "applicant knows the code";
const DONE: &str = "applicant has the secret";

/// The random numbers that SPAKE2 wants, out of a seed that the shell has drawn: HKDF's output, as long as it lasts.
struct Seeded {
    hkdf: Hkdf<Sha256>,
    taken: u64,
}

impl Seeded {
    fn new(seed: [u8; 32]) -> Self {
        Self { hkdf: Hkdf::new(None, &seed), taken: 0 }
    }
}

impl rand_core::RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.taken += 1;
            self.hkdf
                .expand(&self.taken.to_le_bytes(), chunk)
                .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for Seeded {}

#[cfg(test)]
mod tests;
