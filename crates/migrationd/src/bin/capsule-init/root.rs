//! The capsule's file systems: the home node's root by NFS, this node's `/usr`, and everything else of its own.

use anyhow::{Context, Result};
use brant_migration::protocol::NamedMemory;
use brant_migrationd::guest::capsule::{DEPARTURE, Setup};
use brant_sys::namespace::{bind, enter_root, loopback_up, make_device, make_mounts_private, mount};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Character devices that hold no state of this machine.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Inside the capsule: the process's image.
pub(crate) const IMAGES: &str = "/run/brant/images";

/// Builds the root and enters it.
pub(crate) fn enter(setup: &Setup) -> Result<()> {
    make_mounts_private().context("cutting the capsule's mounts off")?;
    rustix::system::sethostname(setup.host_name.as_bytes()).context("naming the capsule")?;
    loopback_up().context("bringing the capsule's loopback up")?;
    let staging = Path::new("/run/brant/capsule");
    std::fs::create_dir_all(staging).context("making the capsule's mount point")?;
    bind(Path::new(&setup.root), staging, false).context("binding the home node's root")?;
    if setup.local_usr {
        bind(Path::new("/usr"), &staging.join("usr"), true).context("binding this node's /usr")?;
    }
    mount("proc", &staging.join("proc"), "proc", "", false).context("mounting the capsule's /proc")?;
    mount("tmpfs", &staging.join("sys"), "tmpfs", "size=4k,mode=755", true).context("masking /sys")?;
    devices(&staging.join("dev"))?;
    run(&staging.join("run"), setup)?;
    enter_root(staging).context("entering the capsule's root")
}

fn devices(dev: &Path) -> Result<()> {
    mount("tmpfs", dev, "tmpfs", "size=64k,mode=755", false).context("mounting the capsule's /dev")?;
    for (name, major, minor) in DEVICES {
        make_device(&dev.join(name), major, minor)
            .with_context(|| format!("making the capsule's /dev/{name}"))?;
    }
    for folder in ["pts", "shm"] {
        std::fs::create_dir(dev.join(folder))
            .with_context(|| format!("making the capsule's /dev/{folder}"))?;
    }
    mount("devpts", &dev.join("pts"), "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", false)
        .context("mounting the capsule's /dev/pts")?;
    mount("tmpfs", &dev.join("shm"), "tmpfs", "mode=1777", false)
        .context("mounting the capsule's /dev/shm")?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(target, dev.join(name))
            .with_context(|| format!("making the capsule's /dev/{name}"))?;
    }
    Ok(())
}

/// Shared memory that has come along gets its name back.
pub(crate) fn named_memory(setup: &Setup) -> Result<()> {
    for (number, memory) in setup.named_memory.iter().enumerate() {
        let from = Path::new(IMAGES).join(NamedMemory::file_name(number));
        let to = Path::new("/dev/shm").join(&memory.name);
        let make = || -> std::io::Result<()> {
            std::fs::copy(&from, &to)?;
            std::os::unix::fs::chown(&to, Some(memory.user), Some(memory.group))?;
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(memory.mode))?;
            std::fs::remove_file(&from)
        };
        if from.exists() {
            make().with_context(|| format!("making the shared memory `{}`", memory.name))?;
        }
    }
    Ok(())
}

/// Has this node's kernel ask home what these pipes are. It is told of files when it opens them, but opens a pipe only
/// when it knows already that it is one (the server answers EIO else, Linux 6.12).
pub(crate) fn know_pipes(paths: &[String]) {
    for path in paths {
        if let Err(error) = std::fs::symlink_metadata(path) {
            eprintln!("capsule-init: looking at the pipe `{path}`: {error}");
        }
    }
}

/// Shared memory with a name goes along when the process moves on: it stands still, and nobody else uses it.
pub(crate) fn pack_named_memory(all: &[NamedMemory]) -> Result<()> {
    for (number, memory) in all.iter().enumerate() {
        let from = Path::new("/dev/shm").join(&memory.name);
        let to = Path::new(DEPARTURE).join(NamedMemory::file_name(number));
        match std::fs::copy(&from, &to) {
            // It has removed the name since; what it has mapped is in the image.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            outcome => {
                outcome.with_context(|| format!("packing the shared memory `{}`", memory.name))?;
            }
        }
    }
    Ok(())
}

fn run(run: &Path, setup: &Setup) -> Result<()> {
    // CRIU's cache of what the kernel can do must lie on a tmpfs, else each start tries everything again.
    let cache = std::fs::read("/run/criu.kdat").ok();
    mount("tmpfs", run, "tmpfs", "mode=755,size=16m", false).context("mounting the capsule's /run")?;
    let images = run.join("brant/images");
    std::fs::create_dir_all(&images).context("making the capsule's image folder")?;
    bind(Path::new(&setup.images), &images, false).context("binding the image")?;
    let departure = run.join(Path::new(DEPARTURE).strip_prefix("/run").unwrap_or(Path::new(DEPARTURE)));
    std::fs::create_dir_all(&departure).context("making the capsule's folder for departure")?;
    bind(Path::new(&setup.departure), &departure, false).context("binding the folder for departure")?;
    if let Some(cache) = cache {
        std::fs::write(run.join("criu.kdat"), cache).context("handing CRIU's cache on")?;
    }
    Ok(())
}
