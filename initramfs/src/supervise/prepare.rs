//! What the running node needs before anything is started on it.

use super::tolerate;
use anyhow::{Context, Result};
use brant_sys::cgroup::{CGROUP_ROOT, Cgroup};
use brant_sys::child::Tool;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;
use std::ffi::CStr;
use std::fs;
use std::path::Path;

/// Control groups of services, one for each.
pub(super) const SERVICES: &str = "/sys/fs/cgroup/brant/services";
/// Control groups of logins and exec sessions, one for each: what is in here may move to other nodes.
pub(super) const SESSIONS: &str = "/sys/fs/cgroup/brant/sessions";
/// Where the words of services are kept.
pub(super) const LOGS: &str = "/run/brant/log";

/// What Debian's `setupcon` has made for the image's keyboard.
const KEYBOARD: &str = "/etc/console-setup/cached_setup_keyboard.sh";

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// (file system, where, flags, data)
const MOUNTS: [(&str, &str, MountFlags, &CStr); 3] = [
    ("cgroup2", CGROUP_ROOT, QUIET, c"nsdelegate"),
    ("devpts", "/dev/pts", MountFlags::NOSUID.union(MountFlags::NOEXEC), c"gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "/dev/shm", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=1777"),
];

/// Mounts, control groups, folders, and Ctrl-Alt-Del as a signal to us.
pub(super) fn node() -> Result<()> {
    for (kind, target, flags, data) in MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("making `{target}`"))?;
        match mount(kind, target, kind, flags, data) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mounting {kind} on `{target}`")),
        }
    }
    for path in [CGROUP_ROOT, "/sys/fs/cgroup/brant", SERVICES, SESSIONS] {
        Cgroup::create(path)?.hand_down(&CONTROLLERS)?;
    }
    fs::create_dir_all(LOGS).with_context(|| format!("making `{LOGS}`"))?;
    rustix::system::reboot(RebootCommand::CadOff).context("taking Ctrl-Alt-Del")?;
    // From now on people sit at the consoles; only the kernel's errors may disturb them.
    tolerate("quietening the kernel", fs::write("/proc/sys/kernel/printk", "4"));
    links_into_proc();
    tolerate("setting the keyboard", set_keyboard());
    Ok(())
}

/// Loads the keyboard's layout where the image has one of its own; nobody waits for it.
fn set_keyboard() -> Result<()> {
    if Path::new(KEYBOARD).exists() {
        Tool::new("/bin/sh").arg(KEYBOARD).spawn().context("running the script")?;
    }
    Ok(())
}

/// The names that shells and scripts expect under `/dev`.
fn links_into_proc() {
    for (name, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _there_already = std::os::unix::fs::symlink(target, name);
    }
}
