//! The few requests to the kernel's routing socket that a node needs, and its answers.

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE_REPLACE: u16 = 0x400 | 0x100;
const CREATE_NEW: u16 = 0x400 | 0x200;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_DHCP: u8 = 16;
const UNICAST: u8 = 1;
const HEADER: usize = 16;
/// `RTMGRP_LINK`.
const LINK_GROUP: u32 = 1;

/// What can be asked of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Switch a link on.
    LinkUp { index: u32 },
    /// Switch a link off.
    LinkDown { index: u32 },
    /// Set a link's largest packet.
    Mtu { index: u32, mtu: u32 },
    /// Make the link of a VLAN, and switch it on.
    AddVlan { link: u32, name: String, id: u16 },
    /// Give a link an address; one that is there already is replaced.
    AddAddress { index: u32, address: Ipv4Addr, prefix: u8 },
    /// Take an address from a link.
    RemoveAddress { index: u32, address: Ipv4Addr, prefix: u8 },
    /// Add a route through a link; with no gateway the destination is on the link itself.
    AddRoute { index: u32, destination: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>, metric: u32 },
}

impl Request {
    fn encode(&self, sequence: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let (kind, flags) = match *self {
            Self::LinkUp { index } => {
                link_header(&mut body, index, IFF_UP, IFF_UP);
                (RTM_NEWLINK, 0)
            }
            Self::LinkDown { index } => {
                link_header(&mut body, index, 0, IFF_UP);
                (RTM_NEWLINK, 0)
            }
            Self::Mtu { index, mtu } => {
                link_header(&mut body, index, 0, 0);
                attribute(&mut body, 4, &mtu.to_ne_bytes());
                (RTM_NEWLINK, 0)
            }
            Self::AddVlan { link, ref name, id } => {
                link_header(&mut body, 0, IFF_UP, IFF_UP);
                attribute(&mut body, 3, &[name.as_bytes(), &[0]].concat());
                attribute(&mut body, 5, &link.to_ne_bytes());
                let (mut number, mut about) = (Vec::new(), Vec::new());
                attribute(&mut number, 1, &id.to_ne_bytes());
                attribute(&mut about, 1, b"vlan\0");
                attribute(&mut about, 2, &number);
                attribute(&mut body, 18, &about);
                (RTM_NEWLINK, CREATE_NEW)
            }
            Self::AddAddress { index, address, prefix } => {
                address_body(&mut body, index, address, prefix);
                (RTM_NEWADDR, CREATE_REPLACE)
            }
            Self::RemoveAddress { index, address, prefix } => {
                address_body(&mut body, index, address, prefix);
                (RTM_DELADDR, 0)
            }
            Self::AddRoute { index, destination, prefix, gateway, metric } => {
                let scope = if gateway.is_some() { SCOPE_UNIVERSE } else { SCOPE_LINK };
                body.extend([AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_DHCP, scope, UNICAST]);
                body.extend(0_u32.to_ne_bytes());
                if prefix > 0 {
                    attribute(&mut body, 1, &destination.octets());
                }
                attribute(&mut body, 4, &index.to_ne_bytes());
                if let Some(gateway) = gateway {
                    attribute(&mut body, 5, &gateway.octets());
                }
                attribute(&mut body, 6, &metric.to_ne_bytes());
                (RTM_NEWROUTE, CREATE_REPLACE)
            }
        };
        let length =
            u32::try_from(HEADER + body.len()).unwrap_or_else(|_| unreachable!("requests are short"));
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST_ACK | flags).to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(body);
        message
    }
}

/// The flags that a link is to have, of those that change.
fn link_header(body: &mut Vec<u8>, index: u32, flags: u32, change: u32) {
    body.extend([0; 4]);
    for word in [index, flags, change] {
        body.extend(word.to_ne_bytes());
    }
}

fn address_body(body: &mut Vec<u8>, index: u32, address: Ipv4Addr, prefix: u8) {
    let scope = if address.is_link_local() { SCOPE_LINK } else { SCOPE_UNIVERSE };
    body.extend([AF_INET, prefix, 0, scope]);
    body.extend(index.to_ne_bytes());
    attribute(body, 1, &address.octets());
    attribute(body, 2, &address.octets());
    if prefix < 31 {
        let host_bits = u32::MAX >> prefix;
        attribute(body, 4, &Ipv4Addr::from_bits(address.to_bits() | host_bits).octets());
    }
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or_else(|_| unreachable!("attributes are short"));
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The routing socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens it.
    pub(crate) fn open() -> Result<Self> {
        let doing = "opening the routing socket of the kernel";
        // Protocol 0 of this family is the routing one.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .context(doing)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0)).context(doing)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks, and waits for the kernel's yes or no.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<()> {
        self.sequence += 1;
        send(&self.socket, &request.encode(self.sequence), SendFlags::empty())
            .context("asking the kernel")?;
        let mut buffer = [0_u8; 4096];
        loop {
            let (got, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())
                .context("hearing the kernel's answer")?;
            match answer(&buffer[..got.min(4096)], self.sequence) {
                Some(0) => return Ok(()),
                Some(error) => return Err(Errno::from_raw_os_error(-error).into()),
                None if got == 0 => bail!("the kernel closed its routing socket"),
                None => {}
            }
        }
    }
}

/// Tells that some link has come, gone, or changed.
#[derive(Debug)]
pub(super) struct LinkEvents {
    socket: OwnedFd,
}

impl LinkEvents {
    /// Listens from now on.
    pub(super) fn open() -> Result<Self> {
        let doing = "listening for changes of links";
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).context(doing)?;
        bind(&socket, &SocketAddrNetlink::new(0, LINK_GROUP)).context(doing)?;
        Ok(Self { socket })
    }

    /// Takes all that has come; whether there was anything. What exactly, the caller sees for itself.
    pub(super) fn drain(&mut self) -> bool {
        let mut buffer = [0_u8; 8192];
        let mut any = false;
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((1.., _)) | Err(Errno::NOBUFS) => any = true,
                Ok(_) | Err(_) => return any,
            }
        }
    }
}

impl AsFd for LinkEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The error number in the answer to this request (0: done), if this message is it.
fn answer(message: &[u8], sequence: u32) -> Option<i32> {
    let word = |at: usize| message.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    (kind == NLMSG_ERROR && word(8)? == sequence).then_some(word(HEADER)?.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_encoded_with_its_broadcast_address() {
        let message =
            Request::AddAddress { index: 2, address: Ipv4Addr::new(10, 0, 0, 5), prefix: 24 }.encode(7);
        assert_eq!(
            usize::try_from(u32::from_ne_bytes(message[..4].try_into().unwrap())).unwrap(),
            message.len()
        );
        assert_eq!(&message[HEADER..HEADER + 8], [2, 24, 0, 0, 2, 0, 0, 0]);
        assert!(message.windows(8).any(|part| part == [8, 0, 4, 0, 10, 0, 0, 255]));
    }

    #[test]
    fn a_default_route_has_no_destination() {
        let gateway = Some(Ipv4Addr::new(10, 0, 0, 1));
        let route = Request::AddRoute {
            index: 2,
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway,
            metric: 100,
        };
        let message = route.encode(1);
        assert!(!message[HEADER + 12..].windows(4).any(|part| part == [8, 0, 1, 0]));
        assert!(message.windows(8).any(|part| part == [8, 0, 5, 0, 10, 0, 0, 1]));
    }

    #[test]
    fn only_the_answer_to_this_request_counts() {
        let mut message = vec![20, 0, 0, 0, 2, 0, 0, 0];
        message.extend(7_u32.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend((-17_i32).to_ne_bytes());
        assert_eq!(answer(&message, 7), Some(-17));
        assert_eq!(answer(&message, 8), None);
        assert_eq!(answer(&message[..10], 7), None);
    }
}
