//! Starting a capsule, finding one again, and being sure that it ends.
//!
//! A capsule outlives the daemon that has started it. It listens at a socket, at which every later daemon finds it, and
//! keeps its lease itself.

use super::place;
use super::stay::Event;
use crate::outlet::Outlet;
use crate::wire;
use anyhow::{Context, Result, anyhow, bail};
use brant_migration::protocol::{FromCapsule, NamedMemory, Offer, SessionId, SharedFile, Size, ToCapsule};
use brant_migration::session::host::Found;
use brant_migration::session::lease::Lease;
use brant_migration::stream::Stream;
use brant_sys::cgroup::Cgroup;
use brant_sys::child::{Running, Tool};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// The capsule's PID 1.
const CAPSULE_INIT: &str = "/usr/lib/brant/capsule-init";
/// How long it may take to prepare its namespaces and mounts.
const PREPARATION: Duration = Duration::from_secs(30);
/// How long one that was found may take to say how it stands; it may just be packing what goes along.
const FINDING: Duration = Duration::from_secs(20);

/// Inside a capsule: where its image is made when it moves on.
pub const DEPARTURE: &str = "/run/brant/departure";

/// The group below the capsule's that only the guest's own processes are in.
const WORK: &str = "work";
/// The descriptor by which capsule-init knows that group.
pub const WORK_GROUP: i32 = 7;

/// What capsule-init is told first, by the one who comes first to the socket that is its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The home node's root, mounted on this node.
    pub root: String,
    /// The process's image on this node.
    pub images: String,
    /// Where the image is made when the process moves on.
    pub departure: String,
    /// The capsule's host name: the home node's.
    pub host_name: String,
    /// Whether this node's own `/usr` stands for the home node's.
    pub local_usr: bool,
    /// The process.
    pub pid: i32,
    /// Its owner.
    pub user: u32,
    /// Its terminal's size.
    pub terminal: Option<Size>,
    /// Its pipes to processes at home.
    pub streams: Vec<Stream>,
    /// Shared memory that has come along, beside the image.
    pub named_memory: Vec<NamedMemory>,
    /// Open files whose offset is awaited at home.
    pub shared_files: Vec<SharedFile>,
    /// Pipes with a name.
    pub named_pipes: Vec<String>,
    /// Whether the process comes stopped.
    pub stopped: bool,
    /// How long it may go on without hearing from home.
    pub lease: Duration,
}

/// A capsule: a control group and what runs in it. Dropping it ends nothing: that is [`end`]'s.
#[derive(Debug)]
pub(super) struct Capsule {
    control: Outlet,
    socket: UnixStream,
    group: Cgroup,
    init: Option<Running>,
}

/// All of a stay's capsule is below this group.
pub(super) fn group_of(session: SessionId) -> Cgroup {
    Cgroup::at(crate::groups::capsules().join(session.to_string()))
}

/// Only the guest's own processes are in this one.
pub(super) fn work_group_of(session: SessionId) -> Cgroup {
    group_of(session).child(WORK)
}

impl Capsule {
    /// Starts capsule-init in namespaces and a control group of its own, and waits until everything stands. What it
    /// says later comes to the inbox. With `local_usr` this node's own `/usr` stands for the home node's.
    pub(super) fn start(offer: &Offer, root: &Path, local_usr: bool, inbox: &Sender<Event>) -> Result<Self> {
        let session = offer.session;
        let group = Cgroup::create(group_of(session).path()).context("making the capsule's control group")?;
        // Guests give way to what this node's own users run, and cannot flood it.
        if let Err(error) = crate::groups::limit(&group) {
            tracing::warn!("capsules cannot be limited: {error:#}");
        }
        let work = Cgroup::create(work_group_of(session).path()).context("making a group for the process")?;
        let work = File::open(work.path()).context("opening the group for the process")?;
        let processes = File::options()
            .write(true)
            .open(group.path().join("cgroup.procs"))
            .context("opening the capsule's control group")?;
        let path = place::control(session);
        let listener = UnixListener::bind(&path).context("making the capsule's control socket")?;
        let init = Tool::new(CAPSULE_INIT)
            .arg("outer")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(OwnedFd::from(listener))
            .keep(WORK_GROUP, work.into())
            .in_cgroup(processes)
            .outlives_parent()
            .spawn()
            .context("starting the capsule")?;
        let mut socket = UnixStream::connect(&path).context("connecting to the capsule")?;
        let setup = Setup {
            root: root.display().to_string(),
            images: place::images(session).display().to_string(),
            departure: place::departure(session).display().to_string(),
            host_name: offer.home_name.clone(),
            local_usr,
            pid: offer.pid,
            user: offer.uid,
            terminal: offer.terminal,
            streams: offer.streams.clone(),
            named_memory: offer.named_memory.clone(),
            shared_files: offer.shared_files.clone(),
            named_pipes: offer.named_pipes.clone(),
            stopped: offer.stopped,
            lease: offer.lease,
        };
        wire::send(&mut socket, &setup).context("setting the capsule up")?;
        socket.set_read_timeout(Some(PREPARATION)).context("setting up the capsule's socket")?;
        match wire::receive(&mut socket).context("waiting for the capsule")? {
            Some(FromCapsule::Prepared) => {}
            Some(FromCapsule::Failed(why)) => bail!("the capsule says: {why}"),
            None => bail!("the capsule has ended"),
            Some(other) => bail!("did not expect {other:?} from the capsule"),
        }
        Self::listen(socket, group, Some(init), inbox)
    }

    /// Finds one that an earlier daemon has started, and hears how it stands, until when it may live, and whether its
    /// image is not needed any more.
    pub(super) fn find(session: SessionId, inbox: &Sender<Event>) -> Result<(Self, Found, Lease, bool)> {
        let mut socket = UnixStream::connect(place::control(session)).context("connecting to a capsule")?;
        socket.set_read_timeout(Some(FINDING)).context("setting up the capsule's socket")?;
        match wire::receive(&mut socket).context("asking a capsule how it stands")? {
            Some(FromCapsule::Here { found: Some(found), until, filled }) => {
                let capsule = Self::listen(socket, group_of(session), None, inbox)?;
                Ok((capsule, found, Lease::found(until), filled))
            }
            other => Err(anyhow!("a capsule that has promised nothing said {other:?}")),
        }
    }

    fn listen(
        socket: UnixStream,
        group: Cgroup,
        init: Option<Running>,
        inbox: &Sender<Event>,
    ) -> Result<Self> {
        socket.set_read_timeout(None).context("setting up the capsule's socket")?;
        let mut from = socket.try_clone().context("sharing the capsule's socket")?;
        let inbox = inbox.clone();
        std::thread::Builder::new()
            .name("from-capsule".to_owned())
            .spawn(move || {
                while let Ok(Some(word)) = wire::receive(&mut from) {
                    if inbox.send(Event::Capsule(word)).is_err() {
                        return;
                    }
                }
                let _nobody_listens = inbox.send(Event::CapsuleGone);
            })
            .context("starting a thread")?;
        let to = socket.try_clone().context("sharing the capsule's socket")?;
        let control = Outlet::begin(to).context("starting a thread")?;
        Ok(Self { control, socket, group, init })
    }

    /// Tells it something.
    pub(super) fn say(&self, word: &ToCapsule) {
        self.control.say(word);
    }

    /// Hands it something from the deputy, which says it again when it is lost.
    pub(super) fn hand_on(&self, word: &ToCapsule) {
        self.control.say_if_room(word);
    }

    /// Processor time that the guest has used so far, and CRIU when it restored it.
    pub(super) fn cpu_time(&self) -> Duration {
        self.group.child(WORK).cpu_stat().map_or(Duration::ZERO, |stat| stat.usage)
    }

    /// Memory of everything in it, KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        let bytes: u64 =
            self.group.get("memory.current").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        bytes >> 10
    }
}

impl Drop for Capsule {
    fn drop(&mut self) {
        let _gone = self.socket.shutdown(Shutdown::Both);
        // It is ended by its group; here its number is given back.
        if let Some(init) = self.init.take() {
            init.kill();
        }
    }
}

/// Kills all that is in a stay's capsule, and removes its group. Nothing there is no failure.
pub(super) fn end(session: SessionId) -> Result<()> {
    let group = group_of(session);
    if !group.path().exists() {
        return Ok(());
    }
    group.kill().context("killing what is in a capsule")?;
    group.wait_empty(Duration::from_secs(10)).context("waiting for a capsule's end")?;
    let work = work_group_of(session);
    if work.path().exists() {
        work.remove().context("removing the group of the process")?;
    }
    group.remove().context("removing the capsule's group")
}

/// The capsules that are there, by the names of their stays.
pub(super) fn all() -> Vec<SessionId> {
    let names = Cgroup::at(crate::groups::capsules()).children().unwrap_or_default();
    names.iter().filter_map(|name| u64::from_str_radix(name, 16).ok().map(SessionId)).collect()
}
