//! The keeper of a cluster: a process in a session of its own, the parent of all its machines.
//!
//! `create` starts it, writes the plan to its standard input, and, when all nodes answer, [`RELEASE`]. If the input
//! ends before that, `create` is gone, however that happened, and the keeper takes everything down. The machines die
//! with the keeper, however that happens: the kernel sees to it.
//!
//! ```text
//! plan ──claim──▶ machines start ──"started"──▶ waiting ──RELEASE──▶ keeping ──every machine has ended──▶ (ends, folder stays)
//!                      │ any failure: "failed: …"    │ end of input      │ SIGTERM
//!                      └─────────────────────────────┴───────────────────┴──▶ machines killed, folder removed
//! ```

use crate::cluster::args::NodeName;
use crate::cluster::state::{Cluster, Clusters, ENDED, LOCK, PLAN, Plan};
use crate::interrupt;
use anyhow::{Context, Result, bail};
use brant_qemu::machine::UEFI_VARIABLES;
use brant_qemu::qmp::Qmp;
use brant_sys::child::{Running, describe};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// The line that tells the keeper to go on without `create`.
pub(crate) const RELEASE: &str = "keep";
/// The line by which the keeper says that all machines have begun.
pub(crate) const STARTED: &str = "started";
/// How the line begins by which it says that they have not.
pub(crate) const FAILED: &str = "failed: ";
const TICK: Duration = Duration::from_millis(100);
/// How long QEMU may take to open its sockets.
const QEMU_STARTS: Duration = Duration::from_secs(60);

/// Reads a plan, starts its machines and keeps them.
///
/// # Errors
/// What failed; it has been said on standard output, too, and nothing is left.
pub(crate) fn run() -> Result<()> {
    match start() {
        Ok((kept, released)) => {
            say(STARTED)?;
            keep(kept, &released);
            Ok(())
        }
        Err(error) => {
            say(&format!("{FAILED}{error:#}").replace('\n', "\r"))?;
            Err(error)
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("answering `create`")
}

fn start() -> Result<(Kept, Receiver<()>)> {
    let mut plan = String::new();
    io::stdin().lock().read_line(&mut plan).context("reading the plan")?;
    let plan: Plan = serde_json::from_str(&plan).context("understanding the plan")?;
    let released = watch_for_release();
    let mut kept = Kept::claim(Clusters::find()?.cluster(&plan.name))?;
    kept.write_plan(&plan)?;
    kept.start_machines(&plan)?;
    Ok((kept, released))
}

/// A message comes when `create` lets go; the other end is dropped when `create` is gone.
fn watch_for_release() -> Receiver<()> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if read.is_ok() && line.trim_end() == RELEASE {
            let _keeper_is_ending = sender.send(());
        }
    });
    receiver
}

fn keep(mut kept: Kept, released: &Receiver<()>) {
    let mut on_its_own = false;
    while interrupt::check().is_ok() {
        match released.try_recv() {
            Ok(()) => on_its_own = true,
            Err(TryRecvError::Disconnected) if !on_its_own => return,
            Err(_) => {}
        }
        kept.reap();
        if on_its_own && kept.machines.is_empty() {
            kept.folder_stays = true;
            return;
        }
        sleep(TICK);
    }
}

/// A cluster's folder and processes. Dropped, both are gone.
struct Kept {
    cluster: Cluster,
    machines: Vec<(NodeName, Running)>,
    dhcp: Option<Running>,
    folder_stays: bool,
    _lock: File,
}

impl Kept {
    /// Makes the cluster's folder this keeper's own, and empty.
    fn claim(cluster: Cluster) -> Result<Self> {
        let lock = lock_folder(&cluster)?;
        for entry in fs::read_dir(cluster.folder()).context("emptying the cluster's folder")? {
            let entry = entry.context("emptying the cluster's folder")?;
            if entry.file_name() != LOCK {
                remove(&entry.path()).with_context(|| format!("removing `{}`", entry.path().display()))?;
            }
        }
        Ok(Self { cluster, machines: Vec::new(), dhcp: None, folder_stays: false, _lock: lock })
    }

    fn write_plan(&self, plan: &Plan) -> Result<()> {
        let path = self.cluster.folder().join(PLAN);
        let text = serde_json::to_vec_pretty(plan).context("writing the plan")?;
        fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))
    }

    fn start_machines(&mut self, plan: &Plan) -> Result<()> {
        if plan.dhcp {
            self.dhcp = Some(plan.segment.dhcp_server().spawn()?);
        }
        for node in &plan.nodes {
            let folder = self.cluster.node_folder(node.name);
            fs::create_dir(&folder).with_context(|| format!("making `{}`", folder.display()))?;
            if let Some((_, variables)) = &plan.uefi {
                fs::copy(variables, folder.join(UEFI_VARIABLES))
                    .with_context(|| format!("copying `{}`", variables.display()))?;
            }
            let said = File::create(folder.join("qemu.log")).context("making QEMU's log")?;
            let running = plan.machine(node).tool(&folder).stdout(Stdio::null()).stderr(said).spawn()?;
            self.machines.push((node.name, running));
        }
        for node in &plan.nodes {
            self.wait_for_qemu(node.name)?;
        }
        Ok(())
    }

    /// Waits until the machine's QEMU answers, and so all its sockets are there.
    fn wait_for_qemu(&mut self, node: NodeName) -> Result<()> {
        let folder = self.cluster.node_folder(node);
        let since = Instant::now();
        while Qmp::connect(&folder).is_err() {
            interrupt::check()?;
            self.reap();
            if !self.machines.iter().any(|(name, _)| *name == node) {
                let said = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
                bail!("starting {node}: QEMU ended, saying:\n{}", said.trim_end());
            }
            if since.elapsed() > QEMU_STARTS {
                bail!("starting {node}: QEMU does not answer");
            }
            sleep(TICK);
        }
        Ok(())
    }

    /// Notes which machines have ended.
    fn reap(&mut self) {
        let cluster = &self.cluster;
        self.machines.retain_mut(|(node, running)| {
            let Ok(Some(status)) = running.child.try_wait() else { return true };
            let path = cluster.node_folder(*node).join(ENDED);
            if let Err(error) = fs::write(&path, describe(status)) {
                tracing::warn!(%error, path = %path.display(), "could not note that a machine has ended");
            }
            false
        });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let machines = self.machines.drain(..).map(|(_, running)| running);
        machines.chain(self.dhcp.take()).for_each(Running::kill);
        if !self.folder_stays
            && let Err(error) = fs::remove_dir_all(self.cluster.folder())
        {
            tracing::warn!(%error, folder = %self.cluster.folder().display(), "could not remove the cluster's folder");
        }
    }
}

/// Makes the folder where it is missing, and takes its lock.
fn lock_folder(cluster: &Cluster) -> Result<File> {
    let path = cluster.folder().join(LOCK);
    let opening = || format!("opening `{}`", path.display());
    // Who only looks holds the lock for a moment, and a keeper that ends removes the file under its own lock.
    for _ in 0..20 {
        // The sockets inside give root on the nodes to whoever can open them.
        DirBuilder::new().recursive(true).mode(0o700).create(cluster.folder()).with_context(opening)?;
        let mut lock = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => lock.with_context(opening)?,
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&lock, &path) => {
                lock.set_len(0)
                    .and_then(|()| write!(lock, "{}", std::process::id()))
                    .with_context(opening)?;
                return Ok(lock);
            }
            Ok(()) | Err(Errno::WOULDBLOCK) => sleep(Duration::from_millis(50)),
            Err(errno) => return Err(errno).with_context(opening),
        }
    }
    bail!("cluster `{name}` runs already; `brant-image cluster destroy {name}` ends it", name = cluster.name)
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
