//! The service `network`: addresses on all wired links at once, for as long as the node runs.
//!
//! Nothing waits for it. Each change goes to the kernel, to `resolv.conf` and to the hand-over file.

use super::interface::Interface;
use super::netlink::{LinkEvents, Netlink, Request};
use super::{links, resolver};
use crate::{facts, report};
use anyhow::{Context, Result};
use brant_types::boot::{BOOT_FACTS, BootFacts};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const RESOLVER: &str = "/etc/resolv.conf";

struct Service {
    netlink: Netlink,
    events: LinkEvents,
    interfaces: Vec<Interface>,
    started: Instant,
    known: BootFacts,
    /// Seeds that did not come from a lease.
    own_seeds: Vec<IpAddr>,
    resolver: Option<String>,
}

/// Runs until it is ended.
pub(crate) fn run() -> Result<()> {
    let known = facts::read()?;
    let mut service = Service {
        netlink: Netlink::open()?,
        events: LinkEvents::open()?,
        interfaces: Vec::new(),
        started: Instant::now(),
        own_seeds: known.seeds.clone(),
        known,
        resolver: None,
    };
    service.look_at_links()?;
    loop {
        service.publish();
        if service.wait()? {
            service.look_at_links()?;
        }
        service.turn();
    }
}

impl Service {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes up links that are new, forgets those that are gone, and looks which are plugged.
    fn look_at_links(&mut self) -> Result<()> {
        let present = links::wired()?;
        self.interfaces.retain(|interface| present.contains(&interface.link));
        for link in present {
            if self.interfaces.iter().any(|interface| interface.link == link) {
                continue;
            }
            if let Err(error) = self.netlink.ask(&Request::LinkUp { index: link.index }) {
                report::complain(&format!("bringing the link `{}` up: {error:#}", link.name));
            }
            let left = self.known.links.iter().find(|facts| facts.index == link.index);
            self.interfaces.push(Interface::new(link, seed()?, left));
        }
        self.interfaces.sort_by_key(|interface| interface.link.index);
        let now = self.now();
        for interface in &mut self.interfaces {
            let carrier = links::has_carrier(&interface.link.name);
            let done = interface.set_carrier(now, carrier, &mut self.netlink);
            complain(&interface.link.name, done);
        }
        Ok(())
    }

    /// Waits for packets, links and deadlines; whether links have changed.
    fn wait(&mut self) -> Result<bool> {
        let now = self.now();
        let due = self.interfaces.iter().filter_map(|interface| interface.deadline(now)).min();
        let patience = due.map(|due| due.saturating_sub(now));
        let patience = patience.map(|time| Timespec {
            tv_sec: time.as_secs().min(3600).cast_signed(),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&self.events, PollFlags::IN)];
        for interface in &self.interfaces {
            fds.extend(interface.sockets().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for the network"),
        }
        Ok(self.events.drain())
    }

    fn turn(&mut self) {
        let now = self.now();
        let own: Vec<[u8; 6]> = self.interfaces.iter().map(|interface| interface.link.mac).collect();
        for interface in &mut self.interfaces {
            let done = interface.turn(now, &own, &mut self.netlink);
            complain(&interface.link.name, done);
        }
    }

    /// Tells the rest of the node what has changed.
    fn publish(&mut self) {
        let leases = || self.interfaces.iter().filter_map(Interface::lease);
        let resolver = resolver::render(leases());
        let mut seeds = self.own_seeds.clone();
        for seed in leases().flat_map(|lease| &lease.seeds) {
            if !seeds.contains(seed) {
                seeds.push(*seed);
            }
        }
        let links = self.interfaces.iter().map(Interface::facts).collect();
        if self.resolver.as_ref() != Some(&resolver) {
            complain("name servers", write_resolver(&resolver));
            self.resolver = Some(resolver);
        }
        let now_known = BootFacts { seeds, links, ..self.known.clone() };
        if now_known != self.known {
            complain("hand-over", facts::write(Path::new(BOOT_FACTS), &now_known));
            self.known = now_known;
        }
    }
}

/// Replaced whole; a link at this place is replaced too, not followed.
fn write_resolver(text: &str) -> Result<()> {
    let fresh = format!("{RESOLVER}.new");
    fs::write(&fresh, text)
        .and_then(|()| fs::rename(&fresh, RESOLVER))
        .with_context(|| format!("writing `{RESOLVER}`"))
}

fn seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).context("drawing a random number")?;
    Ok(u64::from_ne_bytes(bytes))
}

fn complain(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        report::complain(&format!("{what}: {error:#}"));
    }
}
