//! How the contents of pages get from the link into a file: through a pipe, so that the kernel hands on what it has
//! received, and copies it once (splice(2)).

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};

/// How much the pipe takes at once, bytes; the kernel counts the pieces in which it came.
const PIPE: usize = 1 << 20;

/// What comes, in its order.
pub(super) trait Contents {
    /// Puts the next bytes at this place in a file. What failed may have put some of them there.
    fn put(&mut self, file: &File, at: u64, length: usize) -> io::Result<()>;
}

/// From the link.
#[derive(Debug)]
pub(super) struct FromLink {
    link: TcpStream,
    out_of: OwnedFd,
    into: OwnedFd,
}

impl FromLink {
    /// What comes next on this link.
    pub(super) fn new(link: &TcpStream) -> Result<Self> {
        let link = link.try_clone().context("sharing the link")?;
        let (out_of, into) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
        if let Err(error) = fcntl_setpipe_size(&into, PIPE) {
            tracing::debug!(%error, "memory goes through a small pipe");
        }
        Ok(Self { link, out_of, into })
    }
}

impl Contents for FromLink {
    fn put(&mut self, file: &File, mut at: u64, length: usize) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            // The pipe is empty, so this waits for the link alone.
            let mut inside = moved(&self.link, None, &self.into, left)?;
            left -= inside;
            while inside > 0 {
                inside -= moved(&self.out_of, Some(&mut at), file, inside)?;
            }
        }
        Ok(())
    }
}

/// Moves some bytes; `at` is where in the file they go.
fn moved(from: impl AsFd, at: Option<&mut u64>, to: impl AsFd, most: usize) -> io::Result<usize> {
    let mut at = at;
    loop {
        match splice(&from, None, &to, at.as_deref_mut(), most, SpliceFlags::MOVE) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => return Ok(length),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::fs::FileExt;

    impl Contents for &[u8] {
        fn put(&mut self, file: &File, at: u64, length: usize) -> io::Result<()> {
            let (piece, rest) = self.split_at_checked(length).ok_or(ErrorKind::UnexpectedEof)?;
            *self = rest;
            file.write_all_at(piece, at)
        }
    }

    #[test]
    fn what_comes_by_a_link_lies_in_the_file_and_not_a_byte_more_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut link, _) = listener.accept().unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let more = sent.clone();
        let sending = std::thread::spawn(move || {
            sender.write_all(&more).unwrap();
            sender.write_all(b"rest").unwrap();
        });
        let file = tempfile::tempfile().unwrap();
        let mut contents = FromLink::new(&link).unwrap();
        contents.put(&file, 5000, 1_000_000).unwrap();
        contents.put(&file, 1_005_000, 2_000_000).unwrap();
        let mut rest = [0; 4];
        link.read_exact(&mut rest).unwrap();
        sending.join().unwrap();
        let mut lies = vec![0; 3_000_000];
        file.read_exact_at(&mut lies, 5000).unwrap();
        assert!(lies == sent && rest == *b"rest");
        let missing = FromLink::new(&link).unwrap().put(&file, 0, 1).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::UnexpectedEof);
    }
}
