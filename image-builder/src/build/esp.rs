//! The EFI system partition: a small FAT with Debian's signed boot loaders.

use super::fat_dots;
use anyhow::Context as _;
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use std::io::{Cursor, Write};

/// How large a partition is, and its clusters, so that it has more of them than the 4,084 that FAT12 may have and fewer
/// than the 65,525 from which FAT32 begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EspShape {
    /// The partition's length, bytes.
    pub size: usize,
    cluster: u32,
}

impl EspShape {
    /// Room for the boot loaders and some more.
    const BOOT_LOADERS: Self = Self { size: 8 << 20, cluster: 1024 };

    /// Room for so many bytes of files; up to 2 GiB.
    pub(crate) fn for_content(bytes: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let size = bytes.next_multiple_of(MIB).clamp(64 * MIB, 2047 * MIB);
        let cluster = [4096, 8192, 16384].into_iter().find(|cluster| size / u64::from(*cluster) < 60_000);
        Self { size: usize::try_from(size).unwrap_or(usize::MAX), cluster: cluster.unwrap_or(32768) }
    }
}

/// A file of the partition: its path, and what is in it.
pub(crate) type EspFile = (String, Vec<u8>);

/// All files carry the same date, so that equal inputs give equal bytes.
#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        Date { year: 2025, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// The partition's bytes, with these files in the order given.
///
/// # Errors
/// The files do not fit, or their folders cannot be repaired.
pub(crate) fn image(files: &[EspFile], volume_id: u32) -> anyhow::Result<Vec<u8>> {
    image_of(files, EspShape::BOOT_LOADERS, volume_id)
}

/// The same, of another shape.
///
/// # Errors
/// Likewise.
pub(crate) fn image_of(files: &[EspFile], shape: EspShape, volume_id: u32) -> anyhow::Result<Vec<u8>> {
    let mut disk = Cursor::new(vec![0; shape.size]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .bytes_per_cluster(shape.cluster)
        .volume_id(volume_id)
        .volume_label(*b"BRANT EFI  ");
    fatfs::format_volume(&mut disk, options).context("formatting the EFI partition")?;
    {
        let system = FileSystem::new(&mut disk, FsOptions::new().time_provider(&Fixed))
            .context("opening the EFI partition")?;
        for (path, content) in files {
            write(&system.root_dir(), path, content)
                .with_context(|| format!("writing `{path}` to the EFI partition"))?;
        }
        system.unmount().context("closing the EFI partition")?;
    }
    let mut image = disk.into_inner();
    fat_dots::repair(&mut image).context("repairing the folders of the EFI partition")?;
    Ok(image)
}

fn write(root: &fatfs::Dir<'_, &mut Cursor<Vec<u8>>>, path: &str, content: &[u8]) -> std::io::Result<()> {
    for (end, _) in path.match_indices('/') {
        root.create_dir(&path[..end])?;
    }
    let mut file = root.create_file(path)?;
    file.truncate()?;
    file.write_all(content)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;
    use std::io::Read;

    fn files() -> Vec<EspFile> {
        let deep = (0..100).map(|n| (format!("EFI/BOOT/a rather long name {n}.cfg"), vec![7; 100 * n]));
        let mut files = vec![("EFI/BOOT/BOOTX64.EFI".to_owned(), vec![1; 100_000])];
        files.extend(deep);
        files.push(("EFI/BOOT/x/y/z".to_owned(), b"z".to_vec()));
        files
    }

    #[test]
    fn the_checker_of_the_file_system_finds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("esp");
        std::fs::write(&path, image(&files(), 1).unwrap()).unwrap();
        Tool::new("fsck.fat").args(["-n", "-v"]).arg(&path).run().unwrap();
    }

    #[test]
    fn files_can_be_read_again_and_bytes_are_the_same_each_time() {
        let bytes = image(&files(), 1).unwrap();
        assert_eq!(bytes, image(&files(), 1).unwrap());
        let mut disk = Cursor::new(bytes);
        let system = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        for (path, content) in files() {
            let mut read = Vec::new();
            system.root_dir().open_file(&path).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, content, "{path}");
        }
    }

    #[test]
    fn folders_begin_with_themselves_and_their_parent() {
        let bytes = image(&files(), 1).unwrap();
        let at = |name: &[u8]| bytes.windows(11).position(|window| window == name).unwrap();
        assert_eq!(at(b"..         "), at(b".          ") + 32);
        assert_eq!(at(b".          ") % 512, 0);
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(image(&[("a".to_owned(), vec![0; EspShape::BOOT_LOADERS.size])], 1).is_err());
    }
}
