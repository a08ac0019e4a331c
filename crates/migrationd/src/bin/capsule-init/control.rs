//! The way to migrationd: this side listens, for the daemon may end and another come.

use anyhow::{Context, Result};
use brant_migration::protocol::{FromCapsule, ToCapsule};
use brant_migrationd::guest::capsule::Setup;
use brant_migrationd::outbox::Outbox;
use brant_migrationd::wire;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// How long a daemon may take in the middle of a word, or to hear the last one.
const LISTENING: Duration = Duration::from_secs(2);
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The listening socket, and the daemon that has come to it last.
pub(crate) struct Control {
    listener: UnixListener,
    daemon: Option<UnixStream>,
    outbox: Outbox,
}

impl Control {
    /// Takes the listening socket from standard input, and hears from the one who comes first what is to be done.
    pub(crate) fn open() -> Result<(Self, Setup)> {
        let listener = rustix::io::dup(rustix::stdio::stdin()).context("taking the control socket")?;
        let listener = UnixListener::from(listener);
        let (mut daemon, _) = listener.accept().context("waiting for migrationd")?;
        let setup = wire::receive(&mut daemon).context("waiting for the set-up")?;
        let setup = setup.context("migrationd went away")?;
        set_limits(&daemon)?;
        Ok((Self { listener, daemon: Some(daemon), outbox: Outbox::default() }, setup))
    }

    /// What to wait for: somebody who comes, the daemon that is there.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let outgoing = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let daemon = self.daemon.as_ref().map(|daemon| PollFd::new(daemon, PollFlags::IN | outgoing));
        std::iter::once(PollFd::new(&self.listener, PollFlags::IN)).chain(daemon)
    }

    /// Whether there is a daemon.
    pub(crate) fn has_daemon(&self) -> bool {
        self.daemon.is_some()
    }

    /// Takes in the daemon that has come, in place of the one before.
    pub(crate) fn admit(&mut self) -> Result<()> {
        let (daemon, _) = self.listener.accept().context("taking a daemon in")?;
        set_limits(&daemon)?;
        self.daemon = Some(daemon);
        self.outbox = Outbox::default();
        Ok(())
    }

    /// The next word; none when the daemon has gone.
    pub(crate) fn hear(&mut self) -> Option<ToCapsule> {
        let word = self.daemon.as_mut().and_then(|daemon| wire::receive(daemon).ok().flatten());
        if word.is_none() {
            self.daemon = None;
        }
        word
    }

    /// Says something, where there is somebody to say it to; it leaves with the next flush.
    pub(crate) fn say(&mut self, word: &FromCapsule) -> Result<()> {
        if self.daemon.is_none() {
            return Ok(());
        }
        self.outbox.say(word).context("speaking to migrationd")
    }

    /// Sends what can be sent now.
    pub(crate) fn flush(&mut self) {
        if let Some(daemon) = &self.daemon
            && self.outbox.flush(daemon).is_err()
        {
            self.daemon = None;
        }
    }

    /// Says something, and waits until it is said, but not for a daemon that does not listen.
    pub(crate) fn say_at_once(&mut self, word: &FromCapsule) {
        let deadline = Instant::now() + LISTENING;
        if self.say(word).is_err() {
            return;
        }
        self.flush();
        while !self.outbox.is_empty() && Instant::now() < deadline {
            let Some(daemon) = &self.daemon else { return };
            let _looked_again = poll(&mut [PollFd::new(daemon, PollFlags::OUT)], Some(&MOMENT));
            self.flush();
        }
    }
}

/// A daemon that stops in the middle of a word is not waited for: the next connection begins anew.
fn set_limits(daemon: &UnixStream) -> Result<()> {
    daemon.set_read_timeout(Some(LISTENING)).context("setting up the control socket")
}
