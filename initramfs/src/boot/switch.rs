//! Leaving the initramfs: its mounts move to the new root, its files are freed, and `init supervise` takes over, or
//! systemd, as the image says.

use super::root::NewRoot;
use super::root::carried::SQUASHFS;
use crate::OWN_PROGRAM;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::boot::SystemKind;
use rustix::mount::mount_move;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What systemd is called.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

const MOVED: [&str; 4] = ["dev", "proc", "sys", "run"];

/// Switches; on failure the initramfs may be half empty, but the rescue shell and its libraries are still there.
pub(super) fn into(root: NewRoot, system: SystemKind) -> Result<Infallible> {
    let program = match system {
        SystemKind::Brant => OWN_PROGRAM,
        SystemKind::Systemd => SYSTEMD,
    };
    let init = root.path().join(program.trim_start_matches('/'));
    fs::metadata(&init).with_context(|| format!("looking for `{program}` on the root"))?;
    for name in MOVED {
        let target = root.path().join(name);
        fs::create_dir_all(&target).with_context(|| format!("making `/{name}` on the root"))?;
        mount_move(format!("/{name}"), &target).with_context(|| format!("moving `/{name}` to the root"))?;
    }
    let device = fs::metadata("/").context("looking at the initramfs")?.dev();
    empty(Path::new("/"), device);
    std::env::set_current_dir(root.path()).context("entering the root")?;
    mount_move(".", "/").context("moving the root to `/`")?;
    rustix::process::chroot(".").context("changing the root")?;
    std::env::set_current_dir("/").context("entering the root")?;
    let tool = match system {
        SystemKind::Brant => Tool::new(program).arg("supervise"),
        SystemKind::Systemd => Tool::new(program),
    };
    Err(tool.exec()).with_context(|| format!("handing over to `{program}`"))
}

/// Frees the initramfs's memory. The squashfs stays, its blocks are the root; so do the shell and the new root's place.
/// A file that cannot be removed costs only its memory.
fn empty(folder: &Path, device: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.dev() != device || path == Path::new(SQUASHFS) || path == Path::new("/bin/busybox") {
            continue;
        }
        if meta.is_dir() {
            empty(&path, device);
            let _not_empty = fs::remove_dir(&path);
        } else {
            let _costs_memory_only = fs::remove_file(&path);
        }
    }
}
