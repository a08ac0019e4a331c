//! What is done to an image before it is started.

use super::ways::Twist;
use crate::build::{INITRAMFS, KERNEL};
use crate::iso9660::Image;
use crate::netboot::root_on_medium;
use crate::site::{AREA, Own};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

/// The name that is written onto a stick.
pub(super) const EDITED_NAME: &str = "attic";
/// In front of everything else on a stick are its settings, bytes.
const HEAD: usize = 16 << 20;
/// What is said of a root that has changed.
pub(super) const DAMAGED: &str = "is damaged";

/// An image for one start; a copy goes when this is dropped.
pub(super) struct Prepared {
    image: PathBuf,
    copy: Option<PathBuf>,
}

impl Prepared {
    /// What is to be started.
    pub(super) fn image(&self) -> &Path {
        &self.image
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
        Twist::None | Twist::SecureBoot | Twist::SpareNetwork => {
            return Ok(Prepared { image: iso.to_owned(), copy: None });
        }
        Twist::Pulled => &["toram"],
        Twist::Verified | Twist::VerifiedStick => &["brant.verify"],
        Twist::FlippedBit | Twist::NoMedium | Twist::EditedStick => &[],
    };
    let folder = cache.join(format!("boots-{}", std::process::id()));
    let making = || format!("making a copy of the image in `{}`", folder.display());
    // Private: the image holds the cluster's secret.
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder).with_context(making)?;
    let mut prepared = Prepared { image: folder.clone(), copy: Some(folder.clone()) };
    if twist == Twist::NoMedium {
        take_kernel(iso, &folder).with_context(making)?;
        return Ok(prepared);
    }
    if twist == Twist::EditedStick {
        prepared.image = folder.join("stick.img");
        crate::usb::make(iso, &prepared.image, true).with_context(making)?;
        edit(&prepared.image).context("editing the settings on the stick")?;
        return Ok(prepared);
    }
    let copy = folder.join("image.iso");
    fs::copy(iso, &copy).with_context(making)?;
    let file = File::options().read(true).write(true).open(&copy).with_context(making)?;
    if twist == Twist::FlippedBit {
        flip_a_bit(&file).context("flipping a bit of the image")?;
    } else {
        let mut own = Own::find(&file)?;
        own.add_arguments(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())?;
        own.write(&file)?;
    }
    prepared.image = copy;
    if twist == Twist::VerifiedStick {
        let stick = folder.join("stick.img");
        crate::usb::make(&prepared.image, &stick, true).with_context(making)?;
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
    let example = format!("# name = \"{EDITED_NAME}\"");
    let at = head.windows(example.len()).position(|window| window == example.as_bytes());
    let at = at.context("finding the example of a name")?;
    file.write_all_at(format!("name = \"{EDITED_NAME}\"  ").as_bytes(), at as u64)?;
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
