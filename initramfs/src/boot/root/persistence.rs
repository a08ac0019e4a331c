//! What a stick keeps: a partition on it that takes the place of the memory under the root, so that what is written is
//! there at the next boot as well.
//!
//! ```text
//! partition found ─▶ grown to the stick's end ─▶ (encrypted: made or opened with a passphrase) ─▶ made or checked ─▶ mounted
//! ```
//! The programs for that are the root's own, which is not writable yet: they run in it as it is in the image.

mod encrypted;

use crate::report;
use anyhow::{Context, Result, ensure};
use brant_sys::child::{ChildError, Tool};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is told `chroot`.
const BUSYBOX: &str = "/bin/busybox";
/// A partition that ends nearer to the disk's end than this has grown already, sectors.
const AT_THE_END: u64 = 8192;
/// The least that is worth it, sectors.
const LEAST: u64 = 64 << 11;
/// What a node needs to start, bytes and files.
const ROOM: u64 = 8 << 20;
const FILES: u64 = 64;
/// How much of a partition is looked at before it is taken for new.
const BLANK: usize = 1 << 20;

/// The partition of a stick that keeps what is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::boot) struct Persistence {
    /// The stick, below `/dev`.
    disk: String,
    /// The partition, likewise.
    partition: String,
    /// Which one it is.
    number: u32,
    encrypted: bool,
}

impl Persistence {
    /// Looks for it on the disk that this file is on.
    pub(in crate::boot) fn beside(file: &File) -> Result<Option<Self>> {
        let device = file.metadata().context("looking at the stick")?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let place = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"))
            .context("finding the stick's disk")?;
        Ok(place.parent().and_then(Self::on))
    }

    /// Looks at all partitions of the disk with this folder in `/sys`.
    fn on(disk: &Path) -> Option<Self> {
        let partitions = fs::read_dir(disk).into_iter().flatten();
        partitions.flatten().find_map(|entry| {
            let about = fs::read_to_string(entry.path().join("uevent")).ok()?;
            let value = |key: &str| about.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            let encrypted = match value("PARTNAME")? {
                brant_types::boot::PERSISTENCE => false,
                brant_types::boot::PERSISTENCE_ENCRYPTED => true,
                _ => return None,
            };
            Some(Self {
                disk: disk.file_name()?.to_str()?.to_owned(),
                partition: value("DEVNAME")?.to_owned(),
                number: value("PARTN")?.parse().ok()?,
                encrypted,
            })
        })
    }

    /// Makes it ready and mounts it there; `lower` is the root without what is kept.
    pub(super) fn mount_at(&self, target: &str, lower: &str) -> Result<()> {
        let programs = Programs::of(lower)?;
        if let Err(error) = self.grow(&programs) {
            report::complain(&format!("making what keeps changes as large as the stick: {error:#}"));
        }
        let sectors = self.number(&format!("{}/size", self.partition))?;
        ensure!(sectors >= LEAST, "there are only {} MB for it on the stick", sectors / 2000);
        let partition = PathBuf::from(format!("/dev/{}", self.partition));
        let device = if self.encrypted {
            encrypted::open(&partition, &programs)?
        } else {
            let blank = is_blank(&partition)?;
            ready(&partition, blank, &programs)?;
            partition
        };
        // The kernel asks for the sums by itself, but of a program that is not here yet.
        programs.load("crc32c_generic")?;
        programs.load("ext4")?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
        mount(&device, target, "ext4", flags, c"errors=remount-ro").context("mounting it (ext4)")?;
        fs::set_permissions(target, fs::Permissions::from_mode(0o700)).context("closing it to others")?;
        let room = rustix::fs::statvfs(target).context("looking how full it is")?;
        ensure!(
            room.f_bfree * room.f_frsize >= ROOM && room.f_ffree >= FILES,
            "it is full; `brant.persistence=off` starts without it, to make room"
        );
        Ok(())
    }

    fn number(&self, name: &str) -> Result<u64> {
        let path = format!("/sys/class/block/{name}");
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
        text.trim().parse().with_context(|| format!("reading `{path}`"))
    }

    /// The partition of an image that was written to a larger stick ends where the image did.
    fn grow(&self, programs: &Programs) -> Result<()> {
        let all = self.number(&format!("{}/size", self.disk))?;
        let part = |what: &str| self.number(&format!("{}/{what}", self.partition));
        let end = part("start")? + part("size")?;
        if end + AT_THE_END >= all {
            return Ok(());
        }
        let disk = format!("/dev/{}", self.disk);
        let which = self.number.to_string();
        let resize = programs.tool("sfdisk").args(["--quiet", "--force", "--no-reread", "--no-tell-kernel"]);
        let resize = resize.args(["--partno", &which, &disk]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut running = resize.spawn()?;
        if let Some(mut input) = running.child.stdin.take() {
            input.write_all(b", +\n").context("telling sfdisk")?;
        }
        running.wait()?;
        programs.tool("partx").args(["--update", "--nr", &which, &disk]).run()?;
        Ok(())
    }
}

/// Makes a file system on what is new, and checks one that is there. What is neither is left alone: it may be somebody's
/// files with a damaged beginning.
fn ready(device: &Path, new: bool, programs: &Programs) -> Result<()> {
    if new {
        report::say("making a file system on the stick for what is to be kept");
        let options = ["-q", "-m", "1", "-L", "brant", "-e", "remount-ro", "-E", "lazy_itable_init=1"];
        let made = programs.tool("mkfs.ext4").args(options).arg(device).run();
        return made.context("making a file system");
    }
    match programs.tool("e2fsck").arg("-p").arg(device).run() {
        Err(ChildError::Failed { status: Some(1..=2), .. }) => {
            report::say("what is kept was not whole, and has been mended");
            Ok(())
        }
        other => other.context("checking what is kept; it is left as it is (`e2fsck` may mend it)"),
    }
}

/// Whether nothing was ever written there: the builder leaves the whole partition so.
fn is_blank(device: &Path) -> Result<bool> {
    let reading = || format!("reading `{}`", device.display());
    let mut found = vec![1; BLANK];
    File::open(device).and_then(|mut file| file.read_exact(&mut found)).with_context(reading)?;
    Ok(found.iter().all(|byte| *byte == 0))
}

/// The root's programs, run in the root as it is in the image; its mounts go when this is dropped.
struct Programs {
    lower: PathBuf,
    mounted: Vec<PathBuf>,
}

impl Programs {
    fn of(lower: &str) -> Result<Self> {
        let mut programs = Self { lower: PathBuf::from(lower), mounted: Vec::new() };
        for name in ["dev", "proc", "sys"] {
            let place = programs.lower.join(name);
            mount_bind(format!("/{name}"), &place)
                .with_context(|| format!("showing `/{name}` to the root"))?;
            programs.mounted.push(place);
        }
        // cryptsetup's locks.
        let run = programs.lower.join("run");
        mount("tmpfs", &run, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")
            .context("giving the root's programs a folder")?;
        programs.mounted.push(run);
        Ok(programs)
    }

    fn tool(&self, program: &str) -> Tool {
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        Tool::new(BUSYBOX).env("PATH", path).arg("chroot").arg(&self.lower).arg(program)
    }

    /// A module that is only on the root. One that is built in is there, too.
    fn load(&self, module: &str) -> Result<()> {
        self.tool("modprobe").arg(module).run().with_context(|| format!("loading `{module}`"))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for place in self.mounted.iter().rev() {
            if let Err(errno) = unmount(place, UnmountFlags::DETACH) {
                report::complain(&format!("unmounting `{}`: {errno}", place.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str) -> tempfile::TempDir {
        let disk = tempfile::tempdir().unwrap();
        for (partition, called) in [("sdx1", "Brant"), ("sdx2", name)] {
            let folder = disk.path().join(partition);
            fs::create_dir(&folder).unwrap();
            let number = &partition[3..];
            let about =
                format!("DEVNAME={partition}\nDEVTYPE=partition\nPARTN={number}\nPARTNAME={called}\n");
            fs::write(folder.join("uevent"), about).unwrap();
        }
        disk
    }

    #[test]
    fn the_partition_is_known_by_its_name() {
        let found = Persistence::on(disk(brant_types::boot::PERSISTENCE).path()).unwrap();
        assert_eq!((found.partition.as_str(), found.number, found.encrypted), ("sdx2", 2, false));
        let found = Persistence::on(disk(brant_types::boot::PERSISTENCE_ENCRYPTED).path()).unwrap();
        assert!(found.encrypted);
        assert_eq!(Persistence::on(disk("something else").path()), None);
    }

    #[test]
    fn only_what_nobody_has_written_to_is_blank() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), vec![0; BLANK + 7]).unwrap();
        assert!(is_blank(file.path()).unwrap());
        let mut bytes = vec![0; BLANK];
        bytes[BLANK - 1] = 1;
        fs::write(file.path(), bytes).unwrap();
        assert!(!is_blank(file.path()).unwrap());
        fs::write(file.path(), vec![0; BLANK - 1]).unwrap();
        assert!(is_blank(file.path()).is_err());
    }
}
