//! The file systems that everything else reads: `/dev`, `/proc`, `/sys`, `/run`.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;
use std::fs;

/// (file system, where, flags, data)
const MOUNTS: [(&str, &str, MountFlags, &CStr); 4] = [
    ("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755"),
    ("proc", "/proc", QUIET, c""),
    ("sysfs", "/sys", QUIET, c""),
    ("tmpfs", "/run", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=0755"),
];
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts them, and lets our reports through the kernel's rate limit.
pub(super) fn mount_all() -> Result<()> {
    for (kind, target, flags, data) in MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("making `{target}`"))?;
        match mount(kind, target, kind, flags, data) {
            // The kernel may have mounted /dev already.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mounting {kind} on `{target}`")),
        }
    }
    // The kernel insists on the line end.
    fs::write("/proc/sys/kernel/printk_devkmsg", "on\n")
        .context("lifting the limit on reports in the kernel log")
}
