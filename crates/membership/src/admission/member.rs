//! The node of the cluster where somebody types a code.
//!
//! ```text
//! begin ─▶ Greeted ──Reply, its proof is right──▶ Told ──Done──▶ Admitted
//!             │ its proof is wrong ▶ WrongCode      │ 10 s
//!             │ 10 s ▶ NoAnswer                     └────────▶ NoAnswer
//! ```

use super::{AGAIN, ATTEMPT, Code, DONE, Message, REPLY, Session, Shared, Side, Word, exchange};
use crate::core::Instant;
use brant_types::boot::Admitted;
use brant_types::node::{NodeFacts, NodeId, is_node_name};
use spake2::{Ed25519Group, Spake2};
use std::collections::BTreeMap;
use std::net::SocketAddrV6;
use std::time::Duration;

/// Most applicants that are listed at a time: anybody on the LAN can ask.
const MOST_APPLICANTS: usize = 16;
/// One that is not heard again is not listed any more after this long.
const LISTED_FOR: Duration = Duration::from_secs(15);

/// A node that asks to be admitted. What it says of itself is not proven.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Who it says it is.
    pub facts: NodeFacts,
    /// Where it was heard.
    pub heard_at: SocketAddrV6,
    heard: Instant,
}

/// How an attempt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It has the cluster's secret.
    Admitted,
    /// The code was another one; it shows a new one by now.
    WrongCode,
    /// It did not answer.
    NoAnswer,
}

/// Why there is no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody of that name or id asks.
    #[error("nobody of that name asks to be admitted")]
    NobodyAsks,
    /// Several of that name ask.
    #[error("several of that name ask to be admitted; say which by its id")]
    SeveralAsk,
    /// An attempt with this one is under way.
    #[error("somebody is admitting this node already")]
    UnderWay,
}

/// What follows from a datagram, or from the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Follows {
    /// What to send, and where.
    pub send: Vec<(SocketAddrV6, Vec<u8>)>,
    /// Which attempts have ended.
    pub ended: Vec<(NodeId, Ended)>,
}

enum Stage {
    Greeted { state: Spake2<Ed25519Group> },
    Told { shared: Shared },
}

struct Attempt {
    applicant: NodeId,
    session: Session,
    to: SocketAddrV6,
    began: Instant,
    again: Instant,
    said: Vec<u8>,
    nonce: [u8; 24],
    stage: Stage,
}

/// Who asks, and with whom an attempt is under way.
pub struct Admissions {
    admitted: Admitted,
    known: BTreeMap<NodeId, Known>,
    attempts: Vec<Attempt>,
}

impl Admissions {
    /// Nobody asks yet; who is admitted gets this.
    pub fn new(admitted: Admitted) -> Self {
        Self { admitted, known: BTreeMap::new(), attempts: Vec::new() }
    }

    /// Who is admitted from now on gets this.
    pub fn admit_to(&mut self, admitted: Admitted) {
        self.admitted = admitted;
    }

    /// Who asks.
    pub fn applicants(&self) -> impl Iterator<Item = &Known> {
        self.known.values()
    }

    /// When [`Admissions::tick`] wants to be called next, if at all.
    pub fn next_tick(&self) -> Option<Instant> {
        self.attempts.iter().map(|attempt| attempt.again.min(attempt.began + ATTEMPT)).min()
    }

    /// Begins an attempt; the seed must be random. Returns whom it is with, and what to send where.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has begun.
    pub fn begin(
        &mut self,
        now: Instant,
        who: &str,
        code: &Code,
        seed: [u8; 32],
    ) -> Result<(NodeId, SocketAddrV6, Vec<u8>), Refusal> {
        self.forget_old(now);
        let matches = |known: &&Known| known.facts.name == who || known.facts.id.to_string() == who;
        let mut found = self.known.values().filter(matches);
        let known = found.next().ok_or(Refusal::NobodyAsks)?;
        if found.next().is_some() {
            return Err(Refusal::SeveralAsk);
        }
        let applicant = known.facts.id;
        if self.attempts.iter().any(|attempt| attempt.applicant == applicant) {
            return Err(Refusal::UnderWay);
        }
        let (state, message) = exchange(&Side::Member, code, &known.facts, seed);
        // Out of the same seed by another way than the exchange's numbers.
        let mut bytes = [0; 40];
        hkdf::Hkdf::<sha2::Sha256>::new(Some(b"brant session"), &seed)
            .expand(&[], &mut bytes)
            .unwrap_or_else(|_| unreachable!("40 bytes are within HKDF's limit"));
        let (mut session, mut nonce) = ([0; 16], [0; 24]);
        session.copy_from_slice(&bytes[..16]);
        nonce.copy_from_slice(&bytes[16..]);
        let session = Session(session);
        let said = Word::Begin { applicant, session, message, room: [0; 32] }.write();
        let to = known.heard_at;
        self.attempts.push(Attempt {
            applicant,
            session,
            to,
            began: now,
            again: now + AGAIN,
            said: said.clone(),
            nonce,
            stage: Stage::Greeted { state },
        });
        Ok((applicant, to, said))
    }

    /// Says again what was not answered, and ends what took too long.
    pub fn tick(&mut self, now: Instant) -> Follows {
        self.forget_old(now);
        let mut follows = Follows::default();
        self.attempts.retain(|attempt| {
            let over = now >= attempt.began + ATTEMPT;
            if over {
                follows.ended.push((attempt.applicant, Ended::NoAnswer));
            }
            !over
        });
        for attempt in &mut self.attempts {
            if now >= attempt.again {
                attempt.again = now + AGAIN;
                follows.send.push((attempt.to, attempt.said.clone()));
            }
        }
        follows
    }

    /// Takes a datagram from the LAN.
    pub fn datagram(&mut self, now: Instant, from: SocketAddrV6, datagram: &[u8]) -> Follows {
        match Word::read(datagram) {
            Some(Word::Asks(facts)) => {
                self.list(now, from, facts);
                Follows::default()
            }
            Some(Word::Reply { session, message, proof }) => self.reply(now, session, message, &proof),
            Some(Word::Done { session, proof }) => self.done(session, &proof),
            _ => Follows::default(),
        }
    }

    fn reply(&mut self, now: Instant, session: Session, message: Message, proof: &[u8; 32]) -> Follows {
        let mut follows = Follows::default();
        let here =
            |attempt: &Attempt| attempt.session == session && matches!(attempt.stage, Stage::Greeted { .. });
        let Some(at) = self.attempts.iter().position(here) else { return follows };
        let mut attempt = self.attempts.swap_remove(at);
        let Stage::Greeted { state } = attempt.stage else { return follows };
        match Shared::of(state, message, session).filter(|shared| shared.proves(REPLY, proof)) {
            Some(shared) => {
                let sealed = shared.seal(&self.admitted, attempt.nonce);
                attempt.said = Word::Sealed { session, nonce: attempt.nonce, sealed }.write();
                attempt.again = now + AGAIN;
                attempt.stage = Stage::Told { shared };
                follows.send.push((attempt.to, attempt.said.clone()));
                self.attempts.push(attempt);
            }
            None => follows.ended.push((attempt.applicant, Ended::WrongCode)),
        }
        follows
    }

    fn done(&mut self, session: Session, proof: &[u8; 32]) -> Follows {
        let mut follows = Follows::default();
        let told = |attempt: &Attempt| {
            attempt.session == session
                && matches!(&attempt.stage, Stage::Told { shared } if shared.proves(DONE, proof))
        };
        if let Some(at) = self.attempts.iter().position(told) {
            let id = self.attempts.swap_remove(at).applicant;
            self.known.remove(&id);
            follows.ended.push((id, Ended::Admitted));
        }
        follows
    }

    fn list(&mut self, now: Instant, from: SocketAddrV6, facts: NodeFacts) {
        self.forget_old(now);
        if NodeId::of(&facts.key) != facts.id || !is_node_name(&facts.name) {
            return;
        }
        if self.known.len() < MOST_APPLICANTS || self.known.contains_key(&facts.id) {
            self.known.insert(facts.id, Known { facts, heard_at: from, heard: now });
        }
    }

    fn forget_old(&mut self, now: Instant) {
        self.known.retain(|_, known| now.saturating_sub(known.heard) < LISTED_FOR);
    }
}
