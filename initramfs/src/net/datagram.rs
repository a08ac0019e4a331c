//! UDP over IPv4 by hand, for a link that has no address yet. Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;

/// A datagram with its IP and UDP headers. The payload must fit a packet; longer ones are cut at 1400 bytes.
pub(super) fn wrap(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(1400)];
    let length =
        |bytes: usize| u16::try_from(bytes).unwrap_or_else(|_| unreachable!("the payload is bounded"));
    let mut udp = Vec::with_capacity(UDP_HEADER + payload.len());
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(length(UDP_HEADER + payload.len()).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut pseudo = Vec::with_capacity(12 + udp.len());
    pseudo.extend(from.ip().octets());
    pseudo.extend(to.ip().octets());
    pseudo.extend([0, UDP]);
    pseudo.extend(length(udp.len()).to_be_bytes());
    pseudo.extend(&udp);
    // An UDP checksum of 0 would say that there is none.
    let sum = match checksum(&pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![0x45, 0x10];
    packet.extend(length(IP_HEADER + udp.len()).to_be_bytes());
    packet.extend([0, 0, 0, 0, TIME_TO_LIVE, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(udp);
    packet
}

/// The sender and payload of a datagram to this port; `None` for anything else.
///
/// The UDP checksum is not looked at: between virtual machines of one host it is often not filled in.
pub(super) fn unwrap(packet: &[u8], port: u16) -> Option<(Ipv4Addr, &[u8])> {
    let head = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(word(packet, 2)?);
    let valid = packet[0] >> 4 == 4
        && head >= IP_HEADER
        && total >= head + UDP_HEADER
        && packet.len() >= total
        && packet[9] == UDP
        && word(packet, 6)? & 0x3fff == 0
        && checksum(&packet[..head]) == 0;
    if !valid || word(packet, head + 2)? != port {
        return None;
    }
    let udp = usize::from(word(packet, head + 4)?);
    let payload = packet[..total].get(head + UDP_HEADER..head + udp)?;
    let from: [u8; 4] = packet[12..16].try_into().ok()?;
    Some((from.into(), payload))
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        wrap(
            SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 67),
            SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
            payload,
        )
    }

    #[test]
    fn what_was_wrapped_is_unwrapped() {
        for payload in [&b"odd"[..], b"even", b""] {
            assert_eq!(unwrap(&packet(payload), 68), Some((Ipv4Addr::new(10, 0, 0, 1), payload)));
        }
    }

    #[test]
    fn another_port_or_a_damaged_header_is_refused() {
        assert_eq!(unwrap(&packet(b"x"), 67), None);
        let mut damaged = packet(b"x");
        damaged[12] ^= 1;
        assert_eq!(unwrap(&damaged, 68), None);
    }

    #[test]
    fn lengths_that_lie_never_reach_beyond_the_packet() {
        let whole = packet(b"some payload");
        for cut in 0..whole.len() {
            assert_eq!(unwrap(&whole[..cut], 68), None);
        }
        let mut lying = whole.clone();
        lying[IP_HEADER + 4..IP_HEADER + 6].copy_from_slice(&400_u16.to_be_bytes());
        assert_eq!(unwrap(&lying, 68), None);
        lying[IP_HEADER + 4..IP_HEADER + 6].copy_from_slice(&3_u16.to_be_bytes());
        assert_eq!(unwrap(&lying, 68), None);
    }

    #[test]
    fn padding_of_a_short_frame_is_not_payload() {
        let mut padded = packet(b"hi");
        padded.resize(46, 0);
        assert_eq!(unwrap(&padded, 68).unwrap().1, b"hi");
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&packet(b"abc")[..IP_HEADER]), 0);
    }
}
