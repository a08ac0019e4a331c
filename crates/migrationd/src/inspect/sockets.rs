//! Which local sockets are connected to which (sock_diag(7), `UNIX_DIAG`).

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::collections::HashMap;
use std::io;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// `UDIAG_SHOW_PEER`.
const SHOW_PEER: u32 = 4;
/// `UNIX_DIAG_PEER`.
const PEER: u16 = 2;
const HEADER: usize = 16;
const MESSAGE: usize = 16;

/// The local sockets of this network namespace by their numbers, and who is at their other ends.
#[derive(Debug, Default)]
pub(super) struct LocalSockets {
    peers: HashMap<u64, Option<u64>>,
}

impl LocalSockets {
    /// Asks the kernel.
    pub(super) fn list() -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        send(&socket, &question(), SendFlags::empty())?;
        let mut sockets = Self::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
            if sockets.read(&buffer[..length])? {
                return Ok(sockets);
            }
        }
    }

    /// What is known of a socket: nothing when it is not a local one, else its peer, if it has one.
    pub(super) fn peer(&self, inode: u64) -> Option<Option<u64>> {
        self.peers.get(&inode).copied()
    }

    /// Takes one datagram of answers; true after the last.
    fn read(&mut self, mut datagram: &[u8]) -> io::Result<bool> {
        while let Some(length) = word(datagram, 0) {
            let message = datagram.get(..length as usize).filter(|message| message.len() >= HEADER);
            let message = message.ok_or_else(|| io::Error::other("a netlink message is cut short"))?;
            match half(message, 4) {
                Some(DONE) => return Ok(true),
                Some(ERROR) => return Err(io::Error::other("the kernel does not list its local sockets")),
                _ => self.note(&message[HEADER..]),
            }
            datagram = datagram.get(aligned(length as usize)..).unwrap_or_default();
        }
        Ok(false)
    }

    fn note(&mut self, body: &[u8]) {
        let (Some(inode), Some(mut attributes)) = (word(body, 4), body.get(MESSAGE..)) else { return };
        let mut peer = None;
        while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
            if length < 4 {
                break;
            }
            if kind == PEER {
                peer = word(attributes, 4).map(u64::from).filter(|inode| *inode != 0);
            }
            attributes = attributes.get(aligned(length.into())..).unwrap_or_default();
        }
        self.peers.insert(inode.into(), peer);
    }
}

fn question() -> Vec<u8> {
    let mut question = Vec::new();
    question.extend(40_u32.to_ne_bytes());
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(DUMP.to_ne_bytes());
    question.extend([0; 8]);
    // Family, protocol and padding; all states; any number; what to show; any cookie.
    question.extend([1, 0, 0, 0]);
    question.extend(u32::MAX.to_ne_bytes());
    question.extend(0_u32.to_ne_bytes());
    question.extend(SHOW_PEER.to_ne_bytes());
    question.extend(u64::MAX.to_ne_bytes());
    question
}

fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn inode(socket: impl AsFd) -> u64 {
        rustix::fs::fstat(socket).unwrap().st_ino
    }

    #[test]
    fn a_pair_is_connected_to_each_other_and_a_listener_to_nobody() {
        let (one, other) = UnixStream::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let sockets = LocalSockets::list().unwrap();
        assert_eq!(sockets.peer(inode(&one)), Some(Some(inode(&other))));
        assert_eq!(sockets.peer(inode(&listener)), Some(None));
        assert_eq!(sockets.peer(u64::MAX), None);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_refused() {
        let mut sockets = LocalSockets::default();
        assert!(sockets.read(&[200, 0, 0, 0, 20, 0, 0, 0]).is_err());
        assert!(!sockets.read(&[]).unwrap());
    }
}
