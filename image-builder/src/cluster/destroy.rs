//! `cluster destroy`: nothing is left of a cluster, whatever state it is in.

use crate::cluster::args::DestroyArgs;
use crate::cluster::state::{Cluster, Clusters};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the keeper may take to take everything down before it is killed; its machines then die with it.
const KEEPER_ENDS: Duration = Duration::from_secs(20);

/// Destroys a cluster; one that is not there is destroyed already.
pub(crate) fn run(args: &DestroyArgs) -> Result<()> {
    let cluster = Clusters::find()?.cluster(&args.name);
    end_keeper(&cluster, Signal::TERM)?;
    end_keeper(&cluster, Signal::KILL)?;
    match fs::remove_dir_all(cluster.folder()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", cluster.folder().display()))
        }
        _ => Ok(()),
    }
}

fn end_keeper(cluster: &Cluster, signal: Signal) -> Result<()> {
    let Some(pid) = cluster.keeper()?.and_then(Pid::from_raw) else { return Ok(()) };
    let Ok(keeper) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    // The lock is still held after the process was opened: so it is the keeper, and no later process of that id.
    if cluster.keeper()?.and_then(Pid::from_raw) != Some(pid) {
        return Ok(());
    }
    let _gone_meanwhile = pidfd_send_signal(&keeper, signal);
    let since = Instant::now();
    while cluster.keeper()?.is_some() {
        if since.elapsed() > KEEPER_ENDS {
            if signal == Signal::KILL {
                bail!(
                    "ending cluster `{}`: its keeper, process {}, does not end",
                    cluster.name,
                    pid.as_raw_nonzero()
                );
            }
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
