//! A switch between segments, in this process: it lets through what a real one would, where that one is none too good.
//!
//! ```text
//! machine ── segment 1 ──▶ (passes?) ──▶ segment 2 ── machine
//! ```

use crate::segment::Segment;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, socket, sockopt};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where QEMU's segments are.
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const TICK: Duration = Duration::from_millis(200);
/// More than any frame.
const FRAME: usize = 1 << 16;
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const VLAN: [u8; 2] = [0x81, 0x00];

/// What goes from one segment to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    /// All but multicast: a switch that prunes groups which nobody has asked for, or all.
    NoMulticast,
    /// What a router and its two networks would let through: IPv4 to one machine, and the question where that is.
    OneToOne,
    /// Only what belongs to the VLAN of this number: ports of a switch that are members of it, and of nothing else.
    Vlan(u16),
}

impl Passes {
    fn frame(self, frame: &[u8]) -> bool {
        let (Some(&first), Some(kind)) = (frame.first(), frame.get(12..14)) else { return false };
        let to_many = first & 1 == 1;
        let to_all = frame.starts_with(&[0xff; 6]);
        match self {
            Self::NoMulticast => !to_many || to_all,
            Self::Vlan(number) => {
                // The upper four bits are priority and the like (IEEE 802.1Q).
                let tag = frame.get(14..16).map(|tag| u16::from_be_bytes([tag[0], tag[1]]) & 0xfff);
                kind == VLAN && tag == Some(number)
            }
            Self::OneToOne => kind == ARP || (kind == IPV4 && !to_many),
        }
    }
}

/// It switches until it is dropped.
#[derive(Debug)]
pub struct Switch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Joins these segments.
    ///
    /// # Errors
    /// What the kernel said of a socket.
    pub fn between(segments: &[Segment], passes: Passes) -> io::Result<Self> {
        let listeners = segments.iter().map(|segment| listen(*segment)).collect::<io::Result<Vec<_>>>()?;
        let speaker = UdpSocket::bind((HOST, 0))?;
        sockopt::set_ip_multicast_if(&speaker, &HOST)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, segments) = (Arc::clone(&stop), segments.to_vec());
        let thread = std::thread::Builder::new().name("switch".to_owned()).spawn(move || {
            let mut buffer = vec![0; FRAME];
            while !stopped.load(Ordering::Relaxed) {
                forward(&listeners, &speaker, &segments, passes, &mut buffer);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Waits for frames, and passes on what may pass. A frame that is lost is lost, as on any network.
fn forward(
    listeners: &[UdpSocket],
    speaker: &UdpSocket,
    segments: &[Segment],
    passes: Passes,
    buffer: &mut [u8],
) {
    let own = speaker.local_addr().ok();
    let mut fds: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
    let timeout = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    if poll(&mut fds, Some(&timeout)).is_err() {
        return;
    }
    for (at, listener) in listeners.iter().enumerate() {
        while let Ok((length, from)) = listener.recv_from(buffer) {
            // Its own words come back to it.
            if Some(from) == own || !passes.frame(&buffer[..length]) {
                continue;
            }
            for (_, to) in segments.iter().enumerate().filter(|(other, _)| *other != at) {
                let _lost = speaker.send_to(&buffer[..length], (to.group, to.port));
            }
        }
    }
}

/// Hears what is said on a segment, beside the machines that do.
fn listen(segment: Segment) -> io::Result<UdpSocket> {
    let fd = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    bind(&fd, &SocketAddrV4::new(segment.group, segment.port))?;
    sockopt::set_ip_add_membership(&fd, &segment.group, &HOST)?;
    let listener = UdpSocket::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
        [&to[..], &[2; 6], &kind, &[0; 46]].concat()
    }

    #[test]
    fn frames_pass_as_on_such_a_network() {
        let one = [0x52, 0x54, 0, 1, 2, 3];
        let (group, all) = ([0x33, 0x33, 0, 0, 0, 1], [0xff; 6]);
        let ipv6 = [0x86, 0xdd];
        for (to, kind, pruned, routed) in [
            (one, ipv6, true, false),
            (one, IPV4, true, true),
            (group, ipv6, false, false),
            (all, IPV4, true, false),
            (all, ARP, true, true),
        ] {
            let frame = frame(to, kind);
            assert_eq!(Passes::NoMulticast.frame(&frame), pruned, "{to:?}");
            assert_eq!(Passes::OneToOne.frame(&frame), routed, "{to:?}");
        }
        assert!(!Passes::NoMulticast.frame(&[]));
        let mut tagged = frame(group, VLAN);
        tagged[14..16].copy_from_slice(&[0xa0, 5]);
        assert!(Passes::Vlan(5).frame(&tagged) && !Passes::Vlan(6).frame(&tagged));
        assert!(!Passes::Vlan(5).frame(&frame(group, ipv6)) && !Passes::Vlan(5).frame(&tagged[..14]));
    }

    #[test]
    fn a_frame_goes_to_the_other_segment_once() {
        let segments = [Segment::random().unwrap(), Segment::random().unwrap()];
        let there = listen(segments[1]).unwrap();
        let _switch = Switch::between(&segments, Passes::NoMulticast).unwrap();
        let machine = UdpSocket::bind((HOST, 0)).unwrap();
        sockopt::set_ip_multicast_if(&machine, &HOST).unwrap();
        let frame = frame([0x52, 0x54, 0, 1, 2, 3], IPV4);
        machine.send_to(&frame, (segments[0].group, segments[0].port)).unwrap();
        there.set_nonblocking(false).unwrap();
        there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 2048];
        let (length, _) = there.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..length], frame);
        there.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert!(there.recv_from(&mut buffer).is_err());
    }
}
