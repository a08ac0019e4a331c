//! A private network segment between machines, made of multicast on the host's loopback: no bridge, no root.
//!
//! Like a looped switch it shows a machine some of its own frames again.

use brant_sys::child::Tool;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::Ipv4Addr;

/// The multicast group and port that make one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// A group in 230.0.0.0/8.
    pub group: Ipv4Addr,
    /// A UDP port.
    pub port: u16,
}

impl Segment {
    /// A segment that nobody else is likely to have.
    ///
    /// # Errors
    /// The kernel has no random numbers yet.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 5];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let [a, b, c, d, e] = bytes;
        // Below the ports that the kernel gives to clients, and above the well-known ones.
        let port = 10_000 + u16::from_be_bytes([d, e]) % 20_000;
        Ok(Self { group: Ipv4Addr::new(230, a, b, c.clamp(1, 254)), port })
    }

    /// A `-netdev` argument that joins the segment.
    pub(crate) fn netdev(self, id: &str) -> String {
        let Self { group, port } = self;
        format!(
            "dgram,id={id},remote.type=inet,remote.host={group},remote.port={port},\
             local.type=inet,local.host=127.0.0.1,local.port={port}"
        )
    }

    /// Joins a tap device of this host to the segment, in a process without a machine.
    pub fn with_tap(self, tap: &str) -> Tool {
        Tool::new(crate::machine::PROGRAM)
            .args(["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-name", "tap"])
            .args(["-netdev", &format!("tap,id=host,ifname={tap},script=no,downscript=no")])
            .args(["-netdev", &self.netdev("segment")])
            .args(["-netdev", "hubport,id=port1,hubid=0,netdev=host"])
            .args(["-netdev", "hubport,id=port2,hubid=0,netdev=segment"])
    }

    /// A DHCP server for the segment: QEMU's own, in a process without a machine. It hands out sixteen addresses,
    /// and offers neither a route nor a name server.
    ///
    /// It takes every TCP segment of its network for its own, whoever it is for, and two of its answers go on answering
    /// each other: machines beside it speak to each other by TCP over IPv6 only.
    pub fn dhcp_server(self) -> Tool {
        Tool::new(crate::machine::PROGRAM)
            .args(["-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-name", "dhcp"])
            .args([
                "-netdev",
                "user,id=server,restrict=on,ipv6=off,net=10.88.0.0/24,host=10.88.0.2,dhcpstart=10.88.0.15",
            ])
            .args(["-netdev", &self.netdev("segment")])
            .args(["-netdev", "hubport,id=port1,hubid=0,netdev=server"])
            .args(["-netdev", "hubport,id=port2,hubid=0,netdev=segment"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_segments_differ_and_lie_in_their_ranges() {
        let (one, other) = (Segment::random().unwrap(), Segment::random().unwrap());
        assert_ne!(one, other);
        for segment in [one, other] {
            assert_eq!(segment.group.octets()[0], 230);
            assert!((10_000..30_000).contains(&segment.port));
        }
    }
}
