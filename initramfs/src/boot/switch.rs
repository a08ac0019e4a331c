//! Leaving the initramfs: its mounts move to the new root, its files are freed, `init supervise` takes over.

use super::root::{NewRoot, SQUASHFS};
use crate::OWN_PROGRAM;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use rustix::mount::mount_move;
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MOVED: [&str; 4] = ["dev", "proc", "sys", "run"];

/// Switches; on failure the initramfs may be half empty, but the rescue shell and its libraries are still there.
pub(super) fn into(root: NewRoot) -> Result<Infallible> {
    let init = root.path().join(OWN_PROGRAM.trim_start_matches('/'));
    fs::metadata(&init).with_context(|| format!("looking for `{OWN_PROGRAM}` on the root"))?;
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
    let failed = Tool::new(OWN_PROGRAM).arg("supervise").exec();
    Err(failed).context("handing over to `init supervise`")
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
