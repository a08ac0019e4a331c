//! The medium: one file that boots as CD or DVD and, written byte for byte, as a USB stick.

use super::initramfs::{Initramfs, kernel_version};
use super::menu;
use super::profile::Profile;
use super::root::SealedRoot;
use crate::job::Job;
use anyhow::Context as _;
use std::fs;
use std::path::Path;

/// BIOS boot loader files: in the packages, and on the medium.
const BIOS: [(&str, &str); 4] = [
    ("usr/lib/ISOLINUX/isolinux.bin", "isolinux/isolinux.bin"),
    ("usr/lib/syslinux/modules/bios/ldlinux.c32", "isolinux/ldlinux.c32"),
    ("usr/lib/syslinux/modules/bios/libutil.c32", "isolinux/libutil.c32"),
    ("usr/lib/syslinux/modules/bios/menu.c32", "isolinux/menu.c32"),
];

/// Lays out the tree of the medium.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn lay_out(
    tree: &Path,
    profile: &Profile,
    root: &SealedRoot,
    initramfs: Initramfs,
    menus: &Path,
) -> anyhow::Result<()> {
    let version = kernel_version(&root.path("usr/lib/modules"))?;
    let place = |from: &Path, to: &str| {
        let to = tree.join(to);
        let placing = || format!("placing `{}` on the medium", from.display());
        fs::create_dir_all(to.parent().unwrap_or(tree)).with_context(placing)?;
        fs::copy(from, to).with_context(placing)
    };
    for (from, to) in BIOS {
        place(&root.extra(from), to)?;
    }
    place(&root.extra(&format!("boot/vmlinuz-{version}")), menu::KERNEL.trim_start_matches('/'))?;
    let to = tree.join(menu::INITRAMFS.trim_start_matches('/'));
    fs::rename(&initramfs.file, &to).with_context(|| format!("placing `{}` on the medium", to.display()))?;

    let entries = menu::entries(profile);
    let template = menus.join("isolinux.cfg");
    let text = fs::read_to_string(&template).with_context(|| format!("reading `{}`", template.display()))?;
    let text = menu::render(&text, profile, &entries, menu::isolinux);
    fs::write(tree.join("isolinux/isolinux.cfg"), text).context("writing the boot menu")
}

/// Writes the medium's file.
///
/// # Errors
/// xorriso fails, mostly for a full disk.
pub(crate) fn write(
    tree: &Path,
    profile: &Profile,
    root: &SealedRoot,
    date: u64,
    out: &Path,
) -> anyhow::Result<()> {
    Job::new("xorriso")
        .env("SOURCE_DATE_EPOCH", date.to_string())
        .env("TZ", "UTC")
        .args(["-no_rc", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-r", "-J", "-joliet-long"])
        .args(["-V", &profile.boot.volume, "-publisher", "BRANT", "-appid", "BRANT"])
        .args(["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"])
        .args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .arg("-isohybrid-mbr")
        .arg(root.extra("usr/lib/ISOLINUX/isohdpfx.bin"))
        .args(["--mbr-force-bootable", "-partition_offset", "16"])
        .arg("-o")
        .arg(out)
        .arg(tree)
        .run()
        .context("writing the medium")
}
