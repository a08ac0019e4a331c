//! IPv4 link-local addresses by RFC 3927: choose one, probe, announce, defend, give way. Pure.
//!
//! ```text
//! Off → Probing(0..3) → Announcing(0..2) → Held
//!          ↑ conflict: another address        │ second conflict within 10 s
//!          └──────────────────────────────────┘
//! ```
//! On some segments a node hears its own frames again. A packet that carries one of our own hardware addresses is
//! therefore never a conflict.

use super::arp::Arp;
use super::jitter::Jitter;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The prefix length of these addresses.
pub(super) const PREFIX: u8 = 16;

const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBES: u8 = 3;
const PROBE_LEAST: Duration = Duration::from_secs(1);
const PROBE_MOST: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
/// After so many conflicts we take our time.
const MANY_CONFLICTS: u32 = 10;
const RATE_LIMIT: Duration = Duration::from_secs(60);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Send this to everybody on the link.
    Send(Arp),
    /// The address is ours: configure it.
    Take(Ipv4Addr),
    /// The address is ours no longer: remove it.
    Drop(Ipv4Addr),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Off,
    Probing { sent: u8, next: Duration },
    Announcing { sent: u8, next: Duration },
    Held,
}

/// One link's hold on its link-local address. Times are since any fixed moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinkLocal {
    mac: [u8; 6],
    jitter: Jitter,
    address: Ipv4Addr,
    conflicts: u32,
    defended: Option<Duration>,
    state: State,
}

impl LinkLocal {
    /// A hold for the link with this hardware address; off at first.
    pub(super) fn new(mac: [u8; 6]) -> Self {
        // Seeded by the hardware address, so that a PC tends to get the same address again (RFC 3927, 2.1).
        let seed = mac.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let mut jitter = Jitter::new(seed);
        let address = choose(&mut jitter);
        Self { mac, jitter, address, conflicts: 0, defended: None, state: State::Off }
    }

    /// Whether it is at work.
    pub(super) fn is_on(&self) -> bool {
        self.state != State::Off
    }

    /// When it wants to be called next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Probing { next, .. } | State::Announcing { next, .. } => Some(next),
            State::Off | State::Held => None,
        }
    }

    /// Begins to look for an address.
    pub(super) fn start(&mut self, now: Duration) {
        if self.state == State::Off {
            self.probe_anew(now);
        }
    }

    /// Gives the address up, if there is one.
    pub(super) fn stop(&mut self) -> Vec<Action> {
        let held = matches!(self.state, State::Announcing { .. } | State::Held);
        self.state = State::Off;
        if held { vec![Action::Drop(self.address)] } else { Vec::new() }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Duration) -> Vec<Action> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        match self.state {
            State::Probing { sent, .. } if sent < PROBES => {
                let sent = sent + 1;
                let wait =
                    if sent < PROBES { self.jitter.between(PROBE_LEAST, PROBE_MOST) } else { ANNOUNCE_WAIT };
                self.state = State::Probing { sent, next: now + wait };
                vec![Action::Send(Arp::probe(self.mac, self.address))]
            }
            State::Probing { .. } => {
                self.state = State::Announcing { sent: 1, next: now + ANNOUNCE_INTERVAL };
                vec![Action::Take(self.address), Action::Send(Arp::announcement(self.mac, self.address))]
            }
            State::Announcing { sent, .. } => {
                let sent = sent + 1;
                self.state = if sent < ANNOUNCEMENTS {
                    State::Announcing { sent, next: now + ANNOUNCE_INTERVAL }
                } else {
                    self.conflicts = 0;
                    State::Held
                };
                vec![Action::Send(Arp::announcement(self.mac, self.address))]
            }
            State::Off | State::Held => Vec::new(),
        }
    }

    /// Hears a packet; `own` are the hardware addresses of all our links.
    pub(super) fn on_arp(&mut self, now: Duration, arp: &Arp, own: &[[u8; 6]]) -> Vec<Action> {
        if arp.sender == self.mac || own.contains(&arp.sender) {
            return Vec::new();
        }
        let claimed = arp.sender_ip == self.address;
        match self.state {
            State::Off => Vec::new(),
            State::Probing { .. } => {
                let probed_too =
                    arp.request && arp.sender_ip.is_unspecified() && arp.target_ip == self.address;
                if claimed || probed_too {
                    self.give_way(now);
                }
                Vec::new()
            }
            State::Announcing { .. } | State::Held if claimed => {
                if self.defended.is_some_and(|at| now.saturating_sub(at) < DEFEND_INTERVAL) {
                    let lost = self.address;
                    self.give_way(now);
                    return vec![Action::Drop(lost)];
                }
                self.defended = Some(now);
                vec![Action::Send(Arp::announcement(self.mac, self.address))]
            }
            State::Announcing { .. } | State::Held => Vec::new(),
        }
    }

    fn give_way(&mut self, now: Duration) {
        self.conflicts += 1;
        self.defended = None;
        self.address = choose(&mut self.jitter);
        self.probe_anew(now);
    }

    fn probe_anew(&mut self, now: Duration) {
        let calm = if self.conflicts >= MANY_CONFLICTS { RATE_LIMIT } else { Duration::ZERO };
        let wait = calm + self.jitter.between(Duration::ZERO, PROBE_WAIT);
        self.state = State::Probing { sent: 0, next: now + wait };
    }
}

/// 169.254.1.0 to 169.254.254.255; the first and the last 256 are reserved.
fn choose(jitter: &mut Jitter) -> Ipv4Addr {
    let [_, _, c, d] = (jitter.number() % (254 * 256) + 256).to_be_bytes();
    Ipv4Addr::new(169, 254, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// Runs to the next deadline.
    fn step(hold: &mut LinkLocal) -> (Duration, Vec<Action>) {
        let now = hold.deadline().unwrap();
        (now, hold.on_time(now))
    }

    fn held() -> (LinkLocal, Duration) {
        let mut hold = LinkLocal::new(ME);
        hold.start(Duration::ZERO);
        let mut now = Duration::ZERO;
        while hold.deadline().is_some() {
            now = step(&mut hold).0;
        }
        (hold, now)
    }

    #[test]
    fn three_probes_then_the_address_then_two_announcements() {
        let mut hold = LinkLocal::new(ME);
        hold.start(Duration::ZERO);
        let address = hold.address;
        let mut all = Vec::new();
        let mut now = Duration::ZERO;
        while hold.deadline().is_some() {
            let (at, actions) = step(&mut hold);
            now = at;
            all.extend(actions);
        }
        let probe = Action::Send(Arp::probe(ME, address));
        let announcement = Action::Send(Arp::announcement(ME, address));
        let expected =
            [probe.clone(), probe.clone(), probe, Action::Take(address), announcement.clone(), announcement];
        assert_eq!(all, expected);
        assert!((Duration::from_secs(6)..Duration::from_secs(11)).contains(&now), "{now:?}");
        assert_eq!(hold.state, State::Held);
    }

    #[test]
    fn addresses_stay_in_the_range_that_is_not_reserved() {
        let mut jitter = Jitter::new(3);
        for _ in 0..10_000 {
            let [a, b, c, _] = choose(&mut jitter).octets();
            assert!(a == 169 && b == 254 && (1..=254).contains(&c));
        }
    }

    #[test]
    fn an_echo_of_our_own_probe_is_no_conflict() {
        let mut hold = LinkLocal::new(ME);
        hold.start(Duration::ZERO);
        let (now, _) = step(&mut hold);
        let before = hold.clone();
        hold.on_arp(now, &Arp::probe(ME, hold.address), &[ME]);
        hold.on_arp(now, &Arp::probe(OTHER, hold.address), &[ME, OTHER]);
        assert_eq!(hold, before);
    }

    #[test]
    fn a_strangers_probe_or_claim_while_probing_means_another_address() {
        for arp in [Arp::probe as fn([u8; 6], Ipv4Addr) -> Arp, Arp::announcement] {
            let mut hold = LinkLocal::new(ME);
            hold.start(Duration::ZERO);
            let (now, _) = step(&mut hold);
            let before = hold.address;
            assert_eq!(hold.on_arp(now, &arp(OTHER, before), &[ME]), []);
            assert_ne!(hold.address, before);
            assert!(matches!(hold.state, State::Probing { sent: 0, .. }));
        }
    }

    #[test]
    fn a_held_address_is_defended_once_and_then_given_up() {
        let (mut hold, now) = held();
        let address = hold.address;
        let claim = Arp::announcement(OTHER, address);
        assert_eq!(hold.on_arp(now, &claim, &[ME]), [Action::Send(Arp::announcement(ME, address))]);
        assert_eq!(hold.on_arp(now + Duration::from_secs(5), &claim, &[ME]), [Action::Drop(address)]);
        assert_ne!(hold.address, address);
    }

    #[test]
    fn conflicts_far_apart_are_defended_each_time() {
        let (mut hold, now) = held();
        let claim = Arp::announcement(OTHER, hold.address);
        for minutes in 0..5 {
            let actions = hold.on_arp(now + Duration::from_secs(60 * minutes), &claim, &[ME]);
            assert!(matches!(actions.as_slice(), [Action::Send(_)]));
        }
    }

    #[test]
    fn a_strangers_question_about_our_address_is_for_the_kernel_to_answer() {
        let (mut hold, now) = held();
        let question = Arp { sender_ip: Ipv4Addr::new(169, 254, 9, 9), ..Arp::probe(OTHER, hold.address) };
        assert_eq!(hold.on_arp(now, &question, &[ME]), []);
        assert_eq!(hold.on_arp(now, &Arp::probe(OTHER, hold.address), &[ME]), []);
    }

    #[test]
    fn after_many_conflicts_it_takes_its_time() {
        let mut hold = LinkLocal::new(ME);
        hold.start(Duration::ZERO);
        for _ in 0..MANY_CONFLICTS {
            hold.on_arp(Duration::ZERO, &Arp::announcement(OTHER, hold.address), &[ME]);
        }
        assert!(hold.deadline().unwrap() >= RATE_LIMIT);
    }

    #[test]
    fn stopping_drops_only_what_was_taken() {
        let (mut hold, _) = held();
        let address = hold.address;
        assert_eq!(hold.stop(), [Action::Drop(address)]);
        assert_eq!(hold.stop(), []);
        hold.start(Duration::ZERO);
        assert_eq!(hold.stop(), []);
    }
}
