//! The wired links, and the one socket that beacons and gossip use.

use super::addresses;
use anyhow::{Context, Result};
use brant_sys::link::stands_for_a_cable;
use brant_types::ports;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::path::Path;
use tokio::net::UdpSocket;

/// All hosts on a link: never pruned by switches that snoop MLD.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A link's interface index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkIndex(u32);

/// The links that have a carrier, VLANs among them, and bonds instead of what is in them; the loopback, our own overlay, and what programs make for themselves are none.
pub(super) fn present() -> BTreeSet<LinkIndex> {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| stands_for_a_cable(&entry.path()))
        .filter(|entry| number(&entry.path().join("carrier")) == Some(1))
        .filter_map(|entry| number(&entry.path().join("ifindex")).map(LinkIndex))
        .collect()
}

fn number(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The socket for beacons and gossip.
pub(super) struct Lan {
    /// The socket itself, for receiving.
    pub(super) socket: UdpSocket,
}

/// Opens the port on every address.
pub(super) fn open() -> Result<std::net::UdpSocket> {
    let address = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, ports::GOSSIP, 0, 0);
    let socket =
        std::net::UdpSocket::bind(address).with_context(|| format!("opening UDP port {}", ports::GOSSIP))?;
    socket.set_nonblocking(true).context("setting the socket up")?;
    Ok(socket)
}

impl Lan {
    /// Takes the socket into the event loop.
    pub(super) fn new(socket: std::net::UdpSocket) -> Result<Self> {
        let socket = UdpSocket::from_std(socket).context("taking the socket into the event loop")?;
        socket.set_multicast_loop_v6(false).context("switching the multicast echo off")?;
        socket.set_broadcast(true).context("allowing broadcasts")?;
        Ok(Self { socket })
    }

    /// Sends to everybody on these links. A link without its address yet gets the next beacon.
    pub(super) async fn beacon(&self, links: &BTreeSet<LinkIndex>, datagram: &[u8]) {
        for link in links {
            let _joined_before = self.socket.join_multicast_v6(&ALL_NODES, link.0);
            let to = SocketAddrV6::new(ALL_NODES, ports::GOSSIP, 0, link.0);
            if let Err(error) = self.socket.send_to(datagram, to).await {
                tracing::debug!(?link, %error, "no beacon on this link");
            }
        }
    }

    /// Sends to everybody on each IPv4 network: for switches that drop multicast.
    pub(super) async fn broadcast(&self, datagram: &[u8]) {
        for address in addresses::broadcasts() {
            self.send(mapped(address), datagram).await;
        }
    }

    /// Sends to one node; what is lost, the protocol repeats.
    pub(super) async fn send(&self, to: SocketAddrV6, datagram: &[u8]) {
        if let Err(error) = self.socket.send_to(datagram, to).await {
            tracing::debug!(%to, %error, "a datagram was not sent");
        }
    }
}

/// The beacons' port of this address.
pub(super) fn port_of(address: IpAddr) -> SocketAddrV6 {
    match address {
        IpAddr::V4(address) => mapped(address),
        IpAddr::V6(address) => SocketAddrV6::new(address, ports::GOSSIP, 0, 0),
    }
}

fn mapped(address: Ipv4Addr) -> SocketAddrV6 {
    SocketAddrV6::new(address.to_ipv6_mapped(), ports::GOSSIP, 0, 0)
}
