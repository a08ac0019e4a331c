//! CRIU's command lines that several programs use, and what it says when it fails.

use anyhow::{Context, Result};
use brant_migration::tty_info;
use brant_sys::child::Tool;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A dump of a frozen tree; it stays frozen in its group.
pub fn dump(pid: i32, folder: &Path, group: &Path) -> Tool {
    let criu = Tool::new("criu").args(["dump", "-t", &pid.to_string(), "-o", "dump.log", "-v2", "-D"]);
    frozen(criu.arg(folder), group)
}

/// What every dump of a frozen tree is told besides.
pub fn frozen(criu: Tool, group: &Path) -> Tool {
    // CRIU would look for the session of a `/dev/tty` that somebody has open, and that one stays.
    let criu = match std::fs::metadata("/dev/tty") {
        Ok(meta) => criu.args(["--external", &format!("tty[{:x}:{:x}]", meta.rdev(), meta.dev())]),
        Err(_) => criu,
    };
    criu.args(["--shell-job", "--manage-cgroups=ignore"])
        // A file that was deleted while NFS had it open is one with another name there; CRIU gives it one for the restore.
        .arg("--link-remap")
        // As much as the judge lets pass.
        .args(["--ghost-limit", &(brant_migration::obstacle::MOST_NAMELESS_KIB << 10).to_string()])
        // Not --leave-stopped: it sends SIGSTOP, and the shell would see that. The freezer holds it instead.
        .args(["--leave-running", "--freeze-cgroup"])
        .arg(group)
}

/// Makes an image's `/dev/tty`, if it has one, something that a restore can be given.
///
/// # Errors
/// What the file system said; an image that is not understood. It is as it was.
pub fn cut_terminals_off(folder: &Path) -> Result<()> {
    let path = folder.join("tty-info.img");
    let image = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        image => image.context("reading the image's terminals")?,
    };
    let changed = tty_info::cut_off(&image).context("looking for the image's controlling terminal")?;
    if changed == image {
        Ok(())
    } else {
        std::fs::write(&path, changed).context("changing the image's terminals")
    }
}

/// What CRIU has written into its log about a failure.
pub fn errors(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
    errors.iter().rev().take(6).rev().copied().collect::<Vec<_>>().join("; ")
}
