//! What a stick keeps: a partition on it that takes the place of the memory under the root, so that what is written is
//! there at the next boot as well.
//!
//! ```text
//! partition found ─▶ grown to the stick's end ─▶ (encrypted: made or opened with a passphrase) ─▶ made or checked ─▶ mounted
//! ```
//! The programs for that are the root's own, which is not writable yet: they run in it as it is in the image.

use crate::passphrase;
use crate::report;
use anyhow::{Context, Result, bail, ensure};
use brant_sys::child::Tool;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is told `chroot`.
const BUSYBOX: &str = "/bin/busybox";
/// What the opened partition is called.
const MAPPED: &str = "brant-persistence";
/// A partition that ends nearer to the disk's end than this has grown already, sectors.
const AT_THE_END: u64 = 8192;
/// How often a passphrase may be wrong.
const TRIES: u32 = 3;
/// What encryption takes, as modules.
const MODULES: [&str; 2] = ["dm-crypt", "xts"];
/// What makes it faster, where the processor can do that.
const FASTER: [&str; 2] = ["aesni-intel", "algif_skcipher"];

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
        let partitions = fs::read_dir(disk).into_iter().flatten().flatten();
        partitions.into_iter().find_map(|entry| {
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
        self.grow(&programs).context("making it as large as the stick allows")?;
        let mut device = PathBuf::from(format!("/dev/{}", self.partition));
        if self.encrypted {
            device = open_encrypted(&device, &programs)?;
        }
        if !has(&device, 1080, &[0x53, 0xef])? {
            report::say("making a file system on the stick for what is to be kept");
            let options = ["-q", "-m", "1", "-L", "brant", "-E", "lazy_itable_init=1"];
            programs.tool("mkfs.ext4").args(options).arg(&device).run().context("making a file system")?;
        } else if let Err(error) = programs.tool("e2fsck").arg("-p").arg(&device).run() {
            // Status 1 says that it has mended something.
            report::complain(&format!("checking what is kept: {error}"));
        }
        // The kernel asks for the sums by itself, but of a program that is not here yet.
        programs.load("crc32c_generic")?;
        programs.load("ext4")?;
        mount(&device, target, "ext4", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME, c"")
            .context("mounting it (ext4)")?;
        fs::set_permissions(target, fs::Permissions::from_mode(0o700)).context("closing it to others")?;
        report::say("changes are kept on the stick");
        Ok(())
    }

    /// The partition of an image that was written to a larger stick ends where the image did.
    fn grow(&self, programs: &Programs) -> Result<()> {
        let number = |name: &str| -> Result<u64> {
            let path = format!("/sys/class/block/{name}");
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
            text.trim().parse().with_context(|| format!("reading `{path}`"))
        };
        let all = number(&format!("{}/size", self.disk))?;
        let end =
            number(&format!("{}/start", self.partition))? + number(&format!("{}/size", self.partition))?;
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

/// Opens it with a passphrase, or makes it with a new one; gives what is inside.
fn open_encrypted(device: &Path, programs: &Programs) -> Result<PathBuf> {
    for module in MODULES {
        programs.load(module)?;
    }
    for module in FASTER {
        let _not_for_this_processor = programs.load(module);
    }
    if !has(device, 0, b"LUKS\xba\xbe")? {
        let passphrase = new_passphrase()?;
        report::say("encrypting the partition for what is to be kept");
        let format = programs.tool("cryptsetup").args(["luksFormat", "--batch-mode", "--type", "luks2"]);
        with_input(format.args(["--key-file", "-"]).arg(device), &passphrase).context("encrypting it")?;
        open(device, &passphrase, programs)?;
        return Ok(Path::new("/dev/mapper").join(MAPPED));
    }
    for _ in 0..TRIES {
        let asked = "\nPassphrase of this stick (only Enter goes on without what it keeps): ";
        let passphrase = passphrase::ask(asked)?;
        ensure!(!passphrase.is_empty(), "nobody has given the passphrase");
        match open(device, &passphrase, programs) {
            Ok(()) => return Ok(Path::new("/dev/mapper").join(MAPPED)),
            Err(error) => report::complain(&format!("{error:#}")),
        }
    }
    bail!("the passphrase was wrong {TRIES} times")
}

fn new_passphrase() -> Result<String> {
    loop {
        let first = passphrase::ask(
            "\nThis stick will keep what is written on this PC, encrypted.\nA new passphrase for it (only Enter goes on without): ",
        )?;
        ensure!(!first.is_empty(), "nobody has given a passphrase");
        if passphrase::ask("\nThe same once more: ")? == first {
            return Ok(first);
        }
        report::complain("the two were not the same");
    }
}

fn open(device: &Path, passphrase: &str, programs: &Programs) -> Result<()> {
    let open = programs.tool("cryptsetup").args(["open", "--key-file", "-"]).arg(device).arg(MAPPED);
    with_input(open, passphrase).context("opening it with this passphrase")
}

/// A passphrase is on no command line and in no file.
fn with_input(tool: Tool, input: &str) -> Result<()> {
    let mut running = tool.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut pipe) = running.child.stdin.take() {
        pipe.write_all(input.as_bytes()).context("giving the passphrase")?;
    }
    Ok(running.wait()?)
}

/// Whether these bytes are there on the device.
fn has(device: &Path, at: u64, bytes: &[u8]) -> Result<bool> {
    let reading = || format!("reading `{}`", device.display());
    let mut file = File::open(device).with_context(reading)?;
    file.seek(SeekFrom::Start(at)).with_context(reading)?;
    let mut found = vec![0; bytes.len()];
    file.read_exact(&mut found).with_context(reading)?;
    Ok(found == bytes)
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
    fn what_is_on_a_device_is_told_by_its_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [vec![0; 1080], vec![0x53, 0xef], vec![0; 100]].concat()).unwrap();
        assert!(has(file.path(), 1080, &[0x53, 0xef]).unwrap());
        assert!(!has(file.path(), 0, b"LUKS\xba\xbe").unwrap());
        assert!(has(file.path(), 5000, b"x").is_err());
    }
}
