//! Which file system begins with these bytes. Pure.

/// How much of a device has to be looked at.
pub(super) const HEAD: usize = 34 * 1024;

/// A file system that a medium may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// The kernel's name for it.
    pub(super) name: &'static str,
    /// The module that knows it.
    pub(super) module: &'static str,
    /// The modules with the tables that it names its files by; the kernel could not load them by itself.
    pub(super) tables: &'static [&'static str],
    /// What keeps a mount from writing, where read-only is not enough.
    pub(super) options: &'static str,
}

const fn plain(name: &'static str) -> FileSystem {
    FileSystem { name, module: name, tables: &[], options: "" }
}

/// An ISO image, as on a CD.
pub(super) const ISO: FileSystem = FileSystem { name: "iso9660", module: "isofs", tables: &[], options: "" };

/// Looks at the signatures. An ISO image written to a stick begins with a partition table, so it is asked for first.
pub(super) fn kind_of(head: &[u8]) -> Option<FileSystem> {
    let has = |at: usize, signature: &[u8]| head.get(at..at + signature.len()) == Some(signature);
    if has(32_769, b"CD001") {
        return Some(ISO);
    }
    if has(32_769, b"BEA01") {
        return Some(plain("udf"));
    }
    if has(3, b"EXFAT   ") {
        return Some(plain("exfat"));
    }
    if has(3, b"NTFS    ") {
        return Some(plain("ntfs3"));
    }
    if has(510, &[0x55, 0xaa]) && (has(54, b"FAT1") || has(82, b"FAT32")) {
        // What Debian's kernel takes where nothing else is said.
        return Some(FileSystem { tables: &["nls_cp437", "nls_ascii"], ..plain("vfat") });
    }
    if has(1080, &[0x53, 0xef]) {
        // A journal is not replayed: the disks of this PC stay as they are.
        return Some(FileSystem { options: "noload", ..plain("ext4") });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn each_is_known_by_its_signature() {
        let name = |parts: &[(usize, &[u8])]| kind_of(&head(parts)).map(|kind| kind.name);
        assert_eq!(name(&[(32_769, b"CD001")]), Some("iso9660"));
        assert_eq!(name(&[(510, &[0x55, 0xaa]), (32_769, b"CD001")]), Some("iso9660"));
        assert_eq!(name(&[(510, &[0x55, 0xaa]), (82, b"FAT32   ")]), Some("vfat"));
        assert_eq!(name(&[(510, &[0x55, 0xaa]), (54, b"FAT16   ")]), Some("vfat"));
        assert_eq!(name(&[(510, &[0x55, 0xaa]), (3, b"EXFAT   ")]), Some("exfat"));
        assert_eq!(name(&[(1080, &[0x53, 0xef])]), Some("ext4"));
        assert_eq!(name(&[(510, &[0x55, 0xaa])]), None);
    }

    #[test]
    fn a_short_device_is_none() {
        assert_eq!(kind_of(b"x"), None);
    }
}
