//! The root: a squashfs, from the initramfs, from the medium or from a web server, under an overlay whose upper layer is in
//! memory, or on a stick that keeps it.

pub(super) mod carried;
pub(super) mod medium;
mod memory;
mod persistence;
mod verity;
mod web;

use crate::command_line::CommandLine;
use crate::devices::Uevents;
use crate::modules::Modules;
use crate::report;
use anyhow::{Context, Result, bail};
use brant_sys::loop_device::LoopDevice;
use brant_types::boot::{CHANGES, Changes, RootFacts, Verity, upper_folder};
use medium::{Found, Wanted};
pub(super) use persistence::Persistence;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the builder says of the root.
const FACTS: &str = "/brant/root.toml";
const NEW_ROOT: &str = "/newroot";
/// Where the root is as it is in the image.
pub(crate) const LOWER: &str = "/run/brant/ro";
/// How long another medium is looked for when one is damaged.
const ANOTHER: Duration = Duration::from_secs(5);
/// The NFS server can only export an overlay that has both; the kernel drops them silently where it cannot keep them.
const ASSERTED: [&str; 2] = ["index=on", "nfs_export=on"];

/// A root that is mounted and ready to be switched into.
#[derive(Debug)]
pub(super) struct NewRoot(Changes);

impl NewRoot {
    /// Where it is mounted.
    pub(super) fn path(&self) -> &'static Path {
        Path::new(NEW_ROOT)
    }

    /// What becomes of what is written to it.
    pub(super) fn changes(&self) -> Changes {
        self.0
    }
}

/// The root as it is in the image, mounted at [`LOWER`].
#[derive(Debug)]
pub(super) struct Lower(());

/// What the builder says of the root.
pub(super) fn facts() -> Result<RootFacts> {
    let facts = fs::read_to_string(FACTS).with_context(|| format!("reading `{FACTS}` in the initramfs"))?;
    toml::from_str(&facts).with_context(|| format!("reading `{FACTS}` in the initramfs"))
}

/// Makes what everybody on the node may enter, before anything that only root may makes it on its way.
pub(super) fn make_folders() -> Result<()> {
    folder("/run/brant", 0o755)?;
    folder(LOWER, 0o755)
}

/// Mounts the root that the initramfs carries, if it does.
pub(super) fn mount_carried(facts: &RootFacts) -> Result<Option<Lower>> {
    let RootFacts::Initramfs { size, checksum } = facts else { return Ok(None) };
    let file = carried::open(*size, checksum)?;
    mount_lower(&keep(as_device(&file)?)).map(Some)
}

/// Finds the root file system that the initramfs does not carry, and mounts it.
pub(super) fn mount_found(
    facts: &RootFacts,
    line: &CommandLine,
    keeps: bool,
    modules: &mut Modules,
    uevents: &mut Uevents,
) -> Result<Lower> {
    let RootFacts::Medium { file, verity } = facts else { bail!("the root is in the initramfs") };
    let length = verity.file_length();
    if let Some(server) = line.server {
        let given = crate::net::addresses::Given {
            addresses: line.addresses.clone(),
            vlans: line.vlans.clone(),
            bonds: Vec::new(),
        };
        return mount_checked(&web::fetch(server, given, length, modules)?, verity, modules);
    }
    let image = line.image_file.clone();
    let mut wanted = Wanted { file: file.clone(), length, image, ..Wanted::default() };
    let mut found = medium::find(&wanted, modules, uevents)?;
    let mut first: Option<anyhow::Error> = None;
    loop {
        let Found { file, device } = found;
        let mounted =
            to_memory(file, length, line, keeps).and_then(|file| mount_checked(&file, verity, modules));
        let error = match mounted {
            Ok(lower) => return Ok(lower),
            Err(error) => error,
        };
        // A good copy may be on another stick.
        report::complain(&format!("/dev/{device}: {error:#}; looking for another medium with this image"));
        medium::let_go();
        wanted.damaged.push(device);
        let error = first.take().unwrap_or(error);
        match medium::find_within(&wanted, modules, uevents, ANOTHER)? {
            Some(another) => found = another,
            None => return Err(error),
        }
        first = Some(error);
    }
}

/// Mounts the root that is in this file, checked while it is read.
fn mount_checked(file: &File, verity: &Verity, modules: &mut Modules) -> Result<Lower> {
    let device = as_device(file)?;
    match verity::open(&device.path, verity, modules).and_then(|checked| mount_lower(&checked)) {
        Ok(lower) => {
            keep(device);
            Ok(lower)
        }
        Err(error) => {
            verity::close();
            Err(error)
        }
    }
}

fn as_device(file: &File) -> Result<LoopDevice> {
    LoopDevice::read_only(file).context("setting up a loop device for the root file system")
}

fn mount_lower(device: &Path) -> Result<Lower> {
    mount(device, LOWER, "squashfs", MountFlags::RDONLY, None).map_err(|errno| {
        // What reads of a checked device fail with.
        let damaged = (errno == Errno::IO).then_some(": the root file system on the medium is damaged");
        let doing = format!("mounting the root file system (squashfs){}", damaged.unwrap_or_default());
        anyhow::Error::from(errno).context(doing)
    })?;
    Ok(Lower(()))
}

/// Puts the root under memory and overlay, and checks that the overlay can be exported.
///
/// What is written goes to the stick's persistence, if there is one and it can be used, else to memory.
pub(super) fn assemble(_lower: Lower, image_id: &str, persistence: Option<&Persistence>) -> Result<NewRoot> {
    folder(CHANGES, 0o700)?;
    folder(NEW_ROOT, 0o755)?;
    if let Some(persistence) = persistence {
        let kept = persistence.mount_at(CHANGES, LOWER).and_then(|()| lay_over(image_id));
        match kept {
            Ok(()) => {
                report::say("changes are kept on the stick");
                return Ok(NewRoot(Changes::OnTheStick));
            }
            Err(error) => {
                report::complain(&format!(
                    "what is written will be gone with the power; using what the stick keeps: {error:#}"
                ));
                for target in [NEW_ROOT, CHANGES] {
                    let _not_mounted = unmount(target, UnmountFlags::DETACH);
                }
            }
        }
    }
    mount("tmpfs", CHANGES, "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), c"mode=0700")
        .context("mounting the memory for changes to the root (tmpfs)")?;
    lay_over(image_id)?;
    Ok(NewRoot(if persistence.is_some() { Changes::NotOnTheStick } else { Changes::InMemory }))
}

/// Mounts the root, with what is written to it where the changes are.
fn lay_over(image_id: &str) -> Result<()> {
    // A root under what another image's has been changed to would be neither: each image has a folder of its own.
    let changes = format!("{CHANGES}/{image_id}");
    let upper = upper_folder(image_id);
    folder(&changes, 0o700)?;
    // The upper folder's mode becomes that of `/`.
    folder(&upper, 0o755)?;
    folder(&format!("{changes}/work"), 0o755)?;
    let options = format!("lowerdir={LOWER},upperdir={upper},workdir={changes}/work,index=on,nfs_export=on");
    let options = CString::new(options).context("mounting the root (overlay)")?;
    mount("overlay", NEW_ROOT, "overlay", MountFlags::empty(), options.as_c_str())
        .context("mounting the root (overlay)")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mount table")?;
    assert_options(&mounts, NEW_ROOT)?;
    // Where something is wrong, the kernel mounts it without saying so, and nothing can be written.
    let probe = Path::new(NEW_ROOT).join(".brant-probe");
    fs::write(&probe, "").and_then(|()| fs::remove_file(&probe)).context("writing to the root")
}

/// Copies the root, where that was asked for.
fn to_memory(file: File, length: u64, line: &CommandLine, keeps: bool) -> Result<File> {
    if line.to_memory && keeps {
        report::complain("not copied to memory: the stick keeps what is written, and has to stay in");
        return Ok(file);
    }
    if line.to_memory { memory::copy(file, length) } else { Ok(file) }
}

/// Lets the device live on; the mount that comes next holds it.
fn keep(device: LoopDevice) -> PathBuf {
    let path = device.path.clone();
    std::mem::forget(device);
    path
}

fn folder(path: &str, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("making `{path}`"))
        }
        _ => Ok(()),
    }
}

/// Fails unless the mount at `target` has kept the options that we rely on.
fn assert_options(mountinfo: &str, target: &str) -> Result<()> {
    let line = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some(target));
    let line = line.with_context(|| format!("finding `{target}` in the mount table"))?;
    let options: Vec<&str> = line.rsplit(' ').next().unwrap_or_default().split(',').collect();
    for wanted in ASSERTED {
        if !options.contains(&wanted) {
            bail!(
                "the kernel did not keep `{wanted}` for the root, so it could not be shared with the cluster"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "28 1 0:26 / /newroot rw,relatime - overlay overlay rw,lowerdir=/run/brant/ro,index=on,nfs_export=on\n";

    #[test]
    fn an_exportable_root_is_accepted() {
        assert_options(KEPT, "/newroot").unwrap();
    }

    #[test]
    fn a_dropped_option_is_named() {
        let dropped = KEPT.replace(",nfs_export=on", ",nfs_export=off");
        assert!(assert_options(&dropped, "/newroot").unwrap_err().to_string().contains("`nfs_export=on`"));
    }

    #[test]
    fn the_mount_that_hides_the_others_counts() {
        let both = format!("{}{KEPT}", KEPT.replace("index=on,", ""));
        assert_options(&both, "/newroot").unwrap();
        assert!(assert_options("", "/newroot").is_err());
    }
}
