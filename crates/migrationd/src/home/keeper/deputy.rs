//! The deputies' door: a socket at which every deputy finds its keeper, also after a daemon has ended and another has
//! begun.

use super::Event;
use crate::home::Daemon;
use crate::home::pipes::Pipes;
use crate::outlet::Outlet;
use crate::{descriptors, doorman, inspect, wire};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromDeputy, Hello, ToDeputy};
use brant_sys::process::peer_of;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Where deputies come to.
const DEPUTIES: &str = "/run/brant/deputies.sock";
/// How long one may take to say who it is.
const NAMING: Duration = Duration::from_secs(5);

/// A deputy that has come.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// Its own number.
    pub(super) pid: i32,
    /// Its owner.
    pub(super) uid: u32,
    pub(super) greeted: bool,
    pub(super) stream: UnixStream,
}

/// Opens the door.
///
/// # Errors
/// What the kernel said.
pub fn listen_for_deputies() -> Result<UnixListener> {
    let _left_by_another = std::fs::remove_file(DEPUTIES);
    let listener = UnixListener::bind(DEPUTIES).with_context(|| format!("listening at `{DEPUTIES}`"))?;
    // Deputies run as their owners; what comes is checked by what the kernel says of it.
    std::fs::set_permissions(DEPUTIES, std::fs::Permissions::from_mode(0o666))
        .context("opening the deputies' socket")?;
    Ok(listener)
}

/// Leads each deputy to its keeper, for as long as the program runs.
pub fn serve_deputies(daemon: &Daemon, listener: &UnixListener) {
    doorman::serve(listener, "deputy", |stream, _| {
        if let Err(error) = lead(daemon, stream) {
            tracing::debug!("a deputy was not led to its keeper: {error:#}");
        }
    });
}

fn lead(daemon: &Daemon, mut stream: UnixStream) -> Result<()> {
    let (process, uid) = peer_of(&stream).context("asking who came")?;
    if !inspect::is_deputy(process) {
        bail!("process {process} is no deputy");
    }
    stream.set_read_timeout(Some(NAMING)).context("setting up a deputy's socket")?;
    let here = wire::receive(&mut stream).context("asking who it stands for")?;
    let Some(FromDeputy::Here { pid, greeted }) = here else { bail!("it does not say who it stands for") };
    stream.set_read_timeout(None).context("setting up a deputy's socket")?;
    let keeper = daemon.registry.keeper_of(pid).context("nobody keeps the process that it stands for")?;
    let visitor = Visitor { pid: process, uid, greeted, stream };
    keeper.send(Event::Deputy(visitor)).context("its keeper is gone")
}

/// The connection to the deputy. Dropped, it is cut.
#[derive(Debug)]
pub(super) struct Deputy {
    pub(super) number: u64,
    outlet: Outlet,
    stream: UnixStream,
}

impl Drop for Deputy {
    fn drop(&mut self) {
        let _gone = self.stream.shutdown(Shutdown::Both);
    }
}

impl Deputy {
    /// Greets a deputy that was not greeted yet, and listens to it from now on.
    pub(super) fn take(
        visitor: Visitor,
        number: u64,
        hello: &Hello,
        pipes: Option<&Pipes>,
        inbox: &Sender<Event>,
    ) -> Result<Self> {
        let Visitor { greeted, mut stream, .. } = visitor;
        if !greeted {
            let hello = Hello { descriptors: pipes.is_some(), ..hello.clone() };
            wire::send(&mut stream, &ToDeputy::Hello(hello)).context("greeting the deputy")?;
            for end in pipes.into_iter().flat_map(|pipes| pipes.ends.iter().chain(&pipes.files)) {
                descriptors::send(&stream, end.as_fd()).context("giving the deputy a pipe")?;
            }
        }
        let share = || stream.try_clone().context("sharing the deputy's socket");
        let (outlet, shared) = (Outlet::begin(share()?), share()?);
        let inbox = inbox.clone();
        std::thread::Builder::new()
            .name("from-deputy".to_owned())
            .spawn(move || {
                while let Ok(Some(FromDeputy::Packet(packet))) = wire::receive(&mut stream) {
                    if inbox.send(Event::FromDeputy(number, packet)).is_err() {
                        return;
                    }
                }
                let _keeper_gone = inbox.send(Event::DeputyGone(number));
            })
            .context("starting a thread")?;
        Ok(Self { number, outlet: outlet.context("starting a thread")?, stream: shared })
    }

    /// Tells it something that has to arrive.
    pub(super) fn say(&self, word: &ToDeputy) {
        self.outlet.say(word);
    }

    /// Hands it something that is said again when it is lost.
    pub(super) fn hand_on(&self, word: &ToDeputy) {
        self.outlet.say_if_room(word);
    }
}
