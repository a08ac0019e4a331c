//! One link at work: its sockets, its two machines, and what is configured on it.

use super::arp::Arp;
use super::datagram;
use super::dhcp::{self, Action, CLIENT_PORT, Client, Destination, Lease, Route, SERVER_PORT};
use super::link_local::{self, LinkLocal};
use super::links::Link;
use super::netlink::{Netlink, Request};
use crate::report;
use anyhow::{Context, Result};
use brant_sys::packet::{self, PacketSocket};
use brant_types::boot::LinkFacts;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// After so long without a server the link gets a link-local address; a server may still come later.
const PATIENCE: Duration = Duration::from_secs(6);
/// Among default routes of several links the one of the first link wins.
const FIRST_METRIC: u32 = 100;

/// One wired link.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) link: Link,
    carrier: bool,
    client: Client,
    hold: LinkLocal,
    servers: Option<PacketSocket>,
    neighbours: Option<PacketSocket>,
    /// What somebody has given; then no server is asked.
    fixed: Option<Lease>,
    /// What is configured, and whether a server gave it.
    address: Option<(Ipv4Addr, u8, bool)>,
}

impl Interface {
    /// A link with nothing on it but, perhaps, the address that an earlier run of this service left there.
    pub(super) fn new(link: Link, client: Client, left: Option<&LinkFacts>, fixed: Option<Lease>) -> Self {
        let address =
            left.and_then(|facts| facts.ipv4.map(|(address, prefix)| (address, prefix, facts.from_dhcp)));
        let hold = LinkLocal::new(link.mac);
        Self { link, carrier: false, client, hold, servers: None, neighbours: None, fixed, address }
    }

    /// The link as the hand-over file tells of it.
    pub(super) fn facts(&self) -> LinkFacts {
        LinkFacts {
            name: self.link.name.clone(),
            index: self.link.index,
            ipv4: self.address.map(|(address, prefix, _)| (address, prefix)),
            from_dhcp: self.fixed.is_none() && self.address.is_some_and(|(_, _, from_dhcp)| from_dhcp),
        }
    }

    /// The lease in force.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.fixed.as_ref().or(self.client.lease())
    }

    /// The address that a server has granted.
    pub(super) fn granted(&self) -> Option<(&Link, Ipv4Addr)> {
        self.client.lease().map(|lease| (&self.link, lease.address))
    }

    /// What to wait for.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.servers.iter().chain(&self.neighbours).map(AsFd::as_fd)
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Duration) -> Option<Duration> {
        let fallback = self.client.in_vain_for(now).filter(|_| !self.hold.is_on());
        let fallback = fallback.map(|vain| now + PATIENCE.saturating_sub(vain));
        [self.client.deadline(), self.hold.deadline(), fallback].into_iter().flatten().min()
    }

    /// Tells whether the cable is plugged.
    pub(super) fn set_carrier(&mut self, now: Duration, carrier: bool, netlink: &mut Netlink) -> Result<()> {
        if carrier == self.carrier {
            return Ok(());
        }
        self.carrier = carrier;
        if let Some(fixed) = &self.fixed {
            let fixed = fixed.clone();
            return if carrier { self.configure(&fixed, netlink) } else { Ok(()) };
        }
        if carrier {
            if self.servers.is_none() {
                let opened = PacketSocket::open_udp(self.link.index, CLIENT_PORT);
                self.servers = Some(opened.context("listening for DHCP servers")?);
            }
            let actions = self.client.link_up(now);
            self.obey(actions, netlink)
        } else {
            self.client.link_down();
            if self.client.lease().is_none() {
                let actions = self.hold.stop();
                self.obey_hold(actions, netlink)?;
                self.neighbours = None;
            }
            Ok(())
        }
    }

    /// Hears what has come and does what is due; `own` are the hardware addresses of all our links.
    pub(super) fn turn(&mut self, now: Duration, own: &[[u8; 6]], netlink: &mut Netlink) -> Result<()> {
        self.hear_servers(now, netlink)?;
        self.hear_neighbours(now, own, netlink)?;
        let actions = self.client.on_time(now);
        self.obey(actions, netlink)?;
        let in_vain = self.client.in_vain_for(now).is_some_and(|vain| vain >= PATIENCE);
        if in_vain && self.carrier && !self.hold.is_on() {
            let opened = PacketSocket::open(self.link.index, packet::ARP);
            self.neighbours = Some(opened.context("listening for ARP")?);
            self.hold.start(now);
        }
        let actions = self.hold.on_time(now);
        self.obey_hold(actions, netlink)
    }

    fn hear_servers(&mut self, now: Duration, netlink: &mut Netlink) -> Result<()> {
        let mut buffer = [0; 2048];
        while let Some(received) = hear(self.servers.as_ref(), &mut buffer) {
            let reply = datagram::unwrap(&buffer[..received.min(2048)], CLIENT_PORT)
                .and_then(|(_, payload)| dhcp::decode(payload, self.link.mac));
            if let Some(reply) = reply {
                let actions = self.client.on_reply(now, reply);
                self.obey(actions, netlink)?;
            }
        }
        Ok(())
    }

    fn hear_neighbours(&mut self, now: Duration, own: &[[u8; 6]], netlink: &mut Netlink) -> Result<()> {
        let mut buffer = [0; 128];
        while let Some(received) = hear(self.neighbours.as_ref(), &mut buffer) {
            if let Some(arp) = Arp::decode(&buffer[..received.min(128)]) {
                let actions = self.hold.on_arp(now, &arp, own);
                self.obey_hold(actions, netlink)?;
            }
        }
        Ok(())
    }

    fn obey(&mut self, actions: Vec<Action>, netlink: &mut Netlink) -> Result<()> {
        for action in actions {
            match action {
                Action::Send(message, destination) => {
                    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
                    self.send(&dhcp::encode(&message, self.link.mac, &host_name), destination);
                }
                Action::Configure(lease) => {
                    let actions = self.hold.stop();
                    self.obey_hold(actions, netlink)?;
                    self.neighbours = None;
                    self.configure(&lease, netlink)?;
                }
                Action::Deconfigure => {
                    report::say(&format!("{}: the lease is over", self.link.name));
                    self.replace_address(None, netlink)?;
                }
            }
        }
        Ok(())
    }

    fn obey_hold(&mut self, actions: Vec<link_local::Action>, netlink: &mut Netlink) -> Result<()> {
        for action in actions {
            match action {
                link_local::Action::Send(arp) => {
                    if let Some(socket) = &self.neighbours {
                        lost(&self.link.name, socket.send(packet::BROADCAST, &arp.encode()));
                    }
                }
                link_local::Action::Take(address) => {
                    report::say(&format!("{}: no DHCP server; {address} by itself", self.link.name));
                    self.replace_address(Some((address, link_local::PREFIX, false)), netlink)?;
                }
                link_local::Action::Drop(address) => {
                    if self.address.is_some_and(|(ours, _, _)| ours == address) {
                        self.replace_address(None, netlink)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A message that is lost is sent again later; so a failure is only logged.
    fn send(&self, message: &[u8], destination: Destination) {
        let sent = match destination {
            Destination::Broadcast => self.servers.as_ref().map_or(Ok(()), |socket| {
                let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT);
                let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
                socket.send(packet::BROADCAST, &datagram::wrap(from, to, message))
            }),
            // The kernel finds the way to the server; its answer still comes through our own socket.
            Destination::Unicast { from, to } => UdpSocket::bind(SocketAddrV4::new(from, CLIENT_PORT))
                .and_then(|socket| socket.send_to(message, SocketAddrV4::new(to, SERVER_PORT)))
                .map(drop),
        };
        lost(&self.link.name, sent);
    }

    fn configure(&mut self, lease: &Lease, netlink: &mut Netlink) -> Result<()> {
        let index = self.link.index;
        let fresh = self.address != Some((lease.address, lease.prefix, true));
        self.replace_address(Some((lease.address, lease.prefix, true)), netlink)?;
        for route in ways(lease) {
            let Route { destination, prefix, gateway } = route;
            let request =
                Request::AddRoute { index, destination, prefix, gateway, metric: FIRST_METRIC + index };
            complain(&self.link.name, "adding a route of the lease", netlink.ask(&request));
        }
        if let Some(mtu) = lease.mtu {
            let request = Request::Mtu { index, mtu: mtu.into() };
            complain(&self.link.name, "setting the lease's packet size", netlink.ask(&request));
        }
        if fresh {
            let (name, address, prefix) = (&self.link.name, lease.address, lease.prefix);
            let from = match &self.fixed {
                Some(_) => "as it was told".to_owned(),
                None => format!("from DHCP server {}", lease.server),
            };
            report::say(&format!("{name}: {address}/{prefix} {from}"));
        }
        Ok(())
    }

    fn replace_address(&mut self, new: Option<(Ipv4Addr, u8, bool)>, netlink: &mut Netlink) -> Result<()> {
        let index = self.link.index;
        let placed = |at: (Ipv4Addr, u8, bool)| (at.0, at.1);
        if let Some((address, prefix)) = self.address.map(placed)
            && new.map(placed) != Some((address, prefix))
        {
            // It may be gone with its link.
            let _gone = netlink.ask(&Request::RemoveAddress { index, address, prefix });
        }
        self.address = new;
        if let Some((address, prefix, _)) = new {
            let request = Request::AddAddress { index, address, prefix };
            netlink.ask(&request).with_context(|| format!("giving {address} to `{}`", self.link.name))?;
        }
        Ok(())
    }
}

/// The lease's routes; before a gateway that lies outside the link's network, the way to that gateway itself.
fn ways(lease: &Lease) -> Vec<Route> {
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix.min(32))).unwrap_or(0);
    let near = |address: Ipv4Addr| (address.to_bits() ^ lease.address.to_bits()) & mask == 0;
    let mut ways = Vec::new();
    for route in &lease.routes {
        if let Some(gateway) = route.gateway.filter(|gateway| !near(*gateway)) {
            ways.push(Route { destination: gateway, prefix: 32, gateway: None });
        }
        ways.push(*route);
    }
    ways
}

fn hear(socket: Option<&PacketSocket>, buffer: &mut [u8]) -> Option<usize> {
    // A socket fails while its link is down; it hears again when the link is back.
    socket?.receive(buffer).ok().flatten().map(|received| received.length)
}

fn lost(link: &str, sent: std::io::Result<()>) {
    if let Err(error) = sent {
        eprintln!("{link}: a packet was not sent: {error}");
    }
}

fn complain(link: &str, doing: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        report::complain(&format!("{link}: {doing}: {error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(prefix: u8, gateway: Ipv4Addr) -> Lease {
        Lease {
            address: Ipv4Addr::new(10, 0, 0, 9),
            prefix,
            server: gateway,
            renew_after: Duration::ZERO,
            rebind_after: Duration::ZERO,
            expires_after: Duration::ZERO,
            routes: vec![Route { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(gateway) }],
            name_servers: Vec::new(),
            domains: Vec::new(),
            time_servers: Vec::new(),
            host_name: None,
            mtu: None,
            seeds: Vec::new(),
        }
    }

    #[test]
    fn a_gateway_outside_the_network_gets_a_way_of_its_own_first() {
        let far = Ipv4Addr::new(192, 168, 0, 1);
        assert_eq!(ways(&lease(24, Ipv4Addr::new(10, 0, 0, 1))).len(), 1);
        for prefix in [24, 32] {
            let ways = ways(&lease(prefix, far));
            assert_eq!(ways[0], Route { destination: far, prefix: 32, gateway: None });
            assert_eq!(ways.len(), 2);
        }
        assert_eq!(ways(&lease(0, far)).len(), 1);
    }
}
