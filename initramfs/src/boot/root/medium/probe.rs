//! Looking for a file on one device, also inside ISO images that lie on it.

use super::devices::BlockDevice;
use super::filesystem::{FileSystem, HEAD, ISO, kind_of};
use crate::modules::Modules;
use crate::report;
use brant_sys::loop_device::LoopDevice;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What is below is for root only: everybody may read the files of a medium, and one of them holds the cluster's secret.
const MEDIA: &str = "/run/brant/media";
/// Where the medium is mounted for as long as the node runs.
const MEDIUM: &str = "/run/brant/media/medium";
/// Where an ISO image that lies on the medium is.
const IMAGE: &str = "/run/brant/media/image";
const QUIET: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NOSUID).union(MountFlags::NODEV).union(MountFlags::NOEXEC);
/// How far down ISO images are looked for, and among how many files.
const DEPTH: usize = 3;
const MOST_FILES: usize = 5000;
/// How many ISO images are looked into.
const MOST_IMAGES: usize = 64;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(in crate::boot) struct Wanted {
    /// The file's path on the medium.
    pub(in crate::boot) file: String,
    /// Its length in bytes.
    pub(in crate::boot) length: u64,
    /// The path of an ISO image that a boot loader has named.
    pub(in crate::boot) image: Option<String>,
    /// Devices whose copy was tried, and is damaged.
    pub(in crate::boot) damaged: Vec<String>,
}

/// Why a device is not the medium.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotHere {
    /// A drive without a disk in it.
    #[error("nothing is in it")]
    Empty,
    /// It could not be read; perhaps later.
    #[error("it cannot be read ({0})")]
    Unreadable(String),
    /// Not one of ours.
    #[error("no file system that is known here")]
    Unknown,
    /// One that cannot be mounted.
    #[error("{kind}, which cannot be mounted ({why})")]
    Unmountable {
        /// The file system.
        kind: &'static str,
        /// What the kernel said.
        why: String,
    },
    /// It was tried, and cannot be used.
    #[error("its copy of this image is damaged")]
    Damaged,
    /// Another medium.
    #[error("{0}, without this image's files")]
    Other(&'static str),
    /// A copy that has ended early.
    #[error("{kind}, with an incomplete copy of this image: {length} of {wanted} bytes")]
    Incomplete {
        /// The file system.
        kind: &'static str,
        /// What is there.
        length: u64,
        /// What there should be.
        wanted: u64,
    },
}

impl NotHere {
    /// Whether it is worth looking again though nothing tells of a change.
    pub(super) fn may_change(&self) -> bool {
        matches!(self, Self::Empty | Self::Unreadable(_) | Self::Unmountable { .. })
    }
}

/// Mounts the device and opens the file; the mounts stay when it is there, and go when it is not.
pub(super) fn probe(device: &BlockDevice, wanted: &Wanted, modules: &mut Modules) -> Result<File, NotHere> {
    let kind = kind_of(&head(device)?).ok_or(NotHere::Unknown)?;
    mount_at(&device.path(), MEDIUM, kind, modules)?;
    let found = open(Path::new(MEDIUM), wanted, kind).or_else(|not_here| match not_here {
        NotHere::Other(_) => inside_images(wanted, kind, modules),
        other => Err(other),
    });
    if found.is_err() {
        let _still_busy_is_harmless = unmount(MEDIUM, UnmountFlags::DETACH);
    }
    found
}

/// Unmounts the medium.
pub(in crate::boot) fn let_go() {
    for target in [IMAGE, MEDIUM] {
        let _not_mounted = unmount(target, UnmountFlags::empty());
    }
}

fn head(device: &BlockDevice) -> Result<Vec<u8>, NotHere> {
    let unreadable = |error: std::io::Error| match error.raw_os_error() {
        Some(code) if code == Errno::NOMEDIUM.raw_os_error() => NotHere::Empty,
        _ => NotHere::Unreadable(error.to_string()),
    };
    let mut head = Vec::new();
    let file = File::open(device.path()).map_err(unreadable)?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    Ok(head)
}

fn mount_at(device: &Path, target: &str, kind: FileSystem, modules: &mut Modules) -> Result<(), NotHere> {
    let failed = |why: String| NotHere::Unmountable { kind: kind.name, why };
    // Built in, perhaps; then mounting works all the same.
    let loaded = modules.load(kind.module);
    for table in kind.tables {
        if let Err(error) = modules.load(table) {
            report::complain(&format!("{error:#}"));
        }
    }
    let mut private = fs::DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(MEDIA).and_then(|()| fs::create_dir_all(target));
    made.map_err(|error| failed(error.to_string()))?;
    let options = CString::new(kind.options).unwrap_or_default();
    mount(device, target, kind.name, QUIET, options.as_c_str()).map_err(|errno| match loaded {
        Err(error) => failed(format!("{error:#}")),
        Ok(()) => failed(errno.to_string()),
    })
}

fn open(at: &Path, wanted: &Wanted, kind: FileSystem) -> Result<File, NotHere> {
    let file =
        File::open(at.join(wanted.file.trim_start_matches('/'))).map_err(|_| NotHere::Other(kind.name))?;
    let length = file.metadata().map_or(0, |about| about.len());
    if length == wanted.length {
        return Ok(file);
    }
    Err(NotHere::Incomplete { kind: kind.name, length, wanted: wanted.length })
}

/// A stick with many images, as Ventoy's, or a disk with one that a boot loader starts.
fn inside_images(wanted: &Wanted, kind: FileSystem, modules: &mut Modules) -> Result<File, NotHere> {
    let mut images = Vec::new();
    if let Some(named) = &wanted.image {
        images.push(Path::new(MEDIUM).join(named.trim_start_matches('/')));
    }
    gather(Path::new(MEDIUM), &mut images);
    let mut best = NotHere::Other(kind.name);
    for image in images.iter().take(MOST_IMAGES) {
        let long_enough =
            fs::metadata(image).is_ok_and(|about| about.is_file() && about.len() >= wanted.length);
        let device = long_enough.then(|| File::open(image).and_then(|file| LoopDevice::read_only(&file)));
        let Some(Ok(device)) = device else { continue };
        if mount_at(&device.path, IMAGE, ISO, modules).is_err() {
            continue;
        }
        match open(Path::new(IMAGE), wanted, ISO) {
            Ok(file) => return Ok(file),
            Err(other) => {
                let _still_busy_is_harmless = unmount(IMAGE, UnmountFlags::DETACH);
                if matches!(other, NotHere::Incomplete { .. }) {
                    best = other;
                }
            }
        }
    }
    Err(best)
}

/// ISO images by their names, those nearest to the top first.
fn gather(top: &Path, images: &mut Vec<PathBuf>) {
    let (mut level, mut looked_at) = (vec![top.to_owned()], 0);
    for _ in 0..DEPTH {
        let mut below = Vec::new();
        for entry in level.iter().flat_map(fs::read_dir).flatten().flatten() {
            looked_at += 1;
            if looked_at > MOST_FILES {
                return;
            }
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => below.push(path),
                Ok(kind) if kind.is_file() => {
                    let is_image =
                        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("iso"));
                    if is_image && !images.contains(&path) {
                        images.push(path);
                    }
                }
                _ => {}
            }
        }
        level = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_name_but_not_too_far_down() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b/c/d")).unwrap();
        for name in ["x.iso", "y.txt", "a/Z.ISO", "a/b/deep.iso", "a/b/c/deeper.iso"] {
            fs::write(at(name), "").unwrap();
        }
        let mut images = Vec::new();
        gather(folder.path(), &mut images);
        assert_eq!(images, [at("x.iso"), at("a/Z.ISO"), at("a/b/deep.iso")]);
    }

    #[test]
    fn a_copy_that_ended_early_is_told_from_another_medium() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("brant")).unwrap();
        let wanted = Wanted { file: "/brant/1.root".to_owned(), length: 4, ..Wanted::default() };
        let look = || open(folder.path(), &wanted, ISO).map(drop);
        assert_eq!(look(), Err(NotHere::Other("iso9660")));
        fs::write(folder.path().join("brant/1.root"), "12").unwrap();
        assert_eq!(look(), Err(NotHere::Incomplete { kind: "iso9660", length: 2, wanted: 4 }));
        fs::write(folder.path().join("brant/1.root"), "1234").unwrap();
        assert_eq!(look(), Ok(()));
    }
}
