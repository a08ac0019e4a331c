//! The export of this node's root to the other members, by the kernel's NFS server, on the overlay address only.
//!
//! One export, the root file system, without `crossmnt`: what is mounted below it (`/run` with keys and memory
//! images, `/dev`, `/proc`) stays out of reach.

use anyhow::{Context, Result};
use brant_sys::child::{Running, Tool};
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

const CONTROL: &str = "/proc/fs/nfsd";

/// How long to wait before a server that did not start, or its helper that ended, is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Serves for as long as the program runs. A node whose export fails is a member all the same; processes that need
/// its files stay at home, and say so.
pub(super) fn serve(overlay: Ipv6Addr, network: Ipv6Addr) {
    loop {
        match export_root(overlay, network) {
            Ok(()) => break,
            Err(error) => tracing::error!("{error:#}"),
        }
        std::thread::sleep(AGAIN);
    }
    loop {
        let ended =
            Tool::new("rpc.mountd").args(["-F", "-N", "2", "-N", "3"]).spawn().and_then(Running::wait);
        tracing::error!(
            ?ended,
            "rpc.mountd, which answers the NFS server's questions about exports, has ended"
        );
        std::thread::sleep(AGAIN);
    }
}

fn export_root(overlay: Ipv6Addr, network: Ipv6Addr) -> Result<()> {
    Tool::new("modprobe").args(["-a", "nfsd", "nfsv4"]).run().context("loading the NFS modules")?;
    if !Path::new(CONTROL).join("threads").exists() {
        Tool::new("mount")
            .args(["-t", "nfsd", "nfsd", CONTROL])
            .run()
            .context("mounting the NFS server's controls")?;
    }
    // A server that an earlier agent started is stopped first: its times cannot be set while it runs.
    let threads = Path::new(CONTROL).join("threads");
    if std::fs::read_to_string(&threads).context("asking for an earlier NFS server")?.trim() != "0" {
        std::fs::write(&threads, "0").context("stopping an earlier NFS server")?;
    }
    // `async`: the root is mostly in memory, so a server that dies loses it with or without a promise to the contrary. On a
    // stick that keeps what is written, the last seconds before a power cut may be missing.
    let line = format!("/ {network}/64(rw,async,no_root_squash,no_subtree_check,fsid=0,sec=sys)\n");
    std::fs::create_dir_all("/etc/exports.d").context("making `/etc/exports.d`")?;
    std::fs::write("/etc/exports.d/brant.exports", line).context("writing the export")?;
    // Nothing was promised before this boot, so there is nothing to wait for: else the first opens wait 90 s.
    for (file, value) in [("nfsv4leasetime", "20"), ("nfsv4gracetime", "10")] {
        std::fs::write(Path::new(CONTROL).join(file), value).with_context(|| format!("setting {file}"))?;
    }
    Tool::new("exportfs").arg("-ra").run().context("exporting the root")?;
    Tool::new("rpc.nfsd")
        .args(["-N", "3", "-N", "4.0", "-N", "4.1", "-V", "4.2", "-U", "-H", &overlay.to_string(), "8"])
        .run()
        .context("starting the NFS server")?;
    std::fs::write(Path::new(CONTROL).join("v4_end_grace"), "Y").context("ending the NFS grace time")?;
    Ok(())
}
