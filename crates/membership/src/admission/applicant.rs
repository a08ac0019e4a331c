//! The node that wants to be admitted.
//!
//! ```text
//! Shows(code) ──Begin──▶ Tried ──Sealed, and it opens──▶ (admitted)
//!      ▲                   │ 10 s without, or it does not open
//!      └──── a new code ───┘
//! ```

use super::{AGAIN, ATTEMPT, Code, DONE, REPLY, Session, Shared, Side, Word, exchange};
use crate::core::Instant;
use brant_types::boot::Admitted;
use brant_types::node::NodeFacts;
use std::net::SocketAddrV6;
use std::time::Duration;

/// How often it asks.
const ASKING: Duration = Duration::from_secs(2);
/// How often it says that it has been admitted, for the case that this is lost.
const THANKS: usize = 3;

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Wants {
    /// Send this to everybody, by all ways.
    Beacon(Vec<u8>),
    /// Send this to one node.
    Send {
        /// Where.
        to: SocketAddrV6,
        /// What.
        datagram: Vec<u8>,
    },
    /// Show this code; the one before is of no use any more.
    Show(Code),
    /// Keep this, and join.
    Join(Admitted),
}

/// An attempt of somebody.
struct Tried {
    session: Session,
    since: Instant,
    reply: Vec<u8>,
    shared: Shared,
}

/// What the applicant has of its own.
pub struct Applicant {
    facts: NodeFacts,
    code: Code,
    tried: Option<Tried>,
    asks_next: Instant,
}

impl Applicant {
    /// One that shows its first code; the seed must be random.
    pub fn new(facts: NodeFacts, seed: [u8; 32], now: Instant) -> (Self, Vec<Wants>) {
        let code = Code::random(&seed);
        let show = vec![Wants::Show(code.clone())];
        (Self { facts, code, tried: None, asks_next: now }, show)
    }

    /// The code that is shown.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// When [`Applicant::tick`] wants to be called next.
    pub fn next_tick(&self) -> Instant {
        self.tried.as_ref().map_or(self.asks_next, |tried| self.asks_next.min(tried.since + ATTEMPT))
    }

    /// Does what is due; the seed must be random.
    pub fn tick(&mut self, now: Instant, seed: [u8; 32]) -> Vec<Wants> {
        let mut wants = Vec::new();
        if self.tried.as_ref().is_some_and(|tried| now >= tried.since + ATTEMPT) {
            wants.push(self.another_code(seed));
        }
        if now >= self.asks_next {
            self.asks_next = now + ASKING;
            wants.push(Wants::Beacon(Word::Asks(self.facts.clone()).write()));
        }
        wants
    }

    /// Takes a datagram from the LAN; the seed must be random.
    pub fn datagram(
        &mut self,
        now: Instant,
        from: SocketAddrV6,
        datagram: &[u8],
        seed: [u8; 32],
    ) -> Vec<Wants> {
        match Word::read(datagram) {
            Some(Word::Begin { applicant, session, message, .. }) if applicant == self.facts.id => {
                match &self.tried {
                    Some(tried) if tried.session == session => {
                        vec![Wants::Send { to: from, datagram: tried.reply.clone() }]
                    }
                    // One guess at a time.
                    Some(_) => Vec::new(),
                    None => {
                        let (state, ours) = exchange(&Side::Applicant, &self.code, &self.facts, seed);
                        let Some(shared) = Shared::of(state, message, session) else { return Vec::new() };
                        let reply =
                            Word::Reply { session, message: ours, proof: shared.derive(REPLY) }.write();
                        self.tried = Some(Tried { session, since: now, reply: reply.clone(), shared });
                        vec![Wants::Send { to: from, datagram: reply }]
                    }
                }
            }
            Some(Word::Sealed { session, nonce, sealed }) => {
                let Some(tried) = self.tried.as_ref().filter(|tried| tried.session == session) else {
                    return Vec::new();
                };
                match tried.shared.open(nonce, &sealed) {
                    Some(admitted) => {
                        let done = Word::Done { session, proof: tried.shared.derive(DONE) }.write();
                        let thanks = Wants::Send { to: from, datagram: done };
                        std::iter::repeat_n(thanks, THANKS).chain([Wants::Join(admitted)]).collect()
                    }
                    // Not what was meant for us; the attempt runs out by itself.
                    None => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn another_code(&mut self, seed: [u8; 32]) -> Wants {
        self.tried = None;
        self.code = Code::random(&seed);
        Wants::Show(self.code.clone())
    }
}

/// So that an attempt is not over before its last word was said again.
const _: () = assert!(AGAIN.as_millis() * 4 < ATTEMPT.as_millis());
