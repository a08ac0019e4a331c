//! Pseudo-terminals: opening one, its size, raw mode, and a child process that has it as its terminal.

use crate::child::Tool;
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

/// A pseudo-terminal: who reads and writes the master is the terminal of those who hold the slave.
#[derive(Debug)]
pub struct Pty {
    /// The terminal's own side.
    pub master: OwnedFd,
    /// The programs' side.
    pub slave: OwnedFd,
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Pty {
    /// Opens a new pseudo-terminal; both sides are closed on exec.
    ///
    /// # Errors
    /// What the kernel said; nothing is left open.
    pub fn open() -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        // By descriptor, not by path: it works wherever `/dev/pts` is mounted, or is not.
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        Ok(Self { master, slave })
    }

    /// Gives the slave's device to a user, as `login` does, so that programs can open it again by name.
    ///
    /// # Errors
    /// What the kernel said; the device may have its new owner already.
    pub fn give_to(&self, user: u32, terminal_group: u32) -> io::Result<()> {
        fchown(&self.slave, Some(Uid::from_raw(user)), Some(Gid::from_raw(terminal_group)))?;
        fchmod(&self.slave, Mode::RUSR | Mode::WUSR | Mode::WGRP)?;
        Ok(())
    }

    /// Makes the child a session leader that has this terminal as its own, and as its standard streams.
    ///
    /// # Errors
    /// What the kernel said; nothing was started.
    pub fn attach(&self, tool: Tool) -> io::Result<Tool> {
        self.attach_streams(tool).map(Tool::new_session)
    }

    /// Makes this terminal the child's standard streams.
    ///
    /// # Errors
    /// Likewise.
    pub fn attach_streams(&self, tool: Tool) -> io::Result<Tool> {
        let stream = || self.slave.try_clone().map(Stdio::from);
        Ok(tool.stdin(stream()?).stdout(stream()?).stderr(stream()?))
    }
}

/// The size of the terminal behind a descriptor; `None` when it is no terminal, or does not know (serial lines).
pub fn window_size(terminal: impl AsFd) -> Option<WindowSize> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Sets the size; the programs on the other side get `SIGWINCH`.
///
/// # Errors
/// What the kernel said; the size is unchanged.
pub fn set_window_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).map_err(io::Error::from)
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    isatty(fd)
}

/// Holds a terminal in raw mode; the mode it had comes back when this is dropped.
#[derive(Debug)]
pub struct RawMode<'fd> {
    terminal: BorrowedFd<'fd>,
    before: Termios,
}

impl<'fd> RawMode<'fd> {
    /// Switches a terminal to raw mode.
    ///
    /// # Errors
    /// What the kernel said (it may be no terminal); the mode is unchanged.
    pub fn enter(terminal: BorrowedFd<'fd>) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }

    /// The mode the terminal had, for copying to the pseudo-terminal that is relayed to it.
    pub fn before(&self) -> &Termios {
        &self.before
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // Output still on its way was written for raw mode: let it leave before the mode changes.
        if let Err(error) = tcsetattr(self.terminal, OptionalActions::Drain, &self.before) {
            tracing::warn!(%error, "could not restore the terminal's mode");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;
    use std::fs::File;
    use std::io::Read;

    fn read_until_hangup(master: OwnedFd) -> String {
        let mut text = Vec::new();
        // A master whose slaves are all closed reads EIO once it is empty.
        let _hung_up = File::from(master).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn a_child_on_a_pty_leads_a_session_on_a_terminal_of_the_given_size() {
        let pty = Pty::open().unwrap();
        set_window_size(&pty.master, WindowSize { rows: 33, columns: 101 }).unwrap();
        let script = "stty size; test -t 0 && test -t 1 && test -t 2 && echo tty; cut -d ' ' -f 6 /proc/$$/stat; echo $$";
        let tool = pty.attach(Tool::new("sh").args(["-c", script])).unwrap();
        let running = tool.spawn().unwrap();
        let id = running.id();
        let Pty { master, slave } = pty;
        drop(slave);
        let said = read_until_hangup(master);
        running.wait().unwrap();
        assert_eq!(said, format!("33 101\r\ntty\r\n{id}\r\n{id}\r\n"));
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let pty = Pty::open().unwrap();
        let echoes = || tcgetattr(&pty.slave).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echoes());
        let raw = RawMode::enter(pty.slave.as_fd()).unwrap();
        assert!(!echoes());
        assert!(raw.before().local_modes.contains(LocalModes::ECHO));
        drop(raw);
        assert!(echoes());
    }

    #[test]
    fn a_pipe_is_no_terminal_and_has_no_size() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(!is_terminal(&reader));
        assert_eq!(window_size(&reader), None);
        assert!(RawMode::enter(reader.as_fd()).is_err());
    }
}
