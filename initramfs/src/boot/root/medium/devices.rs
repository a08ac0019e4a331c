//! The block devices of this PC, those first on which a medium is likely.

use std::fs;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/block";

/// A disk, a drive or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockDevice {
    /// The kernel's name for it.
    pub(super) name: String,
    /// Its length in sectors; it changes when a medium is put in.
    pub(super) sectors: u64,
    likeliness: u8,
}

impl BlockDevice {
    /// Whether it is a drive for CDs and the like.
    pub(super) fn is_optical(&self) -> bool {
        self.name.starts_with("sr")
    }

    /// Its device file.
    pub(super) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// All of them but those made of others.
pub(super) fn all() -> Vec<BlockDevice> {
    let entries = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let mut found: Vec<BlockDevice> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !is_made_of_others(name))
        .map(|name| look(Path::new(CLASS), name))
        .collect();
    found.sort_by(|a, b| (b.likeliness, &a.name).cmp(&(a.likeliness, &b.name)));
    found
}

fn is_made_of_others(name: &str) -> bool {
    ["loop", "ram", "zram", "dm-", "md", "nbd"].iter().any(|kind| name.starts_with(kind))
}

fn look(class: &Path, name: String) -> BlockDevice {
    let folder = class.join(&name);
    let number =
        |path: PathBuf| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let sectors = number(folder.join("size")).unwrap_or(0);
    // A partition's folder lies in that of its disk.
    let removable = number(folder.join("removable")).or_else(|| number(folder.join("../removable")));
    let on_usb = fs::canonicalize(&folder).is_ok_and(|path| path.to_string_lossy().contains("/usb"));
    let likeliness = match name.as_str() {
        name if name.starts_with("sr") => 3,
        _ if removable == Some(1) || on_usb => 2,
        name if name.starts_with("fd") => 0,
        _ => 1,
    };
    BlockDevice { name, sectors, likeliness }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_and_sticks_come_before_disks() {
        let class = tempfile::tempdir().unwrap();
        for (name, removable) in [("sda", "0"), ("sdb", "1"), ("sr0", "1"), ("fd0", "1")] {
            fs::create_dir(class.path().join(name)).unwrap();
            fs::write(class.path().join(name).join("removable"), removable).unwrap();
            fs::write(class.path().join(name).join("size"), "8\n").unwrap();
        }
        let likeliness = |name: &str| look(class.path(), name.to_owned()).likeliness;
        assert!(likeliness("sr0") > likeliness("sdb"));
        assert!(likeliness("sdb") > likeliness("sda"));
        assert_eq!(look(class.path(), "sda".to_owned()).sectors, 8);
        assert!(is_made_of_others("loop3") && is_made_of_others("dm-0") && !is_made_of_others("nvme0n1p1"));
    }
}
