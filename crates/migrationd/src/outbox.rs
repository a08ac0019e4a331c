//! Messages on their way out of a program that must never wait for its reader.

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde::Serialize;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

/// What was said and not yet taken. How much that can be is bounded by what is said: streams keep to their room.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<u8>,
}

impl Outbox {
    /// Says something; it leaves with the next [`Outbox::flush`].
    ///
    /// # Errors
    /// A message that cannot be written down; nothing was said.
    pub fn say<M: Serialize>(&mut self, message: &M) -> io::Result<()> {
        crate::wire::send(&mut self.queue, message)
    }

    /// Whether something waits for its reader.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<()> {
        while !self.queue.is_empty() {
            match send(&socket, self.queue.as_slices().0, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    self.queue.drain(..sent);
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_gets_all_later() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::default();
        let part = vec![7_u8; 60_000];
        for _ in 0..20 {
            outbox.say(&part).unwrap();
            outbox.flush(&here).unwrap();
        }
        assert!(!outbox.is_empty());
        for _ in 0..20 {
            assert_eq!(crate::wire::receive::<Vec<u8>>(&mut there).unwrap(), Some(part.clone()));
            outbox.flush(&here).unwrap();
        }
        assert!(outbox.is_empty());
        drop(there);
        outbox.say(&1).unwrap();
        assert!(outbox.flush(&here).is_err());
    }
}
