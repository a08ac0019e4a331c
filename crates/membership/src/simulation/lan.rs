//! A LAN of many cores with one clock: datagrams take a while, get lost, and do not cross a cut.

use crate::core::{Instant, Membership, Output};
use brant_types::node::{NodeFacts, NodeId, WireGuardKey};
use brant_types::processor::Features;
use brant_types::secret::ClusterSecret;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddrV6;
use std::rc::Rc;
use std::time::Duration;

/// Ethernet, IPv6 and UDP around each datagram, bytes.
const HEADERS: u64 = 14 + 40 + 8;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const LATENCY_MICROS: std::ops::Range<u64> = 100..2000;

/// One PC.
pub(super) struct Pc {
    pub(super) core: Membership,
    pub(super) on: bool,
    /// Which of two halves it is in, when there is a cut.
    pub(super) beyond: bool,
    /// Bytes it has put on the wire.
    pub(super) sent: u64,
    wakes: Instant,
    boots: u32,
    /// By how much its own clock is ahead of the LAN's.
    ahead: Duration,
}

enum Event {
    Arrives { to: usize, from: usize, datagram: Rc<[u8]> },
    Wakes(usize),
    Samples(usize),
}

/// All of them, and what is on its way.
pub(super) struct Lan {
    pub(super) now: Instant,
    pub(super) pcs: Vec<Pc>,
    /// Of 1000 datagrams, how many are lost.
    pub(super) loss: u32,
    pub(super) cut: bool,
    rng: StdRng,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    events: std::collections::HashMap<u64, Event>,
    counted: u64,
}

impl Lan {
    /// So many PCs, each switched on at a random moment within `spread`.
    pub(super) fn new(count: usize, spread: Duration, loss: u32, seed: u64) -> Self {
        let mut lan = Self {
            now: Duration::from_secs(10),
            pcs: Vec::new(),
            loss,
            cut: false,
            rng: StdRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            events: std::collections::HashMap::new(),
            counted: 0,
        };
        for at in 0..count {
            let core = lan.core(at, 0);
            let wakes = lan.now + spread.mul_f64(lan.rng.random_range(0.0..1.0));
            lan.pcs.push(Pc {
                core,
                on: false,
                beyond: at < count / 2,
                sent: 0,
                wakes,
                boots: 0,
                ahead: Duration::ZERO,
            });
            lan.add(wakes, Event::Wakes(at));
            lan.add(wakes + SAMPLE_EVERY, Event::Samples(at));
        }
        lan
    }

    fn core(&mut self, at: usize, boots: u32) -> Membership {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(at as u64).to_le_bytes());
        let key = WireGuardKey(key);
        let facts = NodeFacts {
            id: NodeId::of(&key),
            name: format!("node-{at}"),
            key,
            port: 51820,
            cores: 4,
            memory_kib: 8 << 20,
            speed: 1_000_000,
            image_id: "0123456789abcdef0123456789abcdef".to_owned(),
            cpu: Features::default(),
        };
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        Membership::new("simulated", &ClusterSecret::from_bytes([7; 32]), facts, boots, seed, self.now)
    }

    /// Switches a PC off, without a word.
    pub(super) fn switch_off(&mut self, at: usize) {
        self.pcs[at].on = false;
    }

    /// Switches it on again: it boots anew, under its key.
    pub(super) fn switch_on(&mut self, at: usize) {
        let boots = self.pcs[at].boots + 1;
        let core = self.core(at, boots);
        let pc = &mut self.pcs[at];
        (pc.core, pc.on, pc.boots) = (core, true, boots);
        pc.ahead = Duration::ZERO;
        self.wake(at);
    }

    /// Switches a PC off by its button: it says goodbye.
    pub(super) fn shut_down(&mut self, at: usize) {
        let local = self.local(at);
        let out = self.pcs[at].core.leave(local);
        self.carry_out(at, out);
        self.pcs[at].on = false;
    }

    /// Its clock jumps ahead.
    pub(super) fn jump(&mut self, at: usize, by: Duration) {
        self.pcs[at].ahead += by;
        self.wake(at);
    }

    /// It goes on after it has stood still; its clock has not (CLOCK_BOOTTIME), and all that was due is late.
    pub(super) fn resume(&mut self, at: usize) {
        self.pcs[at].on = true;
        self.wake(at);
    }

    fn wake(&mut self, at: usize) {
        self.pcs[at].wakes = self.now;
        self.add(self.now, Event::Wakes(at));
    }

    /// What time it is on a PC.
    fn local(&self, at: usize) -> Instant {
        self.now + self.pcs[at].ahead
    }

    /// One of the PCs, drawn at random.
    pub(super) fn any(&mut self) -> usize {
        self.rng.random_range(0..self.pcs.len())
    }

    /// Runs on until this moment.
    pub(super) fn run_until(&mut self, end: Instant) {
        while let Some(Reverse((when, number))) = self.queue.peek().copied().filter(|next| next.0.0 <= end) {
            self.queue.pop();
            self.now = when;
            if let Some(event) = self.events.remove(&number) {
                self.happens(event);
            }
        }
        self.now = end;
    }

    /// Runs on for so long.
    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Whether all that are on have one configuration, and it has just them.
    pub(super) fn agree(&self) -> bool {
        let on = self.pcs.iter().filter(|pc| pc.on).count();
        let mut configs = self.pcs.iter().filter(|pc| pc.on).map(|pc| pc.core.config());
        let Some(first) = configs.next() else { return true };
        first.nodes.len() == on && configs.all(|config| config.revision == first.revision)
    }

    /// How many that are on do not list this one.
    pub(super) fn without(&self, at: usize) -> usize {
        let id = self.pcs[at].core.me();
        let lists = |pc: &&Pc| !pc.core.config().nodes.iter().any(|node| node.id == id);
        self.pcs.iter().filter(|pc| pc.on).filter(lists).count()
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrives { to, from, datagram } => {
                let address = address(from);
                let local = self.local(to);
                let pc = &mut self.pcs[to];
                if pc.on {
                    let out = pc.core.datagram(local, address, &datagram);
                    self.carry_out(to, out);
                }
            }
            Event::Wakes(at) => {
                let (now, local) = (self.now, self.local(at));
                let pc = &mut self.pcs[at];
                if pc.wakes != now {
                    return;
                }
                // The first time is its power-on.
                if pc.boots == 0 && pc.sent == 0 {
                    pc.on = true;
                }
                pc.wakes = Instant::MAX;
                if pc.on {
                    let out = pc.core.tick(local);
                    self.carry_out(at, out);
                }
            }
            Event::Samples(at) => {
                let runnable = self.rng.random_range(0..3000);
                self.pcs[at].core.sample(runnable, 4 << 20);
                self.add(self.now + SAMPLE_EVERY, Event::Samples(at));
            }
        }
    }

    fn carry_out(&mut self, from: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send { to, datagram } => {
                    self.pcs[from].sent += datagram.len() as u64 + HEADERS;
                    self.fly(from, index(to), &datagram.into());
                }
                Output::Beacon { datagram, .. } => {
                    self.pcs[from].sent += datagram.len() as u64 + HEADERS;
                    let datagram: Rc<[u8]> = datagram.into();
                    (0..self.pcs.len()).filter(|to| *to != from).for_each(|to| self.fly(from, to, &datagram));
                }
                Output::Peer { .. } | Output::Forget(_) | Output::Config(_) => {}
                Output::Secret(_) | Output::Rekey(_) | Output::RekeyAll => {}
            }
        }
        let local = self.local(from);
        let pc = &mut self.pcs[from];
        let next = self.now + pc.core.next_tick().saturating_sub(local).max(Duration::from_micros(1));
        if next < pc.wakes {
            pc.wakes = next;
            self.add(next, Event::Wakes(from));
        }
    }

    fn fly(&mut self, from: usize, to: usize, datagram: &Rc<[u8]>) {
        let apart = self.cut && self.pcs[from].beyond != self.pcs[to].beyond;
        if !self.pcs[to].on || apart || self.rng.random_range(0..1000) < self.loss {
            return;
        }
        let arrives = self.now + Duration::from_micros(self.rng.random_range(LATENCY_MICROS));
        self.add(arrives, Event::Arrives { to, from, datagram: Rc::clone(datagram) });
    }

    fn add(&mut self, when: Instant, event: Event) {
        self.counted += 1;
        self.queue.push(Reverse((when, self.counted)));
        self.events.insert(self.counted, event);
    }
}

fn address(at: usize) -> SocketAddrV6 {
    let [high, low] = [(at >> 16) as u16, at as u16];
    SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, high, low].into(), 4727, 0, 2)
}

fn index(address: SocketAddrV6) -> usize {
    let [.., high, low] = address.ip().segments();
    usize::from(high) << 16 | usize::from(low)
}
