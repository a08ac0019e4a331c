//! The files of the tree.

use super::menus;
use crate::build::{INITRAMFS, KERNEL, hex};
use crate::failure::{Advice, Kind};
use crate::iso9660::{Extent, Image};
use crate::site::Own;
use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddrV4;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Files of the ISO, and what they are called in the tree.
const FILES: [(&str, &str); 9] = [
    (KERNEL, "vmlinuz"),
    (INITRAMFS, "initrd.img"),
    ("/EFI/BOOT/BOOTX64.EFI", "bootx64.efi"),
    // It looks for the folder `grub` where it came from.
    ("/boot/grub/grubnetx64.efi", "grubx64.efi"),
    ("/EFI/BOOT/mmx64.efi", "mmx64.efi"),
    ("/isolinux/lpxelinux.0", "lpxelinux.0"),
    ("/isolinux/ldlinux.c32", "ldlinux.c32"),
    ("/isolinux/libutil.c32", "libutil.c32"),
    ("/isolinux/menu.c32", "menu.c32"),
];
/// A root that does not travel in the initramfs; nodes that boot over the network fetch it by this name.
const ROOT: &str = "root.squashfs";
/// The ISO itself, for firmware that boots from a URL.
pub(crate) const ISO: &str = "brant.iso";
/// The menu of the ISO that those for the network are made from.
const MENU: &str = "/isolinux/isolinux.cfg";
const MOST_MENU: u64 = 1 << 20;
/// The list of their digests.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// A tree that is there.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Whether whoever boots from it can join the cluster.
    pub(crate) has_secret: bool,
}

/// Makes the tree; one that is there is replaced when this one is whole. Its menus fetch what is large from this web server,
/// if there is one.
///
/// # Errors
/// Not an ISO of ours, or no room; what was there is as it was.
pub(crate) fn make(iso: &Path, folder: &Path, with_secret: bool, web: Option<SocketAddrV4>) -> Result<Tree> {
    check_place(folder)?;
    let half = beside(folder, "part")?;
    remove(&half)?;
    let made = fill(iso, &half, with_secret, web).and_then(|tree| {
        replace(&half, folder)?;
        Ok(tree)
    });
    if made.is_err() {
        remove(&half)?;
    }
    made
}

/// Whatever is in that folder goes: it has to be a tree of ours, or nothing.
fn check_place(folder: &Path) -> Result<()> {
    let is_ours = || folder.join(SUMS).is_file() && folder.join(ISO).is_file();
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !folder.exists() || is_empty() || is_ours() {
        return Ok(());
    }
    let what =
        format!("there is something else in `{}` than files for booting over the network", folder.display());
    Err(Advice::new(Kind::Output, what).hint("name a new folder with `--output`").error())
}

fn fill(iso: &Path, folder: &Path, with_secret: bool, web: Option<SocketAddrV4>) -> Result<Tree> {
    // Until it is known that there is nothing to hide.
    let mode = 0o700;
    for part in ["", "pxelinux.cfg", "grub"] {
        let path = folder.join(part);
        DirBuilder::new().recursive(true).mode(mode).create(&path).with_context(|| making(&path))?;
    }
    let has_secret = copy_iso(iso, &folder.join(ISO), with_secret)?;
    // From the copy: what was taken out of it is in none of the others.
    let copy = File::open(folder.join(ISO)).context("opening the copy of the ISO")?;
    let image = Image::open(&copy)?;
    let mut sums = String::new();
    for (from, to) in FILES {
        let extent = image.find(from).with_context(|| {
            Advice::new(Kind::Input, format!("there is no `{from}` on the ISO"))
                .hint("build it anew: earlier versions of brant-image put less on it")
        })?;
        extract(&copy, extent, &folder.join(to), &mut sums)?;
    }
    if let Some(root) = root_on_medium(&image)? {
        extract(&copy, root, &folder.join(ROOT), &mut sums)?;
    }
    let isolinux =
        String::from_utf8(image.read(image.find(MENU)?, MOST_MENU)?).context("reading the boot menu")?;
    let (pxelinux, grub) = menus::render(&isolinux, web)?;
    for (name, text) in [
        ("pxelinux.cfg/default", pxelinux.as_str()),
        ("grub/grub.cfg", grub.as_str()),
        ("dnsmasq.conf", include_str!("dnsmasq.conf")),
        (SUMS, sums.as_str()),
    ] {
        let path = folder.join(name);
        create(&path)?.write_all(text.as_bytes()).with_context(|| making(&path))?;
    }
    open_up(folder, with_secret && has_secret)?;
    Ok(Tree { has_secret: with_secret && has_secret })
}

/// Says whether a secret was in it.
fn copy_iso(from: &Path, to: &Path, with_secret: bool) -> Result<bool> {
    let mut source = File::open(from).with_context(|| format!("opening `{}`", from.display()))?;
    let mut own = Own::find(&source)?;
    let has_secret = own.site().secret.is_some();
    let mut copy = create(to)?;
    std::io::copy(&mut source, &mut copy).with_context(|| making(to))?;
    if has_secret && !with_secret {
        own.take_secret_out();
        own.write(&copy)?;
    }
    Ok(has_secret)
}

fn extract(mut image: &File, extent: Extent, to: &Path, sums: &mut String) -> Result<()> {
    let mut out = create(to)?;
    image.seek(SeekFrom::Start(extent.start)).context("reading the ISO")?;
    let mut rest = image.take(extent.length);
    let (mut sum, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        crate::interrupt::check()?;
        let length = rest.read(&mut piece).context("reading the ISO")?;
        if length == 0 {
            break;
        }
        sum.update(&piece[..length]);
        out.write_all(&piece[..length]).with_context(|| making(to))?;
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let _infallible = writeln!(sums, "{}  {name}", hex(&sum.finalize()));
    Ok(())
}

/// The root of an image that stays on its medium; there is one at most.
pub(crate) fn root_on_medium(image: &Image<'_>) -> Result<Option<Extent>> {
    const FOLDER: &str = "/brant";
    let names = image.names(FOLDER)?;
    let is_root = |name: &&String| Path::new(name).extension().is_some_and(|extension| extension == "root");
    names.iter().find(is_root).map(|name| image.find(&format!("{FOLDER}/{name}"))).transpose()
}

fn create(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| making(path))
}

fn open_up(folder: &Path, has_secret: bool) -> Result<()> {
    let (for_folders, for_files) = if has_secret { (0o700, 0o600) } else { (0o755, 0o644) };
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| making(path))
    };
    set(folder, for_folders)?;
    for entry in fs::read_dir(folder).with_context(|| making(folder))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            open_up(&path, has_secret)?;
        } else {
            set(&path, for_files)?;
        }
        crate::invoker::give(&path);
    }
    crate::invoker::give(folder);
    Ok(())
}

/// The old one goes only when the new one has its name.
fn replace(half: &Path, folder: &Path) -> Result<()> {
    let old = beside(folder, "old")?;
    remove(&old)?;
    let was_there = folder.exists();
    if was_there {
        fs::rename(folder, &old).with_context(|| format!("putting `{}` aside", folder.display()))?;
    }
    if let Err(error) = fs::rename(half, folder) {
        if was_there {
            let _said_below = fs::rename(&old, folder);
        }
        return Err(error).with_context(|| making(folder));
    }
    remove(&old)
}

fn beside(folder: &Path, kind: &str) -> Result<PathBuf> {
    let name = folder.file_name().context("that is not the name of a folder")?.to_string_lossy();
    Ok(folder.with_file_name(format!(".{name}.{kind}")))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

fn making(path: &Path) -> String {
    format!("making `{}`", path.display())
}
