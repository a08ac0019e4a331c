//! The terminal at home: what is typed there, and its size. What the process writes to it is a stream.

use brant_migration::protocol::{END_OF_FILE, Size};
use brant_sys::process;
use brant_sys::pty::window_size;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// The controlling terminal, opened twice: a terminal that Ctrl-S has stopped must not hold up who writes to it.
pub(crate) struct Terminal {
    pub(crate) input: File,
    pub(crate) output: OwnedFd,
}

impl Terminal {
    /// Opens it; none where the session has none.
    pub(crate) fn open() -> Option<Self> {
        let input = File::open("/dev/tty").ok()?;
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let output = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        Some(Self { input, output })
    }

    /// Whether the deputy's group has the terminal.
    pub(crate) fn is_ours(&self) -> bool {
        process::in_foreground(&self.input)
    }

    /// What was typed.
    ///
    /// By lines, what does not end in a line feed was ended by Ctrl-D; nothing at all is end of file.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut typed = vec![0; 4096];
        let length = self.input.read(&mut typed)?;
        typed.truncate(length);
        if self.by_lines() && typed.last() != Some(&b'\n') {
            typed.push(END_OF_FILE);
        }
        Ok(typed)
    }

    /// Its size, where it has one.
    pub(crate) fn size(&self) -> Option<Size> {
        window_size(&self.input).map(|size| Size { rows: size.rows, columns: size.columns })
    }

    fn by_lines(&self) -> bool {
        tcgetattr(&self.input).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON))
    }
}
