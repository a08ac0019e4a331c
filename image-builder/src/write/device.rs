//! What the kernel says of a block device.

use super::judge::DeviceFacts;
use crate::failure::{Advice, Kind};
use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/block";

/// Looks at a device file.
///
/// # Errors
/// It is not one, or the kernel does not tell.
pub(super) fn look(path: &Path) -> Result<(PathBuf, DeviceFacts)> {
    let looking = || format!("looking at `{}`", path.display());
    let real = fs::canonicalize(path).with_context(looking)?;
    let about = fs::metadata(&real).with_context(looking)?;
    if !about.file_type().is_block_device() {
        let what = format!("`{}` is not a disk, stick or card", path.display());
        let hint = "name a device, such as /dev/sdX; `lsblk` lists them";
        return Err(Advice::new(Kind::Input, what).hint(hint).error());
    }
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = Path::new(CLASS).join(&name);
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default().trim().to_owned();
    let place = fs::canonicalize(&folder).with_context(looking)?;
    let part_of = folder.join("partition").exists().then(|| {
        let disk = place.parent().and_then(Path::file_name).unwrap_or_default();
        disk.to_string_lossy().into_owned()
    });
    let model = [text("device/vendor"), text("device/model")].join(" ").trim().to_owned();
    let facts = DeviceFacts {
        sequence: text("diskseq"),
        bytes: text("size").parse::<u64>().unwrap_or(0) * 512,
        // A card in a reader that is built in does not count as removable for the kernel.
        removable: text("removable") == "1"
            || text("device/type") == "SD"
            || place.to_string_lossy().contains("/usb"),
        read_only: text("ro") == "1",
        used: uses(&name, &folder),
        model: if model.is_empty() { "of unknown make".to_owned() } else { model },
        part_of,
        name,
    };
    Ok((real, facts))
}

/// Mounts, swap and devices made of it or of its partitions.
fn uses(name: &str, folder: &Path) -> Vec<String> {
    let mut parts = vec![(name.to_owned(), folder.to_owned())];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().join("partition").exists() {
            parts.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let mut uses = Vec::new();
    for (name, folder) in parts {
        let number = fs::read_to_string(folder.join("dev")).unwrap_or_default();
        uses.extend(
            mounted_at(&mounts, number.trim()).map(|target| format!("/dev/{name} is mounted on {target}")),
        );
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&format!("/dev/{name}"))) {
            uses.push(format!("/dev/{name} is swap"));
        }
        for holder in fs::read_dir(folder.join("holders")).into_iter().flatten().flatten() {
            uses.push(format!("/dev/{name} is part of /dev/{}", holder.file_name().to_string_lossy()));
        }
    }
    uses
}

fn mounted_at<'text>(mountinfo: &'text str, number: &str) -> impl Iterator<Item = &'text str> {
    let fields = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(move |fields| fields.get(2) == Some(&number)).filter_map(|fields| fields.get(4).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_the_devices_number() {
        let table = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:17 /x /media/me rw - vfat /dev/sdb1 rw\n";
        assert_eq!(mounted_at(table, "8:17").collect::<Vec<_>>(), ["/media/me"]);
        assert_eq!(mounted_at(table, "8:2").count(), 0);
    }

    #[test]
    fn a_file_is_no_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = look(file.path()).unwrap_err();
        assert!(error.to_string().contains("is not a disk"), "{error}");
    }
}
