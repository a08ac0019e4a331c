//! The connection to migrationd, which may end and come back.

use crate::ends::{self, Ends};
use crate::terminal::Terminal;
use brant_migration::protocol::{FromDeputy, Hello, ToDeputy};
use brant_migration::session::{Settings, Time, lease};
use brant_migrationd::clock;
use brant_migrationd::outbox::Outbox;
use brant_migrationd::wire;
use rustix::event::{PollFd, PollFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Where migrationd is found.
const DEPUTIES: &str = "/run/brant/deputies.sock";
/// How long it may take to take in one that stands for those who go on.
const TAKING_IN: Duration = Duration::from_secs(5);
/// How often it is looked for.
const KNOCKING: Duration = Duration::from_millis(250);

/// The way to migrationd.
pub(crate) struct Door {
    /// The process that this deputy stands for.
    pid: i32,
    daemon: Option<UnixStream>,
    outbox: Outbox,
    /// When it went away.
    alone_since: Time,
    settings: Settings,
}

impl Door {
    /// The way for who stands for this process.
    pub(crate) fn of(pid: i32) -> Self {
        let (outbox, alone_since, settings) = (Outbox::default(), clock::now(), Settings::default());
        Self { pid, daemon: None, outbox, alone_since, settings }
    }

    /// Comes for the first time, and is told and given what there is; however often it takes.
    pub(crate) fn be_greeted(
        &mut self,
        inherited: &[(i32, OwnedFd)],
        terminal: Option<&Terminal>,
    ) -> io::Result<(Hello, Ends)> {
        loop {
            let greeted = self.connect(false).and_then(|mut daemon| {
                let Some(ToDeputy::Hello(hello)) = wire::receive(&mut daemon)? else {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                };
                Ok((hello, daemon))
            });
            if let Ok((hello, daemon)) = greeted {
                match ends::take(&daemon, &hello, inherited, terminal) {
                    Ok(ends) => {
                        self.daemon = Some(daemon);
                        self.settings = clock::settings(hello.lease);
                        return Ok((hello, ends));
                    }
                    // It has ended before it had given everything; the next one gives what it can.
                    Err(_) if hello.descriptors => {}
                    Err(error) => return Err(error),
                }
            }
            self.give_up_if_late()?;
            std::thread::sleep(KNOCKING);
        }
    }

    /// Whether migrationd is there.
    pub(crate) fn is_open_to_somebody(&self) -> bool {
        self.daemon.is_some()
    }

    /// What to wait for, where it is there.
    pub(crate) fn poll_fd(&self) -> Option<PollFd<'_>> {
        let outgoing = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        self.daemon.as_ref().map(|daemon| PollFd::new(daemon, PollFlags::IN | outgoing))
    }

    /// The next word; none when migrationd has gone.
    pub(crate) fn hear(&mut self) -> io::Result<Option<ToDeputy>> {
        let Some(daemon) = &mut self.daemon else { return Ok(None) };
        match wire::receive(daemon) {
            Ok(Some(word)) => Ok(Some(word)),
            Ok(None) | Err(_) => {
                self.lose();
                Ok(None)
            }
        }
    }

    /// Says something; it leaves with the next flush.
    pub(crate) fn say(&mut self, word: &FromDeputy) -> io::Result<()> {
        self.outbox.say(word)
    }

    /// Sends what can be sent.
    pub(crate) fn flush(&mut self) {
        if let Some(daemon) = &self.daemon
            && self.outbox.flush(daemon).is_err()
        {
            self.lose();
        }
    }

    /// Looks for a migrationd where there is none; true when there is one now.
    ///
    /// # Errors
    /// When there has been none for longer than any lease lasts: the process has ended by now, wherever it was.
    pub(crate) fn knock_again(&mut self) -> io::Result<bool> {
        if self.daemon.is_some() {
            return Ok(false);
        }
        if let Ok(daemon) = self.connect(true) {
            self.daemon = Some(daemon);
            return Ok(true);
        }
        self.give_up_if_late()?;
        Ok(false)
    }

    /// Comes as another process than before, and waits until it is known to be the one that counts.
    ///
    /// # Errors
    /// When there is no migrationd for longer than any lease lasts.
    pub(crate) fn come_anew(&mut self) -> io::Result<()> {
        self.lose();
        loop {
            let taken_in = self.connect(true).and_then(|mut daemon| {
                daemon.set_read_timeout(Some(TAKING_IN))?;
                let word = wire::receive::<ToDeputy>(&mut daemon)?;
                daemon.set_read_timeout(None)?;
                Ok((daemon, word))
            });
            if let Ok((daemon, Some(ToDeputy::Reattached))) = taken_in {
                self.daemon = Some(daemon);
                return Ok(());
            }
            self.give_up_if_late()?;
            std::thread::sleep(KNOCKING);
        }
    }

    fn connect(&self, greeted: bool) -> io::Result<UnixStream> {
        let mut daemon = UnixStream::connect(DEPUTIES)?;
        wire::send(&mut daemon, &FromDeputy::Here { pid: self.pid, greeted })?;
        Ok(daemon)
    }

    fn lose(&mut self) {
        if self.daemon.take().is_some() {
            self.outbox = Outbox::default();
            self.alone_since = clock::now();
        }
    }

    fn give_up_if_late(&self) -> io::Result<()> {
        if lease::daemon_given_up(self.alone_since, clock::now(), &self.settings) {
            return Err(io::Error::other("migrationd is gone, and does not come back"));
        }
        Ok(())
    }
}
