//! The roots of other nodes, by NFS over the overlay.

use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::agent::NodeView;
use brant_types::node::NodeId;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where they are mounted; only root may look.
const HOMES: &str = "/run/brant/homes";
/// One mount at a time: two guests from one home may come together.
static MOUNTING: Mutex<()> = Mutex::new(());

/// The root of this node, mounted here if it was not.
///
/// The mount is hard: a write that cannot reach the home node waits, and is not lost. When the home node dies, its
/// capsules are killed first. Every open asks the server anew (NFS's close-to-open rule); between opens attributes are
/// believed for a few seconds. With less, each open of a library below the local `/usr` would cost a round trip, for
/// its path begins in this mount, and a restore opens dozens.
pub(super) fn root_of(home: &NodeView) -> Result<PathBuf> {
    if home.me {
        // A process that has come home sees its files as they are.
        return Ok(PathBuf::from("/"));
    }
    let _one_at_a_time = MOUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    let at = Path::new(HOMES).join(home.id.to_string());
    std::fs::create_dir_all(&at).with_context(|| format!("making `{}`", at.display()))?;
    if !is_mounted(&at) {
        let source = format!("[{}]:/", home.overlay);
        let options =
            "vers=4.2,proto=tcp6,hard,acregmin=1,acregmax=3,acdirmin=3,acdirmax=5,lookupcache=positive";
        // A home node whose server does not answer must not hold the offer up: the mount itself is given up.
        Tool::new("timeout")
            .args(["20", "mount.nfs4", &source, &at.to_string_lossy(), "-o", options])
            .run()
            .with_context(|| format!("mounting the root of {}", home.name))?;
    }
    Ok(at)
}

/// Lets go of the root of a home node that has died: its server will not come back, and with it no file.
pub(super) fn abandon(home: NodeId) {
    let at = Path::new(HOMES).join(home.to_string());
    if is_mounted(&at) {
        let unmount = Tool::new("umount").args(["-f", "-l"]).arg(&at).run();
        if let Err(error) = unmount.context("unmounting the root of a node that has died") {
            tracing::warn!("{error:#}");
        }
    }
}

fn is_mounted(at: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}
