//! What ties a deputy to its process: one thread each way between the deputy's socket and the target's link.

use super::Daemon;
use super::journal::Journal;
use super::pipes::Pipes;
use crate::link::{SILENCE, WORD_EVERY};
use crate::{descriptors, inspect, wire};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromDeputy, FromTarget, SessionId, ToDeputy, ToTarget};
use brant_sys::process::peer_of;
use brant_types::migration::ProcessState;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const DEPUTIES: &str = "/run/brant/deputies";
/// How long a deputy may take to come; it starts while the process starts on the target.
const MEETING: Duration = Duration::from_secs(30);

/// A socket that one deputy is awaited at.
pub(super) struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _never_made = std::fs::remove_file(&self.path);
    }
}

/// What a deputy is told and given when it comes.
pub(super) struct Greeting {
    pub(super) pid: i32,
    pub(super) comm: String,
    /// Signals that were pending when the process was dumped, one bit each.
    pub(super) pending: u64,
    pub(super) stopped: bool,
    pub(super) pipes: Pipes,
}

impl Greeting {
    fn give(self, deputy: &mut UnixStream) -> Result<()> {
        let Self { comm, pending, pipes, .. } = self;
        let Pipes { streams, ends, files } = pipes;
        let shared_files = u16::try_from(files.len()).context("counting the shared files")?;
        let hello = ToDeputy::Hello { comm, pending, streams, shared_files };
        wire::send(deputy, &hello).context("greeting the deputy")?;
        for end in ends.iter().chain(&files) {
            descriptors::send(&*deputy, end.as_fd()).context("giving the deputy a pipe")?;
        }
        Ok(())
    }
}

/// Deputy, target, and the record that the process was given away.
pub(super) struct Keeper {
    deputy: UnixStream,
    link: TcpStream,
    early: Vec<FromTarget>,
    _journal: Journal,
}

impl Keeper {
    /// Listens for the deputy that this process will become.
    pub(super) fn listen(pid: i32) -> Result<Waiting> {
        // Searchable, not listable: a deputy knows its own number.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(DEPUTIES)
            .context("making the deputies' folder")?;
        let path = Path::new(DEPUTIES).join(pid.to_string());
        let _left_by_another = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).context("listening for the deputy")?;
        let waiting = Waiting { listener, path };
        // Deputies run as their owners; who connects is checked by its process id.
        std::fs::set_permissions(&waiting.path, std::fs::Permissions::from_mode(0o666))
            .context("opening the deputy's socket")?;
        waiting.listener.set_nonblocking(true).context("setting up the deputy's socket")?;
        Ok(waiting)
    }

    /// Relays until the process has ended, on whichever side.
    pub(super) fn keep(self, daemon: &Daemon, session: SessionId) {
        let Self { deputy, link, early, _journal } = self;
        let outcome = relay(daemon, session, &deputy, &link, early);
        let _gone = link.shutdown(Shutdown::Both);
        if let Err(error) = outcome {
            tracing::warn!(%session, "a process away from home is lost: {error:#}");
            let _deputy_gone = wire::send(&mut &deputy, &ToDeputy::Lost(format!("{error:#}")));
        }
        daemon.registry.change(session, |view| view.state = ProcessState::Ended);
    }
}

impl Waiting {
    /// Waits for the deputy and greets it. One that is still stopped (Ctrl-Z) comes when it goes on.
    pub(super) fn meet(
        self,
        greeting: Greeting,
        link: TcpStream,
        journal: Journal,
        early: Vec<FromTarget>,
    ) -> Result<Keeper> {
        let Greeting { pid, stopped, .. } = greeting;
        let mut deadline = Instant::now() + MEETING;
        loop {
            match self.listener.accept() {
                Ok((mut deputy, _)) => {
                    let (peer, _) = peer_of(&deputy).context("asking who came")?;
                    if peer != pid {
                        tracing::warn!(peer, pid, "somebody else came to a deputy's socket");
                        continue;
                    }
                    deputy.set_nonblocking(false).context("setting up the deputy's socket")?;
                    greeting.give(&mut deputy)?;
                    return Ok(Keeper { deputy, link, early, _journal: journal });
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("waiting for the deputy"),
            }
            if stopped && inspect::is_stopped(pid) {
                wire::send(&mut &link, &ToTarget::StillHere).context("speaking to the node where it is")?;
                deadline = Instant::now() + MEETING;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the deputy did not come");
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
                tv_nsec: left.subsec_nanos().into(),
            };
            // A deputy that is killed at once never comes; the process's end is noticed by its number.
            if !Path::new(&format!("/proc/{pid}")).exists() {
                bail!("the deputy was killed");
            }
            let quarter = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
            let step = if left.tv_sec > 0 { quarter } else { left };
            match poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&step)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).context("waiting for the deputy"),
            }
        }
    }
}

fn relay(
    daemon: &Daemon,
    session: SessionId,
    deputy: &UnixStream,
    link: &TcpStream,
    early: Vec<FromTarget>,
) -> Result<()> {
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    // A terminal that was stopped with Ctrl-S holds all writing up for as long as its user likes; a node that has died
    // is noticed by the reading side.
    link.set_write_timeout(None).context("setting up the link")?;
    let (to_target, from_deputy) = (
        link.try_clone().context("sharing the link")?,
        deputy.try_clone().context("sharing the deputy's socket")?,
    );
    let outward = std::thread::Builder::new()
        .name("outward".to_owned())
        .spawn(move || {
            if let Err(error) = outward(&from_deputy, &to_target) {
                tracing::debug!("from a deputy to its process: {error:#}");
            }
        })
        .context("starting a thread")?;
    let outcome = inward(daemon, session, deputy, link, early);
    let _gone = link.shutdown(Shutdown::Both);
    // After a loss the other thread ends with the deputy, which is yet to be told.
    outcome?;
    let _panicked = outward.join();
    Ok(())
}

/// From the target to the deputy: first what came early, then what comes.
fn inward(
    daemon: &Daemon,
    session: SessionId,
    deputy: &UnixStream,
    mut link: &TcpStream,
    early: Vec<FromTarget>,
) -> Result<()> {
    let mut early = early.into_iter();
    loop {
        let word = match early.next() {
            Some(word) => Some(word),
            None => wire::receive(&mut link).context("listening to the node where it runs")?,
        };
        match word {
            Some(word) => {
                if hand_on(daemon, session, deputy, word)? {
                    return Ok(());
                }
            }
            None => bail!("the node where it ran has hung up"),
        }
    }
}

/// Hands one word on; true when it was the last. A deputy that was killed hears nothing any more: the target is told
/// by the other thread, and says then that the process has ended.
fn hand_on(daemon: &Daemon, session: SessionId, mut deputy: &UnixStream, word: FromTarget) -> Result<bool> {
    let _killed = match word {
        FromTarget::Stream(word) => wire::send(&mut deputy, &ToDeputy::Stream(word)),
        FromTarget::Offset(file, offset) => wire::send(&mut deputy, &ToDeputy::Offset(file, offset)),
        FromTarget::Family(has) => wire::send(&mut deputy, &ToDeputy::Family(has)),
        FromTarget::LeaderEnded(end) => wire::send(&mut deputy, &ToDeputy::LeaderEnded(end)),
        FromTarget::WantsInput(wants) => wire::send(&mut deputy, &ToDeputy::WantsInput(wants)),
        FromTarget::Stopped(signal) => wire::send(&mut deputy, &ToDeputy::Stopped(signal)),
        FromTarget::Ended(end) => {
            let _killed = wire::send(&mut deputy, &ToDeputy::Ended(end));
            return Ok(true);
        }
        FromTarget::CpuTime(micros) => {
            let seconds = micros as f64 / 1e6;
            daemon.registry.change(session, move |view| view.cpu_seconds_away = seconds);
            Ok(())
        }
        FromTarget::StillHere | FromTarget::Continued => Ok(()),
        FromTarget::Failed(why) => bail!("the node where it ran says: {why}"),
        other => bail!("did not expect {other:?}"),
    };
    Ok(false)
}

/// From the deputy to the target; a deputy that is gone takes its process along.
fn outward(mut deputy: &UnixStream, mut link: &TcpStream) -> Result<()> {
    let every = Timespec { tv_sec: WORD_EVERY.as_secs().try_into().unwrap_or(1), tv_nsec: 0 };
    loop {
        let ready = match poll(&mut [PollFd::new(deputy, PollFlags::IN)], Some(&every)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno).context("waiting for the deputy"),
        };
        let word = if ready == 0 {
            ToTarget::StillHere
        } else {
            match wire::receive(&mut deputy).unwrap_or(None) {
                Some(FromDeputy::Signal(signal)) => ToTarget::Signal(signal),
                Some(FromDeputy::Input(bytes)) => ToTarget::Input(bytes),
                Some(FromDeputy::Resize(size)) => ToTarget::Resize(size),
                Some(FromDeputy::SignalGroup(signal)) => ToTarget::SignalGroup(signal),
                Some(FromDeputy::Stream(word)) => ToTarget::Stream(word),
                None => {
                    wire::send(&mut link, &ToTarget::Kill).context("ending the process")?;
                    return Ok(());
                }
            }
        };
        wire::send(&mut link, &word).context("speaking to the node where it runs")?;
    }
}
