//! All wired links, and the addresses that they get.

use super::bond;
use super::dhcp::Client;
use super::fixed;
use super::interface::Interface;
use super::links;
use super::netlink::{LinkEvents, Netlink, Request};
use super::remembered::Remembered;
use crate::report;
use anyhow::{Context, Result};
use brant_types::boot::{Bond, FixedAddress, LinkFacts, Vlan};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::time::{Duration, Instant};

/// The longest wait, so that whoever turns this can look after something else.
const AT_MOST: Duration = Duration::from_secs(3600);

/// The links, each with its machines.
pub(crate) struct Links {
    netlink: Netlink,
    events: LinkEvents,
    interfaces: Vec<Interface>,
    started: Instant,
    /// What an earlier run has left.
    left: Vec<LinkFacts>,
    given: Given,
    /// What servers have granted in earlier boots.
    remembered: Remembered,
}

/// What somebody has given by the kernel's command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) addresses: Vec<FixedAddress>,
    pub(crate) vlans: Vec<Vlan>,
    pub(crate) bonds: Vec<Bond>,
}

impl Links {
    /// Takes up the links that there are.
    pub(crate) fn open(left: Vec<LinkFacts>, given: Given, remembered: Remembered) -> Result<Self> {
        let mut links = Self {
            netlink: Netlink::open()?,
            events: LinkEvents::open()?,
            interfaces: Vec::new(),
            started: Instant::now(),
            left,
            given,
            remembered,
        };
        links.look()?;
        Ok(links)
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Whether a DHCP server has given one of them an address.
    pub(crate) fn has_lease(&self) -> bool {
        self.interfaces.iter().any(|interface| interface.lease().is_some())
    }

    /// Waits for something to happen, but not for longer than until something is due, and does what is to be done.
    pub(crate) fn turn(&mut self) -> Result<()> {
        self.turn_within(AT_MOST)
    }

    /// The same, for this long at most.
    pub(crate) fn turn_within(&mut self, most: Duration) -> Result<()> {
        if self.wait(most)? {
            self.look()?;
        }
        let now = self.now();
        let own: Vec<[u8; 6]> = self.interfaces.iter().map(|interface| interface.link.mac).collect();
        for interface in &mut self.interfaces {
            let done = interface.turn(now, &own, &mut self.netlink);
            complain(&interface.link.name, done);
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Bonds, and VLANs whose links are there, and that are not there themselves. The kernel has the module fetched (`rtnl-link-vlan`).
    fn make_links(&mut self) {
        for bond in &self.given.bonds {
            complain(&bond.name, bond::make(bond, &mut self.netlink));
        }
        for vlan in &self.given.vlans {
            let (Some(link), None) = (links::index_of(&vlan.link), links::index_of(&vlan.name)) else {
                continue;
            };
            let request = Request::AddVlan { link, name: vlan.name.clone(), id: vlan.id };
            complain(&vlan.name, self.netlink.ask(&request).context("making the link of a VLAN"));
        }
    }

    /// Takes up links that are new, forgets those that are gone, and looks which are plugged.
    fn look(&mut self) -> Result<()> {
        self.make_links();
        let present = links::wired()?;
        self.interfaces.retain(|interface| present.contains(&interface.link));
        let first = present.iter().map(|link| link.index).min();
        for link in present {
            if self.interfaces.iter().any(|interface| interface.link == link) {
                continue;
            }
            if let Err(error) = self.netlink.ask(&Request::LinkUp { index: link.index }) {
                report::complain(&format!("bringing the link `{}` up: {error:#}", link.name));
            }
            let left = self.left.iter().find(|facts| facts.index == link.index);
            let is_first = first == Some(link.index);
            let given = |fixed: &&FixedAddress| match &fixed.link {
                Some(name) => *name == link.name,
                None => is_first,
            };
            let fixed = self.given.addresses.iter().find(given).map(fixed::as_lease);
            let client = Client::new(seed()?, self.remembered.of(&link));
            self.interfaces.push(Interface::new(link, client, left, fixed));
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
    fn wait(&mut self, most: Duration) -> Result<bool> {
        let now = self.now();
        let due = self.interfaces.iter().filter_map(|interface| interface.deadline(now)).min();
        let patience = due.map_or(most, |due| due.saturating_sub(now).min(most));
        let patience =
            Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&self.events, PollFlags::IN)];
        for interface in &self.interfaces {
            fds.extend(interface.sockets().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        match poll(&mut fds, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for the network"),
        }
        Ok(self.events.drain())
    }
}

fn seed() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).context("drawing a random number")?;
    Ok(u64::from_ne_bytes(bytes))
}

fn complain(link: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        report::complain(&format!("{link}: {error:#}"));
    }
}
