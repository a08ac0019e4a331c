//! Packet sockets: one protocol on one link, before and below any IP address.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The Ethernet type of IPv4.
pub const IPV4: u16 = 0x0800;
/// The Ethernet type of ARP.
pub const ARP: u16 = 0x0806;
/// The hardware address of everybody on a link.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// What came over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The payload's length; a longer one than the buffer has been cut.
    pub length: usize,
    /// Who sent it.
    pub from: [u8; 6],
}

/// A socket for one protocol on one link; the kernel writes and strips the link header. Never blocks.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    index: i32,
    protocol: u16,
}

impl PacketSocket {
    /// Listens for one protocol on one link. Needs the capability to (root has it).
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(index: u32, protocol: u16) -> io::Result<Self> {
        Self::filtered(index, protocol, &[])
    }

    /// Listens for UDP over IPv4 to one port only, so that other traffic wakes nobody.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open_udp(index: u32, port: u16) -> io::Result<Self> {
        Self::filtered(index, IPV4, &udp_filter(port))
    }

    fn filtered(index: u32, protocol: u16, filter: &[libc::sock_filter]) -> io::Result<Self> {
        // Protocol 0 hears nothing: the filter is in place before the first packet is.
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let index = index.cast_signed();
        let socket = Self { fd, index, protocol };
        if !filter.is_empty() {
            let program = libc::sock_fprog {
                len: u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
                filter: filter.as_ptr().cast_mut(),
            };
            let length = size_of_u32::<libc::sock_fprog>();
            // SAFETY: `program` and the filter it points to live through the call; the kernel only reads them.
            check(unsafe {
                libc::setsockopt(
                    socket.fd.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_ATTACH_FILTER,
                    (&raw const program).cast(),
                    length,
                )
            })?;
        }
        let address = socket.address([0; 6]);
        // SAFETY: `address` is a whole sockaddr_ll that lives through the call.
        check(unsafe {
            libc::bind(socket.fd.as_raw_fd(), (&raw const address).cast(), size_of_u32::<libc::sockaddr_ll>())
        })?;
        Ok(socket)
    }

    /// Sends a payload to a hardware address.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn send(&self, to: [u8; 6], payload: &[u8]) -> io::Result<()> {
        let address = self.address(to);
        // SAFETY: the payload and `address` live through the call; their true lengths are passed.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                payload.as_ptr().cast(),
                payload.len(),
                0,
                (&raw const address).cast(),
                size_of_u32::<libc::sockaddr_ll>(),
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Takes the next payload that has come, if any.
    ///
    /// # Errors
    /// What the kernel said (the link may be down).
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        let mut address = self.address([0; 6]);
        let mut length = size_of_u32::<libc::sockaddr_ll>();
        // SAFETY: the buffer, `address` and `length` are writable through the call; their true lengths are passed.
        let got = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
                (&raw mut address).cast(),
                &raw mut length,
            )
        };
        match usize::try_from(got) {
            Ok(got) => {
                let mut from = [0; 6];
                from.copy_from_slice(&address.sll_addr[..6]);
                Ok(Some(Received { length: got, from }))
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    Ok(None)
                }
                error => Err(error),
            },
        }
    }

    fn address(&self, hardware: [u8; 6]) -> libc::sockaddr_ll {
        let mut padded = [0; 8];
        padded[..6].copy_from_slice(&hardware);
        libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: self.protocol.to_be(),
            sll_ifindex: self.index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: padded,
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Passes whole (unfragmented) UDP datagrams to this port. The program sees the packet from its IP header on.
fn udp_filter(port: u16) -> [libc::sock_filter; 9] {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 9),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 6, 17),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 6),
        step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 4, 0, 0x3fff),
        step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, 2),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, u32::from(port)),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0xffff),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    const LOOPBACK: u32 = 1;

    #[test]
    fn only_udp_to_the_port_comes_through_the_filter() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: packet sockets need root");
            return;
        }
        let wanted = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = PacketSocket::open_udp(LOOPBACK, wanted.local_addr().unwrap().port()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"not this", other.local_addr().unwrap()).unwrap();
        sender.send_to(b"but this", wanted.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 100];
        let start = Instant::now();
        let received = loop {
            if let Some(received) = socket.receive(&mut buffer).unwrap() {
                break received;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "nothing came");
        };
        assert_eq!(&buffer[28..received.length], b"but this");
    }
}
