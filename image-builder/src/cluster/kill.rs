//! `cluster kill`: a node loses its power, as when somebody pulls the plug.

use crate::cluster::args::NodeArgs;
use crate::cluster::state::{Cluster, Clusters};
use crate::interrupt;
use anyhow::{Context, Result, bail};
use brant_qemu::qmp::{Qmp, QmpError};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long QEMU may take to end once it was told to.
const QEMU_ENDS: Duration = Duration::from_secs(30);

/// Cuts a node's power; one that is off already stays so.
pub(crate) fn run(args: &NodeArgs) -> Result<()> {
    let cluster = Clusters::find()?.cluster(&args.name);
    cut_power(&cluster, args)
}

fn cut_power(cluster: &Cluster, args: &NodeArgs) -> Result<()> {
    let node = args.node;
    let folder = cluster.existing_node(node)?;
    match Qmp::connect(&folder) {
        Ok(qmp) => qmp.cut_power().with_context(|| format!("cutting the power of {node}"))?,
        Err(QmpError::Connect(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("cutting the power of {node}")),
    }
    let since = Instant::now();
    while cluster.ended(node).is_none() && cluster.keeper()?.is_some() {
        interrupt::check()?;
        if since.elapsed() > QEMU_ENDS {
            bail!("cutting the power of {node}: QEMU was told to end and does not");
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
