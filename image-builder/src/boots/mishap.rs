//! What is done to an image before it is started.

use super::keeping::LARGER;
use super::ways::Twist;
use crate::build::{EspShape, INITRAMFS, KERNEL, esp_image};
use crate::iso9660::Image;
use crate::netboot::root_on_medium;
use crate::site::{AREA, Own};
use crate::usb::{Persistence, Shape};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

/// The name that is written onto a stick, and the link of a VLAN.
pub(super) const EDITED_NAME: &str = "attic";
pub(super) const EDITED_LINK: &str = "eth0.5";
/// What stands there as an example, and what is written over it: as long.
const EDITS: [(&str, &str); 2] = [
    ("# name = \"attic\"", "name = \"attic\"  "),
    ("# kernel-arguments = [\"brant.lease=20\"]", "kernel-arguments = [\"vlan=eth0.5:eth0\"]"),
];
/// In front of everything else on a stick are its settings, bytes.
const HEAD: usize = 16 << 20;
/// What else there is room for on a stick with many images, bytes.
const ROOM_FOR_OTHERS: u64 = 16 << 20;
/// A stick that starts on every PC.
const FOR_ALL: Shape = Shape { bios: true, persistence: None };
/// What is said of a root that has changed.
pub(super) const DAMAGED: &str = "is damaged";

/// An image for one start; a copy goes when this is dropped.
pub(super) struct Prepared {
    image: PathBuf,
    second: Option<PathBuf>,
    copy: Option<PathBuf>,
}

impl Prepared {
    /// What is to be started.
    pub(super) fn image(&self) -> &Path {
        &self.image
    }

    /// What is on a second stick.
    pub(super) fn second(&self) -> Option<&Path> {
        self.second.as_deref()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            let _gone_with_the_folder = fs::remove_dir_all(copy);
        }
    }
}

/// Makes what this way wants to start.
pub(super) fn prepare(twist: Twist, iso: &Path, cache: &Path) -> Result<Prepared> {
    let arguments: &[&str] = match twist {
        Twist::None
        | Twist::SecureBoot
        | Twist::DhcpChanges
        | Twist::SpareNetwork
        | Twist::TwoMedia
        | Twist::Menu => {
            return Ok(Prepared { image: iso.to_owned(), second: second(twist, iso), copy: None });
        }
        Twist::Pulled => &["toram"],
        Twist::Bond => &["bond=bond0:eth0,eth1"],
        Twist::FixedAddress => &["ip=10.9.8.7::10.9.8.1:255.255.255.0:::none:10.9.8.2"],
        Twist::Verified | Twist::VerifiedStick => &["brant.verify"],
        Twist::FlippedBit
        | Twist::DamagedBeside
        | Twist::NoMedium
        | Twist::InAFile
        | Twist::EditedStick
        | Twist::Kept
        | Twist::KeptEncrypted => &[],
    };
    let folder = cache.join(format!("boots-{}", std::process::id()));
    let making = || format!("making a copy of the image in `{}`", folder.display());
    // Private: the image holds the cluster's secret.
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder).with_context(making)?;
    let mut prepared = Prepared { image: folder.clone(), second: None, copy: Some(folder.clone()) };
    if twist == Twist::NoMedium {
        take_kernel(iso, &folder).with_context(making)?;
        return Ok(prepared);
    }
    if twist == Twist::InAFile {
        take_kernel(iso, &folder).with_context(making)?;
        prepared.second = Some(folder.join("stick.img"));
        put_in_a_file(iso, &folder.join("stick.img")).with_context(making)?;
        return Ok(prepared);
    }
    if let Some(persistence) = persistence(twist) {
        prepared.image = folder.join("stick.img");
        let shape = Shape { persistence: Some(persistence), ..FOR_ALL };
        crate::usb::make(iso, &prepared.image, shape).with_context(making)?;
        // As on a stick that is larger than the image.
        let stick = File::options().write(true).open(&prepared.image).with_context(making)?;
        let length = stick.metadata().with_context(making)?.len();
        stick.set_len(length + (LARGER << 20)).with_context(making)?;
        return Ok(prepared);
    }
    if twist == Twist::EditedStick {
        prepared.image = folder.join("stick.img");
        crate::usb::make(iso, &prepared.image, FOR_ALL).with_context(making)?;
        edit(&prepared.image).context("editing the settings on the stick")?;
        return Ok(prepared);
    }
    let copy = folder.join("image.iso");
    fs::copy(iso, &copy).with_context(making)?;
    let file = File::options().read(true).write(true).open(&copy).with_context(making)?;
    if twist == Twist::DamagedBeside {
        prepared.second = Some(iso.to_owned());
    }
    if matches!(twist, Twist::FlippedBit | Twist::DamagedBeside) {
        flip_a_bit(&file).context("flipping a bit of the image")?;
    } else {
        let mut own = Own::find(&file)?;
        own.add_arguments(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())?;
        own.write(&file)?;
    }
    prepared.image = copy;
    if twist == Twist::VerifiedStick {
        let stick = folder.join("stick.img");
        crate::usb::make(&prepared.image, &stick, FOR_ALL).with_context(making)?;
        prepared.image = stick;
    }
    Ok(prepared)
}

/// Behind the first block of the root on a medium, which says what kind of file system it is, so that it is read at once;
/// in the middle of one in the initramfs, which is read whole.
fn flip_a_bit(file: &File) -> Result<()> {
    let image = Image::open(file)?;
    let at = match root_on_medium(&image)? {
        Some(root) => root.start + 40,
        None => {
            let initramfs = image.find(INITRAMFS)?;
            initramfs.start + initramfs.length - AREA as u64 - (8 << 20)
        }
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 4], at)?;
    Ok(())
}

/// As a person would: the example in `brant.toml`, without the `#` before it.
fn edit(image: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(image)?;
    let mut head = vec![0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    for (example, setting) in EDITS {
        let at = head.windows(example.len()).position(|window| window == example.as_bytes());
        let at = at.with_context(|| format!("finding the example `{example}`"))?;
        file.write_all_at(setting.as_bytes(), at as u64)?;
    }
    Ok(())
}

fn persistence(twist: Twist) -> Option<Persistence> {
    match twist {
        Twist::Kept => Some(Persistence::Plain),
        Twist::KeptEncrypted => Some(Persistence::Encrypted),
        _ => None,
    }
}

fn second(twist: Twist, iso: &Path) -> Option<PathBuf> {
    (twist == Twist::TwoMedia).then(|| iso.to_owned())
}

/// A stick as people make them who keep many images on one: without a partition table, FAT, the image in a folder.
fn put_in_a_file(iso: &Path, stick: &Path) -> Result<()> {
    let bytes = fs::read(iso)?;
    let shape = EspShape::for_content(bytes.len() as u64 + ROOM_FOR_OTHERS);
    let others = ("notes.iso".to_owned(), b"not an image".to_vec());
    let files = [others, ("images/linux/brant.iso".to_owned(), bytes)];
    fs::write(stick, esp_image(&files, shape, 1)?)?;
    Ok(())
}

fn take_kernel(iso: &Path, folder: &Path) -> Result<()> {
    let file = File::open(iso)?;
    let image = Image::open(&file)?;
    for (path, name) in [(KERNEL, "vmlinuz"), (INITRAMFS, "initrd.img")] {
        let bytes = image.read(image.find(path)?, 1 << 30)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
