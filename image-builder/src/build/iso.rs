//! The medium: one file that boots as CD or DVD and, written byte for byte, as a USB stick; by BIOS and by UEFI.

use super::carried::CarriedRoot;
use super::esp::{self, EspFile};
use super::initramfs::{Initramfs, kernel_version};
use super::menu;
use super::root::SealedRoot;
use crate::job::Job;
use crate::profile::{PartitionTable, Profile};
use anyhow::Context as _;
use brant_types::boot::{RootFacts, marker};
use std::fs;
use std::path::{Path, PathBuf};

/// BIOS boot loader files: in the packages, and on the medium.
const BIOS: [(&str, &str); 5] = [
    ("usr/lib/ISOLINUX/isolinux.bin", "isolinux/isolinux.bin"),
    ("usr/lib/syslinux/modules/bios/ldlinux.c32", "isolinux/ldlinux.c32"),
    ("usr/lib/syslinux/modules/bios/libutil.c32", "isolinux/libutil.c32"),
    ("usr/lib/syslinux/modules/bios/menu.c32", "isolinux/menu.c32"),
    // For `brant-image netboot`: it starts PCs over the network.
    ("usr/lib/PXELINUX/lpxelinux.0", "isolinux/lpxelinux.0"),
];

/// UEFI boot loader files, likewise: Debian's signed shim, and the GRUB that Debian signs for CDs.
const UEFI: [(&str, &str); 3] = [
    ("usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"),
    ("usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "EFI/BOOT/grubx64.efi"),
    ("usr/lib/shim/mmx64.efi.signed", "EFI/BOOT/mmx64.efi"),
];

/// Memtest86+, likewise.
const MEMORY_TEST: [(&str, &str); 2] =
    [("boot/memtest86+x64.bin", menu::MEMORY_TEST), ("boot/memtest86+x64.efi", menu::MEMORY_TEST_EFI)];

/// The GRUB that Debian signs for booting over the network; for `brant-image netboot`.
const NETWORK: [(&str, &str); 1] =
    [("usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "boot/grub/grubnetx64.efi")];

/// The type of an EFI system partition.
const EFI_PARTITION: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// What goes on the medium, laid out as it will lie there.
#[derive(Debug)]
pub(crate) struct Medium {
    tree: PathBuf,
    esp: PathBuf,
    /// The bytes of the EFI partition.
    pub(crate) esp_bytes: Vec<u8>,
}

impl Medium {
    /// Lays out the tree and makes the EFI partition.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn lay_out(
        (tree, esp): (PathBuf, PathBuf),
        profile: &Profile,
        root: &SealedRoot,
        (initramfs, carried): (Initramfs, CarriedRoot),
        menus: &Path,
    ) -> anyhow::Result<Self> {
        let image_id = &root.facts().image_id;
        let menu = |template: &str, one| {
            let path = menus.join(template);
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
            Ok::<_, anyhow::Error>(menu::render(&text, profile, image_id, one))
        };
        place(&tree, menu::KERNEL, &read(&kernel(root)?)?)?;
        let to = tree.join(menu::INITRAMFS.trim_start_matches('/'));
        fs::rename(&initramfs.file, &to).with_context(|| format!("placing `{}`", to.display()))?;
        if let RootFacts::Medium { file, .. } = &carried.facts {
            place(&tree, file, b"")?;
            let to = tree.join(file.trim_start_matches('/'));
            fs::rename(&carried.file, &to).with_context(|| format!("placing `{}`", to.display()))?;
        }

        if profile.boot.memory_test {
            for (from, to) in MEMORY_TEST {
                place(&tree, to, &read(&root.extra(from))?)?;
            }
        }
        for (from, to) in BIOS.into_iter().chain(NETWORK) {
            place(&tree, to, &read(&root.extra(from))?)?;
        }
        place(&tree, "isolinux/isolinux.cfg", menu("isolinux.cfg", menu::isolinux)?.as_bytes())?;

        let mut files: Vec<EspFile> = Vec::new();
        for (from, to) in UEFI {
            files.push((to.to_owned(), read(&root.extra(from))?));
        }
        files.push(("EFI/BOOT/grub.cfg".to_owned(), menu("esp.cfg", menu::grub)?.into_bytes()));
        // Also in the tree: whoever copies the files of the medium to a FAT stick has a bootable stick then.
        for (path, content) in &files {
            place(&tree, path, content)?;
        }
        place(&tree, "boot/grub/grub.cfg", menu("grub.cfg", menu::grub)?.as_bytes())?;
        // Debian's CD GRUB takes the volume with this file for the medium it came from.
        place(&tree, ".disk/info", format!("Brant {} {}\n", root.facts().version, profile.name).as_bytes())?;
        place(&tree, &marker(image_id), b"")?;

        let volume_id = u32::from_str_radix(&image_id[..8], 16).unwrap_or(0);
        let esp_bytes = esp::image(&files, volume_id)?;
        fs::write(&esp, &esp_bytes).with_context(|| format!("writing `{}`", esp.display()))?;
        Ok(Self { tree, esp, esp_bytes })
    }

    /// Its files as they will lie there.
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Writes the medium's file: with a valid partition table, unless the profile wants another, and an active dummy
    /// entry in the old one, without which old firmware takes it for one that does not boot.
    ///
    /// # Errors
    /// xorriso fails, mostly for a full disk.
    pub(crate) fn write(
        &self,
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
            // The other one in this place leaves the type of the EFI partition as it is.
            .arg(match profile.image.partition_table {
                PartitionTable::Valid => "-appended_part_as_gpt",
                PartitionTable::Overlapping => "-isohybrid-gpt-basdat",
            })
            .args(["-append_partition", "2", EFI_PARTITION])
            .arg(&self.esp)
            .args(["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"])
            .args(["--gpt_disk_guid", &root.facts().image_id])
            .arg("--set_all_file_dates")
            .arg(format!("={date}"))
            .arg("-o")
            .arg(out)
            .arg(&self.tree)
            .run()
            .context("writing the medium")
    }
}

/// The kernel's file.
///
/// # Errors
/// There is none, or there are several.
pub(super) fn kernel(root: &SealedRoot) -> anyhow::Result<PathBuf> {
    let version = kernel_version(&root.path("usr/lib/modules"))?;
    Ok(root.extra(&format!("boot/vmlinuz-{version}")))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading `{}`", path.display()))
}

fn place(tree: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let to = tree.join(name.trim_start_matches('/'));
    let placing = || format!("placing `{}` on the medium", to.display());
    fs::create_dir_all(to.parent().unwrap_or(tree)).with_context(placing)?;
    fs::write(&to, content).with_context(placing)
}
