//! A machine's serial line, for one user at a time.

use crate::exec::connect_in;
use crate::machine::CONSOLE_SOCKET;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Why a console cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Somebody else sits there.
    #[error("the console is in use")]
    Busy,
    /// The machine does not run, or its folder is not there.
    #[error("connecting to the machine")]
    Connect(#[source] io::Error),
}

/// A connection to a machine's serial line. Reading and writing go to the machine.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    _lock: File,
}

impl Console {
    /// Connects to the machine with this folder.
    ///
    /// # Errors
    /// [`ConsoleError`]; nothing was typed.
    pub fn open(machine: &Path) -> Result<Self, ConsoleError> {
        // QEMU lets a second client wait in silence; a lock can say so.
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(machine.join("console.lock"));
        let lock = lock.map_err(ConsoleError::Connect)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_held| ConsoleError::Busy)?;
        let stream = connect_in(machine, CONSOLE_SOCKET).map_err(ConsoleError::Connect)?;
        Ok(Self { stream, _lock: lock })
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
