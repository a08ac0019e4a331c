//! Between the home node and the capsule: one thread each way, until the process has ended.

use super::capsule::Capsule;
use super::departure;
use super::image::Images;
use crate::home::Daemon;
use crate::link::{SILENCE, WORD_EVERY};
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{Destination, FromTarget, Offer, ToTarget};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const CPU_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether an image is sent.
const STEP: Duration = Duration::from_millis(20);

/// Relays until the process has ended or the link is lost; the capsule is gone then.
pub(super) fn run(
    daemon: &Daemon,
    offer: &Offer,
    link: TcpStream,
    capsule: Capsule,
    images: Images,
    departure: &Images,
) -> Result<()> {
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    // A terminal that was stopped with Ctrl-S holds all writing up for as long as its user likes; a node that has died
    // is noticed by the reading side.
    link.set_write_timeout(None).context("setting up the link")?;
    let from_home = link.try_clone().context("sharing the link")?;
    let to_capsule = capsule.control.try_clone().context("sharing the capsule's socket")?;
    let (destinations, moves_on) = mpsc::channel();
    let inward = std::thread::Builder::new()
        .name("inward".to_owned())
        .spawn(move || {
            let why = inward(from_home, &to_capsule, &destinations);
            // Wakes the other direction, whatever it waits for.
            let _gone = to_capsule.shutdown(Shutdown::Both);
            why
        })
        .context("starting a thread")?;
    let outcome = Outward { daemon, offer, link: &link, capsule: &capsule, departure, moves_on }.run(images);
    // First nothing of it is left here, then the home node hears the end of the link.
    drop(capsule);
    let _gone = link.shutdown(Shutdown::Both);
    let why = inward.join().unwrap_or_else(|_| Ok(()));
    outcome.and(why)
}

/// From the home node to the capsule; ends when the home node says so, or says nothing for too long.
fn inward(
    mut link: TcpStream,
    mut capsule: &UnixStream,
    destinations: &mpsc::Sender<Destination>,
) -> Result<()> {
    loop {
        match wire::receive(&mut link).context("listening to the home node")? {
            Some(ToTarget::StillHere) => {}
            Some(ToTarget::Kill | ToTarget::Discard | ToTarget::Left) | None => return Ok(()),
            Some(ToTarget::Depart(destination)) => {
                let _ending = destinations.send(destination.clone());
                wire::send(&mut capsule, &ToTarget::Depart(destination))
                    .context("speaking to the capsule")?;
            }
            Some(
                word @ (ToTarget::Resume
                | ToTarget::Signal(_)
                | ToTarget::SignalGroup(_)
                | ToTarget::Input(_)
                | ToTarget::Resize(_)
                | ToTarget::Stream(_)
                | ToTarget::Stay),
            ) => {
                wire::send(&mut capsule, &word).context("speaking to the capsule")?;
            }
            Some(other) => bail!("did not expect {other:?} from the home node"),
        }
    }
}

/// From the capsule to the home node.
struct Outward<'a> {
    daemon: &'a Daemon,
    offer: &'a Offer,
    link: &'a TcpStream,
    capsule: &'a Capsule,
    departure: &'a Images,
    moves_on: mpsc::Receiver<Destination>,
}

impl Outward<'_> {
    fn run(&self, images: Images) -> Result<()> {
        let mut images = Some(images);
        let mut meter: Option<Meter> = None;
        let every = Timespec { tv_sec: WORD_EVERY.as_secs().try_into().unwrap_or(1), tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::new(&self.capsule.control, PollFlags::IN)];
            let ready = match poll(&mut fds, Some(&every)) {
                Ok(ready) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno).context("waiting for the capsule"),
            };
            if let Some(used) = meter.as_mut().and_then(|meter| meter.read(self.capsule, ready == 0)) {
                self.say(&self.show(used))?;
            }
            if ready == 0 {
                self.say(&FromTarget::StillHere)?;
                continue;
            }
            let word: Option<FromTarget> =
                wire::receive(&mut &self.capsule.control).context("listening to the capsule")?;
            let Some(word) = word else { return Ok(()) };
            match &word {
                FromTarget::Resumed => meter = Some(Meter::start(self.capsule)),
                FromTarget::Filled => {
                    // The image has done its work; its memory is free for others.
                    drop(images.take());
                    continue;
                }
                FromTarget::Failed(why) => {
                    tracing::warn!(%why, comm = %self.offer.comm, "a process could not be restored");
                }
                FromTarget::Ended(_) => {
                    if let Some(used) = meter.as_mut().and_then(|meter| meter.read(self.capsule, true)) {
                        self.say(&self.show(used))?;
                    }
                }
                FromTarget::Departing => {
                    self.say(&word)?;
                    self.depart()?;
                    continue;
                }
                _ => {}
            }
            let over = matches!(word, FromTarget::Ended(_) | FromTarget::Failed(_));
            self.say(&word)?;
            if over {
                return Ok(());
            }
        }
    }

    /// Sends the image on its way; should that fail, the process goes on here.
    fn depart(&self) -> Result<()> {
        let sent = std::thread::scope(|scope| {
            let to = self.moves_on.try_iter().last();
            let (secret, folder) = (self.daemon.node.boot.secret.as_ref(), self.departure);
            let sending = scope.spawn(move || {
                let secret = secret.context("sending an image without a cluster secret")?;
                departure::send(folder, &to.context("sending an image without a destination")?, secret)
            });
            while !sending.is_finished() {
                std::thread::sleep(STEP);
                self.say(&FromTarget::StillHere)?;
            }
            sending.join().unwrap_or_else(|_| bail!("the thread that sends an image panicked"))
        });
        self.departure.clear();
        if let Err(error) = sent {
            // The home node decides, and says so: it goes on here, unless the next node has it after all.
            self.say(&FromTarget::DepartureFailed(format!("{error:#}")))?;
        }
        Ok(())
    }

    fn say(&self, word: &FromTarget) -> Result<()> {
        wire::send(&mut &*self.link, word).context("speaking to the home node")
    }

    /// Shows here what the guest has used, and gives it for its home node.
    fn show(&self, cpu_micros: u64) -> FromTarget {
        let seconds = cpu_micros as f64 / 1e6;
        self.daemon.registry.change(self.offer.session, move |view| view.cpu_seconds_away = seconds);
        FromTarget::Used { cpu_micros, memory_kib: self.capsule.memory_kib() }
    }
}

/// What a capsule's processes use of the processor, once they run.
struct Meter {
    at_start: Duration,
    read: Instant,
}

impl Meter {
    /// What the restore used is not the process's.
    fn start(capsule: &Capsule) -> Self {
        Self { at_start: capsule.cpu_time(), read: Instant::now() }
    }

    /// Microseconds since the start, at most once a second unless it is time anyway.
    fn read(&mut self, capsule: &Capsule, now: bool) -> Option<u64> {
        if !now && self.read.elapsed() < CPU_EVERY {
            return None;
        }
        self.read = Instant::now();
        let used = capsule.cpu_time().saturating_sub(self.at_start);
        Some(u64::try_from(used.as_micros()).unwrap_or(u64::MAX))
    }
}
