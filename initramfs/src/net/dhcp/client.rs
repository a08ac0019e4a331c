//! The client's state machine (RFC 2131, figure 5). Pure: times come in, messages and leases go out.
//!
//! ```text
//! Off → Selecting ──offer──→ Requesting ──ack──→ Bound ──T1──→ Renewing ──T2──→ Rebinding ──expiry──→ Selecting
//!  │        ↑                    │ nak, no answer  ↑              │ ack            │ ack
//!  │        ├────────────────────┴─────────────────┼──────────────┴────────────────┘
//!  └─→ Rebooting ───────────────ack────────────────┘   with the address of an earlier boot; nak, no answer: Selecting
//! ```
//! It never gives up: without an answer it asks at most once a minute, for ever. An address is dropped when the
//! server refuses it or the lease runs out, and at no other time.

use super::super::jitter::Jitter;
use super::lease::Lease;
use std::net::Ipv4Addr;
use std::time::Duration;

const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// How often an offer is asked for before another server is looked for.
const REQUESTS: u32 = 4;
/// How often the address of an earlier boot is asked for before any is taken.
const REBOOTS: u32 = 2;
/// The shortest wait between renewals (RFC 2131, 4.4.5).
const LEAST_RENEWAL: Duration = Duration::from_secs(60);

/// A message to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// REQUEST, else DISCOVER.
    pub(crate) request: bool,
    pub(crate) transaction: u32,
    pub(crate) trying_for: Duration,
    /// The address that is configured already.
    pub(crate) own_address: Option<Ipv4Addr>,
    /// The address that is wished for.
    pub(crate) wanted: Option<Ipv4Addr>,
    /// The server whose offer is taken.
    pub(crate) server: Option<Ipv4Addr>,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Everybody on the link.
    Broadcast,
    /// The server, from the address that we have.
    Unicast { from: Ipv4Addr, to: Ipv4Addr },
}

/// A message from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) transaction: u32,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) kind: ReplyKind,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplyKind {
    Offer(Lease),
    Ack(Lease),
    Nak,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Outgoing, Destination),
    /// Configure this, in place of an earlier lease.
    Configure(Lease),
    /// The lease is over: take its address away.
    Deconfigure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Off,
    Rebooting {
        address: Ipv4Addr,
        tries: u32,
    },
    Selecting {
        tries: u32,
    },
    Requesting {
        offer: Lease,
        tries: u32,
    },
    Bound {
        lease: Lease,
        granted: Duration,
    },
    /// Asking the server itself, and after T2 any server, for more time.
    Renewing {
        lease: Lease,
        granted: Duration,
        tries: u32,
    },
}

/// The client of one link. Times are since any fixed moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    jitter: Jitter,
    state: State,
    transaction: u32,
    /// When the present exchange began, and when its last message was sent.
    began: Duration,
    sent: Duration,
    deadline: Option<Duration>,
    /// What an earlier boot had, until it is refused or nobody has answered.
    remembered: Option<Ipv4Addr>,
}

impl Client {
    /// A client that is off, and asks first for this address, if there is one; the seed spreads its retries.
    pub(crate) fn new(seed: u64, remembered: Option<Ipv4Addr>) -> Self {
        let (zero, jitter) = (Duration::ZERO, Jitter::new(seed));
        Self {
            jitter,
            state: State::Off,
            transaction: 0,
            began: zero,
            sent: zero,
            deadline: None,
            remembered,
        }
    }

    /// When it wants to be called next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The lease that is in force.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound { lease, .. } | State::Renewing { lease, .. } => Some(lease),
            State::Off | State::Rebooting { .. } | State::Selecting { .. } | State::Requesting { .. } => None,
        }
    }

    /// How long it has been asking in vain; `None` while it has a lease or is off.
    pub(crate) fn in_vain_for(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Rebooting { .. } | State::Selecting { .. } | State::Requesting { .. } => {
                Some(now.saturating_sub(self.began))
            }
            State::Off | State::Bound { .. } | State::Renewing { .. } => None,
        }
    }

    /// The link has come up (again): asks for an address, or whether the one we have is still good here.
    pub(crate) fn link_up(&mut self, now: Duration) -> Vec<Action> {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Off | State::Rebooting { .. } | State::Selecting { .. } | State::Requesting { .. } => {
                self.begin(now);
                match self.remembered {
                    Some(address) => self.reboot(now, address, 0),
                    None => self.discover(now, 0),
                }
            }
            State::Bound { lease, granted } | State::Renewing { lease, granted, .. } => {
                self.begin(now);
                self.confirm(now, lease, granted)
            }
        }
    }

    /// The link has gone down: no more questions. A lease stays in force, as the link may come back.
    pub(crate) fn link_down(&mut self) {
        if self.lease().is_none() {
            self.state = State::Off;
            self.deadline = None;
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Duration) -> Vec<Action> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        match std::mem::replace(&mut self.state, State::Off) {
            State::Off => Vec::new(),
            State::Rebooting { tries, .. } if tries >= REBOOTS => self.forget_and_select(now),
            State::Rebooting { address, tries } => self.reboot(now, address, tries),
            State::Selecting { tries } => self.discover(now, tries),
            State::Requesting { tries, .. } if tries >= REQUESTS => self.select(now),
            State::Requesting { offer, tries } => self.request(now, offer, tries),
            State::Bound { lease, granted } => {
                self.begin(now);
                self.renew(now, lease, granted, 0)
            }
            State::Renewing { lease, granted, .. } if now >= granted + lease.expires_after => {
                let mut actions = vec![Action::Deconfigure];
                actions.extend(self.select(now));
                actions
            }
            State::Renewing { lease, granted, tries } => self.renew(now, lease, granted, tries),
        }
    }

    /// Hears a server.
    pub(crate) fn on_reply(&mut self, now: Duration, reply: Reply) -> Vec<Action> {
        if reply.transaction != self.transaction {
            return Vec::new();
        }
        match (std::mem::replace(&mut self.state, State::Off), reply.kind) {
            (State::Rebooting { address, .. }, ReplyKind::Ack(lease)) if lease.address == address => {
                self.bind(now, lease)
            }
            (State::Rebooting { .. }, ReplyKind::Nak) => self.forget_and_select(now),
            (State::Selecting { .. }, ReplyKind::Offer(offer)) => self.request(now, offer, 0),
            (State::Requesting { offer, .. }, ReplyKind::Ack(lease)) if lease.server == offer.server => {
                self.bind(now, lease)
            }
            (State::Requesting { offer, .. }, ReplyKind::Nak)
                if reply.server.is_none_or(|server| server == offer.server) =>
            {
                self.select(now)
            }
            (State::Renewing { .. }, ReplyKind::Ack(lease)) => self.bind(now, lease),
            (State::Renewing { .. }, ReplyKind::Nak) => {
                let mut actions = vec![Action::Deconfigure];
                actions.extend(self.select(now));
                actions
            }
            // A late or doubled answer changes nothing.
            (state, _) => {
                self.state = state;
                Vec::new()
            }
        }
    }

    fn begin(&mut self, now: Duration) {
        self.began = now;
        self.transaction = self.jitter.number();
    }

    fn select(&mut self, now: Duration) -> Vec<Action> {
        self.begin(now);
        self.discover(now, 0)
    }

    /// Any address will do. It has been asking for as long as before.
    fn forget_and_select(&mut self, now: Duration) -> Vec<Action> {
        self.remembered = None;
        self.transaction = self.jitter.number();
        self.discover(now, 0)
    }

    fn discover(&mut self, now: Duration, tries: u32) -> Vec<Action> {
        self.state = State::Selecting { tries: tries + 1 };
        self.wait(now, tries);
        vec![Action::Send(self.message(now, false), Destination::Broadcast)]
    }

    /// INIT-REBOOT: asks everybody whether the address of an earlier boot may be ours again.
    fn reboot(&mut self, now: Duration, address: Ipv4Addr, tries: u32) -> Vec<Action> {
        let mut message = self.message(now, true);
        message.wanted = Some(address);
        self.state = State::Rebooting { address, tries: tries + 1 };
        self.wait(now, tries);
        vec![Action::Send(message, Destination::Broadcast)]
    }

    fn request(&mut self, now: Duration, offer: Lease, tries: u32) -> Vec<Action> {
        let mut message = self.message(now, true);
        message.wanted = Some(offer.address);
        message.server = Some(offer.server);
        self.state = State::Requesting { offer, tries: tries + 1 };
        self.wait(now, tries);
        vec![Action::Send(message, Destination::Broadcast)]
    }

    fn bind(&mut self, now: Duration, lease: Lease) -> Vec<Action> {
        // The time runs from the request, so that it is never longer than the server's.
        let granted = self.sent;
        self.deadline = Some((granted + lease.renew_after).max(now + Duration::from_secs(1)));
        self.state = State::Bound { lease: lease.clone(), granted };
        vec![Action::Configure(lease)]
    }

    fn renew(&mut self, now: Duration, lease: Lease, granted: Duration, tries: u32) -> Vec<Action> {
        let (rebind, expiry) = (granted + lease.rebind_after, granted + lease.expires_after);
        let (next_stage, destination) = if now < rebind {
            (rebind, Destination::Unicast { from: lease.address, to: lease.server })
        } else {
            (expiry, Destination::Broadcast)
        };
        let mut message = self.message(now, true);
        message.own_address = Some(lease.address);
        let half = next_stage.saturating_sub(now) / 2;
        self.deadline = Some(if half < LEAST_RENEWAL { next_stage } else { now + half });
        self.sent = now;
        self.state = State::Renewing { lease, granted, tries: tries + 1 };
        vec![Action::Send(message, destination)]
    }

    /// The same with a lease that goes on: asks everybody whether the address is still ours; silence means yes.
    fn confirm(&mut self, now: Duration, lease: Lease, granted: Duration) -> Vec<Action> {
        let mut message = self.message(now, true);
        message.wanted = Some(lease.address);
        self.wait(now, 1);
        self.state = State::Renewing { lease, granted, tries: 0 };
        vec![Action::Send(message, Destination::Broadcast)]
    }

    fn message(&self, now: Duration, request: bool) -> Outgoing {
        Outgoing {
            request,
            transaction: self.transaction,
            trying_for: now.saturating_sub(self.began),
            own_address: None,
            wanted: None,
            server: None,
        }
    }

    /// Doubling waits, each a fifth shorter or longer, so that a room full of PCs does not ask in step.
    fn wait(&mut self, now: Duration, tries: u32) {
        let middle = (FIRST_WAIT * 2_u32.saturating_pow(tries.min(8))).min(LONGEST_WAIT);
        self.sent = now;
        self.deadline = Some(now + self.jitter.between(middle * 4 / 5, middle * 6 / 5));
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
