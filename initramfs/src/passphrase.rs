//! Asking for a passphrase, on whichever console somebody sits.

use crate::consoles;
use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long somebody may take to come; a node in a cellar starts without then.
const PATIENCE: Duration = Duration::from_secs(300);
/// More than anybody types, bytes.
const MOST: usize = 512;

/// A console that does not show what is typed, until this is dropped.
struct Blind {
    console: File,
    before: Termios,
    typed: Vec<u8>,
}

/// Asks on every console; gives the first line that is typed on one of them, which nobody sees.
///
/// # Errors
/// There is no console, all have hung up, or nobody has typed anything for some minutes.
pub(crate) fn ask(question: &str) -> Result<Vec<u8>> {
    let mut open: Vec<Blind> =
        consoles::active().iter().filter_map(|name| Blind::open(name, question)).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        ensure!(!open.is_empty(), "no console can be opened, or all have hung up");
        let mut polled: Vec<PollFd<'_>> =
            open.iter().map(|blind| PollFd::from_borrowed_fd(blind.console.as_fd(), PollFlags::IN)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "nobody has typed a passphrase within {} minutes", PATIENCE.as_secs() / 60);
        let left = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0) + 1, tv_nsec: 0 };
        match poll(&mut polled, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for a passphrase"),
        }
        drop(polled);
        let mut at = 0;
        while at < open.len() {
            match open[at].line() {
                Ok(Some(line)) => {
                    open.iter_mut().for_each(|blind| blind.say("\r\n"));
                    return Ok(line);
                }
                Ok(None) => at += 1,
                Err(_) => drop(open.remove(at)),
            }
        }
    }
}

impl Blind {
    fn open(name: &str, question: &str) -> Option<Self> {
        let console = consoles::open(name).ok()?;
        let before = tcgetattr(&console).ok()?;
        let mut blind = before.clone();
        blind.local_modes.remove(LocalModes::ECHO);
        blind.local_modes.insert(LocalModes::ICANON);
        // The return key of most terminals is a carriage return.
        blind.input_modes.insert(InputModes::ICRNL);
        tcsetattr(&console, OptionalActions::Flush, &blind).ok()?;
        let mut blind = Self { console, before, typed: Vec::new() };
        blind.say(&question.replace('\n', "\r\n"));
        Some(blind)
    }

    fn say(&mut self, text: &str) {
        let _console_gone = self.console.write_all(text.as_bytes());
    }

    /// The line, once all of it is there.
    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut piece = [0; MOST];
        match self.console.read(&mut piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.typed.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if self.typed.len() > MOST {
            self.typed.clear();
        }
        let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        Ok(Some(self.typed[..end].to_vec()))
    }
}

impl Drop for Blind {
    fn drop(&mut self) {
        let _console_gone = tcsetattr(&self.console, OptionalActions::Now, &self.before);
    }
}
