//! Says to a cluster what a stranger can say: what it has recorded, the same damaged, and what it makes up.

use anyhow::{Context, Result, ensure};
use brant_sys::packet::PacketSocket;
use brant_types::ports;
use serde_json::{Value, json};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

/// The Ethernet type of IPv6.
const IPV6: u16 = 0x86dd;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
/// How many datagrams are recorded, and for how long at most.
const RECORDED: usize = 64;
const LISTENING: Duration = Duration::from_secs(20);
const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The first message of WireGuard's handshake: its type, and how long it is.
const HANDSHAKE: (u8, usize) = (1, 148);

/// What was said, how often.
pub(crate) fn run(seconds: u64, address: Ipv6Addr, index: u32) -> Result<Value> {
    let recorded = record(index)?;
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).context("opening a socket")?;
    let to = |address, port| SocketAddrV6::new(address, port, 0, index);
    let (mut random, mut counts) = (Random(0x9e37_79b9_7f4a_7c15), [0_u64; 5]);
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        for _ in 0..64 {
            let kind = (random.next() % 5) as usize;
            let mut datagram = recorded[random.below(recorded.len())].clone();
            let mut port = ports::GOSSIP;
            match kind {
                0 => {}
                1 => {
                    let at = random.below(datagram.len());
                    datagram[at] ^= 1 << (random.next() % 8);
                    datagram.truncate(1 + random.below(datagram.len()));
                }
                2 => {
                    // Its own header, and then whatever; some are longer than any that Brant sends.
                    datagram.truncate(13);
                    let length = random.below(8000);
                    datagram.extend(std::iter::repeat_with(|| random.next() as u8).take(length));
                }
                3 => {
                    datagram = b"BRNA\x01".to_vec();
                    let length = random.below(300);
                    datagram.extend(std::iter::repeat_with(|| random.next() as u8).take(length));
                }
                _ => {
                    port = ports::WIREGUARD;
                    datagram = vec![HANDSHAKE.0, 0, 0, 0];
                    datagram.extend(std::iter::repeat_with(|| random.next() as u8).take(HANDSHAKE.1 - 4));
                }
            }
            let whom = if random.next().is_multiple_of(4) { EVERYBODY } else { address };
            if socket.send_to(&datagram, to(whom, port)).is_ok() {
                counts[kind] += 1;
            }
        }
    }
    let [replayed, damaged, made_up, admission, handshakes] = counts;
    Ok(json!({
        "recorded": recorded.len(), "replayed": replayed, "damaged": damaged, "made_up": made_up,
        "admission": admission, "handshakes": handshakes, "a_second": counts.iter().sum::<u64>() / seconds.max(1),
    }))
}

/// Datagrams of the cluster, as they go over the LAN.
fn record(index: u32) -> Result<Vec<Vec<u8>>> {
    let socket = PacketSocket::open(index, IPV6).context("listening to the link")?;
    let mut recorded = Vec::new();
    let until = Instant::now() + LISTENING;
    let mut buffer = [0; 2048];
    while recorded.len() < RECORDED && Instant::now() < until {
        match socket.receive(&mut buffer).context("listening to the link")? {
            Some(received) => {
                let packet = &buffer[..received.length.min(buffer.len())];
                let port = packet.get(IPV6_HEADER + 2..IPV6_HEADER + 4);
                if packet.get(6) == Some(&UDP) && port == Some(&ports::GOSSIP.to_be_bytes()[..]) {
                    let datagram = packet.get(IPV6_HEADER + UDP_HEADER..).unwrap_or_default();
                    // Its own asking to be admitted is nothing to replay.
                    recorded.extend(datagram.starts_with(b"BRNT").then(|| datagram.to_vec()));
                }
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    ensure!(!recorded.is_empty(), "nothing of a cluster is to be heard on this link");
    Ok(recorded)
}

/// Numbers that need not be good ones (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
