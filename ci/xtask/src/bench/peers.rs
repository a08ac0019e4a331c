//! Other image builders, where they are installed, at the nearest equal image: the same packages and kernel from the same
//! mirror, by zstd.
//!
//! None of them makes quite what Brant does. What each makes is said beside its figures.

use super::build::Wanted;
use crate::root;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What one has done.
pub(super) struct Figures {
    pub(super) seconds: f64,
    pub(super) bytes: f64,
}

/// One of them.
pub(super) struct Peer {
    /// What is typed to run it.
    program: &'static str,
    /// What it makes.
    pub(super) makes: &'static str,
    build: fn(&Wanted, &Path) -> Result<Vec<Tool>>,
    /// How the image's name ends.
    image: &'static str,
}

pub(super) const ALL: [Peer; 2] = [
    Peer {
        program: "lb",
        makes: "live-build: hybrid ISO, BIOS and UEFI",
        build: live_build,
        image: ".hybrid.iso",
    },
    Peer {
        program: "mkosi",
        makes: "mkosi: a root's squashfs, no boot loader",
        build: mkosi,
        image: ".squashfs",
    },
];

impl Peer {
    /// Builds with it; nothing where it is not installed.
    pub(super) fn measure(&self, wanted: &Wanted) -> Result<Option<Figures>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| folder.join(self.program).exists()) {
            return Ok(None);
        }
        let folder = Folder::make(self.program)?;
        let log = root().join(format!("target/bench-{}.log", self.program));
        let file = File::create(&log).context("making a log")?;
        let since = Instant::now();
        for step in (self.build)(wanted, &folder.0)? {
            let copy = || file.try_clone().context("sharing the log");
            let running = step.cwd(&folder.0).stdout(copy()?).stderr(copy()?).spawn();
            running.and_then(brant_sys::child::Running::wait).with_context(|| {
                format!("building with `{}`; it says why in {}", self.program, log.display())
            })?;
        }
        let seconds = since.elapsed().as_secs_f64();
        let image = fs::read_dir(&folder.0).context("looking for the image")?.flatten();
        let mut image = image.filter(|entry| entry.file_name().to_string_lossy().ends_with(self.image));
        let image = image.next().with_context(|| format!("`{}` has made no image", self.program))?;
        let bytes = image.metadata().context("measuring the image")?.len() as f64;
        Ok(Some(Figures { seconds, bytes }))
    }
}

fn live_build(wanted: &Wanted, folder: &Path) -> Result<Vec<Tool>> {
    let lists = folder.join("config/package-lists");
    fs::create_dir_all(&lists).context("making a folder")?;
    // Its programs for a live system are what Brant's `init` is to a node.
    let packages = format!("{}\nlive-boot systemd-sysv\n", wanted.packages.join(" "));
    fs::write(lists.join("bench.list.chroot"), packages).context("writing the list of packages")?;
    let Wanted { mirror, suite, .. } = wanted;
    let config = Tool::new("lb").args(["config", "noauto", "--mode", "debian", "--architectures", "amd64"]);
    let config = config.args(["--distribution", suite, "--archive-areas", &wanted.components.join(" ")]);
    let config = ["bootstrap", "chroot", "binary"]
        .iter()
        .fold(config, |config, part| config.args([&format!("--mirror-{part}"), mirror]));
    let off = ["security", "updates", "source", "cache", "zsync", "apt-recommends", "apt-indices"]
        .into_iter()
        .chain(["firmware-chroot", "firmware-binary", "win32-loader"])
        .flat_map(|key| [format!("--{key}"), "false".to_owned()]);
    let none = ["debian-installer", "memtest", "checksums"];
    let none = none.into_iter().flat_map(|key| [format!("--{key}"), "none".to_owned()]);
    let config = config
        .args(off)
        .args(none)
        .args(["--debootstrap-options", "--variant=minbase", "--linux-packages", "linux-image"])
        .args(["--binary-image", "iso-hybrid", "--bootloaders", "syslinux,grub-efi"])
        .args(["--chroot-filesystem", "squashfs", "--chroot-squashfs-compression-type", "zstd"]);
    Ok(vec![config, Tool::new("lb").arg("build")])
}

fn mkosi(wanted: &Wanted, folder: &Path) -> Result<Vec<Tool>> {
    // A bootable image would need the host's kernel to mount FAT.
    let packages = wanted.packages.iter().chain([&wanted.kernel]).flat_map(|package| ["-p", package]);
    // systemd-nspawn wants a `/run` in memory, and leaves things there.
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/lock /run/systemd && exec \"$@\"";
    let isolated = Tool::new("unshare").args(["--mount", "sh", "-c", script, "sh", "mkosi", "--force"]);
    let build = isolated
        .args(["-d", "debian", "-r", &wanted.suite, "-m", &wanted.mirror])
        .args(["--repositories", &wanted.components.join(",")])
        .args([
            "-t",
            "plain_squashfs",
            "--compress-fs",
            "zstd",
            "--with-network",
            "--nspawn-keep-unit",
            "yes",
        ])
        .args([OsStr::new("-o"), folder.join("root.squashfs").as_os_str()])
        .args(packages)
        .arg("build");
    Ok(vec![build])
}

/// A folder for one build; it is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make(program: &str) -> Result<Self> {
        let folder = root().join(format!("target/bench-{program}"));
        let _left_by_an_earlier_run = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).context("making a folder")?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("removing `{}`: {error}", self.0.display());
        }
    }
}
