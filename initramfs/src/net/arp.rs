//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227). Pure.

use std::net::Ipv4Addr;

const LENGTH: usize = 28;
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// One ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arp {
    /// A question, else an answer.
    pub(super) request: bool,
    pub(super) sender: [u8; 6],
    pub(super) sender_ip: Ipv4Addr,
    pub(super) target_ip: Ipv4Addr,
}

impl Arp {
    /// Asks who has an address without claiming it.
    pub(super) fn probe(sender: [u8; 6], address: Ipv4Addr) -> Self {
        Self { request: true, sender, sender_ip: Ipv4Addr::UNSPECIFIED, target_ip: address }
    }

    /// Claims an address.
    pub(super) fn announcement(sender: [u8; 6], address: Ipv4Addr) -> Self {
        Self { request: true, sender, sender_ip: address, target_ip: address }
    }

    /// The packet as it goes over the link.
    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let mut packet = [0; LENGTH];
        packet[..6].copy_from_slice(&KIND);
        packet[7] = if self.request { 1 } else { 2 };
        packet[8..14].copy_from_slice(&self.sender);
        packet[14..18].copy_from_slice(&self.sender_ip.octets());
        packet[24..28].copy_from_slice(&self.target_ip.octets());
        packet
    }

    /// Reads a packet; `None` when it is none.
    pub(super) fn decode(packet: &[u8]) -> Option<Self> {
        let packet: &[u8; LENGTH] = packet.get(..LENGTH)?.try_into().ok()?;
        let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        let request = match packet[6..8] {
            [0, 1] => true,
            [0, 2] => false,
            _ => return None,
        };
        let sender = packet[8..14].try_into().ok()?;
        (packet[..6] == KIND).then_some(Self { request, sender, sender_ip: ip(14), target_ip: ip(24) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_as_they_went() {
        let address = Ipv4Addr::new(169, 254, 7, 9);
        for arp in [Arp::probe([2; 6], address), Arp::announcement([2; 6], address)] {
            assert_eq!(Arp::decode(&arp.encode()), Some(arp));
        }
    }

    #[test]
    fn padding_is_ignored_and_what_is_cut_is_refused() {
        let arp = Arp::probe([2; 6], Ipv4Addr::new(169, 254, 7, 9));
        let mut packet = arp.encode().to_vec();
        packet.resize(46, 0);
        assert_eq!(Arp::decode(&packet), Some(arp));
        assert_eq!(Arp::decode(&packet[..27]), None);
        packet[7] = 3;
        assert_eq!(Arp::decode(&packet), None);
    }
}
