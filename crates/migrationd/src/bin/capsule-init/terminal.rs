//! The capsule's inner terminal. The outer one, at home, does echo, editing and Ctrl-C; the inner one hands lines (or
//! bytes, where the process has asked for those) through as they are.

use anyhow::{Context, Result};
use brant_migration::protocol::Size;
use brant_sys::namespace::take_terminal;
use brant_sys::pty::{Pty, WindowSize, set_window_size};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Keys that a terminal in line mode acts on; the outer one has done so already.
const EDITING: [SpecialCodeIndex; 6] = [
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VEOL2,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VWERASE,
];
/// A key that does not exist (`_POSIX_VDISABLE`).
const DISABLED: u8 = 0;
/// What the deputy sends for end of file.
const END_OF_FILE: u8 = brant_migration::protocol::END_OF_FILE;

/// The master side, and the slave until the process has it.
pub(crate) struct Terminal {
    master: File,
}

impl Terminal {
    /// Opens it and makes it the controlling terminal of the caller's new session; gives the slave for CRIU.
    pub(crate) fn open(size: Option<Size>) -> Result<(Self, OwnedFd)> {
        let Pty { master, slave } = Pty::open().context("opening the capsule's terminal")?;
        take_terminal(&slave).context("taking the capsule's terminal")?;
        rustix::io::ioctl_fionbio(&master, true).context("setting up the capsule's terminal")?;
        let terminal = Self { master: File::from(master) };
        if let Some(size) = size {
            terminal.resize(size)?;
        }
        Ok((terminal, slave))
    }

    /// Makes it hand everything through; CRIU has given it the modes of the outer one. Whether it works by lines stays,
    /// for only then can end of file be typed.
    pub(crate) fn make_transparent(&self) -> Result<()> {
        let mut modes = tcgetattr(&self.master).context("reading the terminal's modes")?;
        let lines = modes.local_modes & LocalModes::ICANON;
        let codes = modes.special_codes.clone();
        modes.make_raw();
        modes.local_modes |= lines;
        // A process that reads bytes keeps its own VMIN and VTIME; one that reads lines knows no key but end of file.
        modes.special_codes = codes;
        if !lines.is_empty() {
            for key in EDITING {
                modes.special_codes[key] = DISABLED;
            }
            modes.special_codes[SpecialCodeIndex::VEOF] = END_OF_FILE;
        }
        tcsetattr(&self.master, OptionalActions::Now, &modes).context("making the terminal transparent")
    }

    /// Gives it another size; the process gets `SIGWINCH`.
    pub(crate) fn resize(&self, size: Size) -> Result<()> {
        set_window_size(&self.master, WindowSize { rows: size.rows, columns: size.columns })
            .context("resizing the terminal")
    }

    /// What was written to it since last time; nothing when there is none, also once nobody holds the slave.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 16 << 10];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                Ok(bytes)
            }
            Err(Errno::AGAIN | Errno::IO | Errno::INTR) => Ok(Vec::new()),
            Err(errno) => Err(errno).context("reading the terminal"),
        }
    }

    /// Types; waits while the process does not read.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.master.write_all(bytes) {
            // The process has not read what was typed before: a terminal, too, drops what exceeds its buffer.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            other => other.context("typing into the terminal"),
        }
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}
