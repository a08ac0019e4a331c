//! `init console NAME`: the login on one console of a node that systemd runs.
//!
//! systemd's getty would give the session the console itself for a terminal; ours is a pseudo-terminal, which can go to
//! another node with the processes on it. The session is made by `login`, so that logind knows it.

use super::login::{Door, Login};
use super::{Interest, greeting};
use anyhow::{Context, Result};
use brant_sys::signal::{self, SignalQueue};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::time::Instant;

/// Logs the image's user in, again and again, until somebody ends this program; its end hangs the session up.
pub(crate) fn run(name: &str) -> Result<()> {
    let signals = SignalQueue::new(&[signal::SIGCHLD, signal::SIGTERM, signal::SIGINT, signal::SIGHUP]);
    let mut signals = signals.context("taking signals")?;
    let door = Door::Program { user: crate::facts::image()?.console_user };
    let mut login = Login::at_once(name, &door, greeting::now)?;
    loop {
        let now = Instant::now();
        login.start_if_due(now);
        let patience = login.due().map(|due| due.saturating_duration_since(now));
        let patience = patience.map(|time| Timespec {
            tv_sec: time.as_secs().min(3600).cast_signed(),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN)];
        let interests: Vec<Interest<'_>> = login.interests();
        fds.extend(interests.into_iter().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("waiting for something to happen"),
        }
        login.pump();
        while let Some(number) = signals.take().context("taking a signal")? {
            if number != signal::SIGCHLD {
                return Ok(());
            }
        }
        while let Ok(Some((id, _))) = wait(WaitOptions::NOHANG) {
            if login.runs_as(id.as_raw_nonzero().get()) {
                login.ended(Instant::now());
            }
        }
    }
}
