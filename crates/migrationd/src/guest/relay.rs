//! Between the home node and the capsule: one thread each way, until the process has ended.

use super::capsule::Capsule;
use super::image::Images;
use crate::home::Daemon;
use crate::link::{SILENCE, WORD_EVERY};
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromTarget, Offer, ToTarget};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// Relays until the process has ended or the link is lost; the capsule is gone then.
pub(super) fn run(
    daemon: &Daemon,
    offer: &Offer,
    link: TcpStream,
    capsule: Capsule,
    images: Images,
) -> Result<()> {
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    // A terminal that was stopped with Ctrl-S holds all writing up for as long as its user likes; a node that has died
    // is noticed by the reading side.
    link.set_write_timeout(None).context("setting up the link")?;
    let from_home = link.try_clone().context("sharing the link")?;
    let to_capsule = capsule.control.try_clone().context("sharing the capsule's socket")?;
    let inward = std::thread::Builder::new()
        .name("inward".to_owned())
        .spawn(move || {
            let why = inward(from_home, &to_capsule);
            // Wakes the other direction, whatever it waits for.
            let _gone = to_capsule.shutdown(Shutdown::Both);
            why
        })
        .context("starting a thread")?;
    let outcome = outward(daemon, offer, &link, &capsule, images);
    let _gone = link.shutdown(Shutdown::Both);
    drop(capsule);
    let why = inward.join().unwrap_or_else(|_| Ok(()));
    outcome.and(why)
}

/// From the home node to the capsule; ends when the home node says so, or says nothing for too long.
fn inward(mut link: TcpStream, mut capsule: &UnixStream) -> Result<()> {
    loop {
        match wire::receive(&mut link).context("listening to the home node")? {
            Some(ToTarget::StillHere) => {}
            Some(ToTarget::Kill | ToTarget::Discard) | None => return Ok(()),
            Some(
                word @ (ToTarget::Resume | ToTarget::Signal(_) | ToTarget::Input(_) | ToTarget::Resize(_)),
            ) => {
                wire::send(&mut capsule, &word).context("speaking to the capsule")?;
            }
            Some(other) => bail!("did not expect {other:?} from the home node"),
        }
    }
}

/// From the capsule to the home node.
fn outward(
    daemon: &Daemon,
    offer: &Offer,
    mut link: &TcpStream,
    capsule: &Capsule,
    images: Images,
) -> Result<()> {
    let mut images = Some(images);
    let every = Timespec { tv_sec: WORD_EVERY.as_secs().try_into().unwrap_or(1), tv_nsec: 0 };
    loop {
        let mut fds = [PollFd::new(&capsule.control, PollFlags::IN)];
        let ready = match poll(&mut fds, Some(&every)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno).context("waiting for the capsule"),
        };
        if ready == 0 {
            wire::send(&mut link, &FromTarget::StillHere).context("speaking to the home node")?;
            continue;
        }
        let word: Option<FromTarget> =
            wire::receive(&mut &capsule.control).context("listening to the capsule")?;
        let Some(word) = word else { return Ok(()) };
        match &word {
            // The image has done its work; its memory is free for others.
            FromTarget::Filled => {
                drop(images.take());
                continue;
            }
            FromTarget::CpuTime(micros) => {
                let seconds = *micros as f64 / 1e6;
                daemon.registry.change(offer.session, move |view| view.cpu_seconds_away = seconds);
            }
            FromTarget::Failed(why) => {
                tracing::warn!(%why, comm = %offer.comm, "a process could not be restored");
            }
            _ => {}
        }
        let over = matches!(word, FromTarget::Ended(_) | FromTarget::Failed(_));
        wire::send(&mut link, &word).context("speaking to the home node")?;
        if over {
            return Ok(());
        }
    }
}
