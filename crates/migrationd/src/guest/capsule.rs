//! Starting a capsule, and being sure that it ends.

use super::image::Images;
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromTarget, NamedMemory, Offer, SharedFile, Size, ToTarget};
use brant_migration::stream::Stream;
use brant_sys::cgroup::Cgroup;
use brant_sys::child::{Running, Tool};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The capsule's PID 1.
const CAPSULE_INIT: &str = "/usr/lib/brant/capsule-init";
/// How long it may take to prepare its namespaces and mounts.
const PREPARATION: Duration = Duration::from_secs(30);

/// The group below the capsule's that only the guest's own processes are in.
const WORK: &str = "work";
/// The descriptor by which capsule-init knows that group.
pub const WORK_GROUP: i32 = 7;

/// What capsule-init is told first, on its standard input.
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
}

/// A capsule: a control group and what runs in it. Dropping it kills everything inside.
#[derive(Debug)]
pub(super) struct Capsule {
    pub(super) control: UnixStream,
    group: Cgroup,
    init: Option<Running>,
}

impl Capsule {
    /// Starts capsule-init in namespaces and a control group of its own, and waits until everything stands.
    pub(super) fn start(offer: &Offer, root: &Path, images: &Images, departure: &Images) -> Result<Self> {
        let group = Cgroup::create(Path::new(crate::inspect::CAPSULES).join(offer.session.to_string()))
            .context("making the capsule's control group")?;
        let capsules = Cgroup::at(crate::inspect::CAPSULES);
        if let Err(error) = capsules.hand_down(&["cpu", "memory", "pids"]) {
            tracing::warn!("capsules cannot be limited: {error:#}");
        }
        // A guest gives way to what this node's own users run, and cannot flood it.
        for (file, value) in [("cpu.weight", "50"), ("pids.max", "4096")] {
            if let Err(error) = group.set(file, value) {
                tracing::warn!("limiting a capsule: {error:#}");
            }
        }
        let (control, theirs) = UnixStream::pair().context("making the capsule's control socket")?;
        let work = Cgroup::create(group.path().join(WORK)).context("making a group for the process")?;
        let work = File::open(work.path()).context("opening the group for the process")?;
        let processes = File::options()
            .write(true)
            .open(group.path().join("cgroup.procs"))
            .context("opening the capsule's control group")?;
        let init = Tool::new(CAPSULE_INIT)
            .arg("outer")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(OwnedFd::from(theirs))
            .keep(WORK_GROUP, work.into())
            .in_cgroup(processes)
            .spawn()
            .context("starting the capsule")?;
        let mut capsule = Self { control, group, init: Some(init) };
        let setup = Setup {
            root: root.display().to_string(),
            images: images.folder.display().to_string(),
            departure: departure.folder.display().to_string(),
            host_name: offer.home_name.clone(),
            local_usr: offer.usr_untouched && crate::node::usr_untouched(),
            pid: offer.pid,
            user: offer.uid,
            terminal: offer.terminal,
            streams: offer.streams.clone(),
            named_memory: offer.named_memory.clone(),
            shared_files: offer.shared_files.clone(),
        };
        wire::send(&mut capsule.control, &setup).context("setting the capsule up")?;
        capsule.control.set_read_timeout(Some(PREPARATION)).context("setting up the capsule's socket")?;
        match wire::receive(&mut capsule.control).context("waiting for the capsule")? {
            Some(FromTarget::Prepared) => {}
            Some(FromTarget::Failed(why)) => bail!("the capsule says: {why}"),
            None => bail!("the capsule has ended"),
            Some(other) => bail!("did not expect {other:?} from the capsule"),
        }
        capsule.control.set_read_timeout(None).context("setting up the capsule's socket")?;
        Ok(capsule)
    }

    /// Has it restore the process from the image, which is complete now.
    pub(super) fn restore(&self) -> Result<()> {
        wire::send(&mut &self.control, &ToTarget::Restore).context("speaking to the capsule")
    }
}

impl Capsule {
    /// Processor time that everything in it has used so far.
    pub(super) fn cpu_time(&self) -> Duration {
        self.group.cpu_stat().map_or(Duration::ZERO, |stat| stat.usage)
    }

    /// Memory of everything in it, KiB.
    pub(super) fn memory_kib(&self) -> u64 {
        let bytes: u64 =
            self.group.get("memory.current").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        bytes >> 10
    }
}

/// Ends the capsules of an earlier daemon: no guest outlives the daemon that hosts it.
pub fn end_leftovers() {
    let capsules = Cgroup::at(crate::inspect::CAPSULES);
    for name in capsules.children().unwrap_or_default() {
        if let Err(error) = end(&capsules.child(&name)) {
            tracing::warn!("ending a capsule of an earlier daemon: {error:#}");
        }
    }
}

/// Kills all that is in a capsule's group, and removes the group.
fn end(group: &Cgroup) -> Result<()> {
    group.kill().context("killing")?;
    group.wait_empty(Duration::from_secs(10)).context("waiting for the end")?;
    let work = group.child(WORK);
    if work.path().exists() {
        work.remove().context("removing the group of the process")?;
    }
    group.remove().context("removing the capsule's group")
}

impl Drop for Capsule {
    fn drop(&mut self) {
        if let Err(error) = self.group.kill() {
            tracing::warn!("ending a capsule: {error:#}");
        }
        if let Some(init) = self.init.take() {
            init.kill();
        }
        if let Err(error) = end(&self.group) {
            tracing::warn!("removing a capsule: {error:#}");
        }
    }
}
