//! The capsule's inner terminal. The outer one, at home, does echo, editing and Ctrl-C; the inner one hands lines (or
//! bytes, where the process has asked for those) through as they are.

use anyhow::{Context, Result};
use brant_migration::protocol::Size;
use brant_sys::namespace::take_terminal;
use brant_sys::pty::{Pty, WindowSize, set_window_size};
use rustix::process::Pid;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr, tcsetpgrp};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

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
/// Debian's group `tty`.
const TERMINAL_GROUP: u32 = 5;
/// What the deputy sends for end of file.
const END_OF_FILE: u8 = brant_migration::protocol::END_OF_FILE;

/// Both sides: the process's is held open too, so that the relay's never sees a hang-up while processes come and go.
pub(crate) struct Terminal {
    master: File,
    slave: Option<OwnedFd>,
}

impl Terminal {
    /// Opens it for this user and makes it the controlling terminal of the caller's new session.
    pub(crate) fn open(user: u32, size: Option<Size>) -> Result<Self> {
        let pty = Pty::open().context("opening the capsule's terminal")?;
        pty.give_to(user, TERMINAL_GROUP).context("giving the process its terminal")?;
        let Pty { master, slave } = pty;
        take_terminal(&slave).context("taking the capsule's terminal")?;
        rustix::io::ioctl_fionbio(&master, true).context("setting up the capsule's terminal")?;
        let terminal = Self { master: File::from(master), slave: Some(slave) };
        if let Some(size) = size {
            terminal.resize(size)?;
        }
        Ok(terminal)
    }

    /// What the process writes, to read from.
    pub(crate) fn output(&self) -> Result<OwnedFd> {
        Ok(self.master.try_clone().context("sharing the capsule's terminal")?.into())
    }

    /// The process's side.
    pub(crate) fn process_side(&self) -> Result<OwnedFd> {
        let slave = self.slave.as_ref().context("sharing a terminal that was let go")?;
        slave.try_clone().context("sharing the capsule's terminal")
    }

    /// Lets go of the process's side: once all processes have, the output comes to its end.
    pub(crate) fn let_go(&mut self) {
        self.slave = None;
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

    /// Makes this group the one that may read from it. Whether it may at home is the deputy's business; CRIU sees to it
    /// only for those that have the terminal open by its own name.
    pub(crate) fn give_foreground(&self, group: i32) -> Result<()> {
        let (Some(slave), Some(group)) = (&self.slave, Pid::from_raw(group)) else { return Ok(()) };
        tcsetpgrp(slave, group).context("giving the terminal to the process's group")
    }

    /// Gives it another size; the process gets `SIGWINCH`.
    pub(crate) fn resize(&self, size: Size) -> Result<()> {
        set_window_size(&self.master, WindowSize { rows: size.rows, columns: size.columns })
            .context("resizing the terminal")
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
