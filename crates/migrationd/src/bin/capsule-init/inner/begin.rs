//! From the set-up to the image that is complete.

use super::{Capsule, LOOK, Stage};
use crate::control::Control;
use crate::departure::{Luggage, Told};
use crate::numbers;
use crate::offsets::Offsets;
use crate::restore::{self, Restore};
use crate::root;
use crate::streams::{self, Made};
use crate::terminal::Terminal;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromCapsule, ToCapsule};
use brant_migration::session::lease::Lease;
use brant_migration::session::relay;
use brant_migrationd::clock;
use brant_migrationd::guest::capsule::Setup;
use brant_sys::process;
use brant_sys::signal::{self, SignalQueue};
use rustix::event::{PollFd, poll};
use std::path::Path;
use std::time::Instant;

/// Restores the process and stays with it to its end.
pub(crate) fn run() -> Result<()> {
    let (control, setup) = Control::open()?;
    let mut control = Some(control);
    let (outcome, control) = match begin(&setup, &mut control) {
        Ok(mut capsule) => (capsule.live(), Some(capsule.control)),
        Err(error) => (Err(error), control),
    };
    if let (Err(error), Some(mut control)) = (&outcome, control) {
        control.say_at_once(&FromCapsule::Failed(format!("{error:#}")));
    }
    outcome
}

/// Prepares everything, and starts to restore when the image is complete.
fn begin(setup: &Setup, way: &mut Option<Control>) -> Result<Capsule> {
    let control = way.as_mut().context("there is no way to migrationd")?;
    let mut lease = Lease::begin(clock::now(), &clock::settings(setup.lease));
    root::enter(setup)?;
    // SIGTTOU blocked: the process's group has the terminal, and yet it is this one that sets its modes.
    let changes = SignalQueue::new(&[signal::SIGCHLD, process::SIGTTOU]).context("queueing signals")?;
    let terminal = Terminal::open(setup.user, setup.terminal)?;
    control.say_at_once(&FromCapsule::Prepared);
    wait_for_image(control, &mut lease)?;
    root::named_memory(setup)?;
    root::know_pipes(&setup.named_pipes);
    let luggage = Luggage::unpack(Path::new(root::IMAGES))?;
    let Made { streams, ends, on_demand, pipes } =
        streams::make(&setup.streams, setup.user, terminal.output()?, luggage.as_ref())?;
    numbers::for_our_own();
    let Restore { criu, service, images, filler } = restore::start(&terminal, ends)?;
    let told = Told { stopped: setup.stopped, ..Told::default() };
    let (words, told) = luggage.map_or((relay::End::default(), told), |it| (it.words, it.told));
    Ok(Capsule {
        pid: setup.pid,
        group: 0,
        control: way.take().context("there is no way to migrationd")?,
        lease,
        words,
        told,
        service: Some(service),
        _images: images,
        terminal,
        streams,
        on_demand,
        pipes,
        offsets: Offsets::of(&setup.shared_files),
        changes,
        criu,
        filler,
        named_memory: setup.named_memory.clone(),
        stage: Stage::Restoring,
        end: None,
        is_stopped: told.stopped,
        looked: Instant::now(),
    })
}

/// Waits until the image is complete. So far nothing was promised: without its daemon, the capsule ends.
fn wait_for_image(control: &mut Control, lease: &mut Lease) -> Result<()> {
    loop {
        let ready = {
            let mut fds: Vec<PollFd<'_>> = control.poll_fds().skip(1).collect();
            match poll(&mut fds, Some(&LOOK)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(errno) => return Err(errno).context("waiting for the image"),
            }
        };
        if ready {
            match control.hear().context("migrationd went away before the image had come")? {
                ToCapsule::Restore => return Ok(()),
                ToCapsule::Until(until) => *lease = Lease::found(until),
                _ => {}
            }
        } else if lease.is_over(clock::now()) {
            bail!("the lease is over");
        }
    }
}
