//! Finding files in an ISO 9660 image (ECMA-119, with Rock Ridge names), to read them or to change them in place.

use anyhow::{Context as _, bail, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SECTOR: u64 = 2048;
const PRIMARY_VOLUME: u64 = 16;
/// A folder of a medium of ours is small; a larger one is damaged.
const MOST_FOLDER: u64 = 16 << 20;

/// Where something lies in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its first byte.
    pub start: u64,
    /// How many bytes it has.
    pub length: u64,
    is_folder: bool,
}

impl Extent {
    /// Whether it is a folder.
    pub(crate) fn is_folder(self) -> bool {
        self.is_folder
    }
}

/// An image that is open for reading.
#[derive(Debug)]
pub(crate) struct Image<'f> {
    file: &'f File,
    root: Extent,
    label: String,
}

impl<'f> Image<'f> {
    /// Looks at the volume descriptor.
    ///
    /// # Errors
    /// It is no ISO 9660 image, or cannot be read.
    pub(crate) fn open(file: &'f File) -> anyhow::Result<Self> {
        let mut volume = [0; SECTOR as usize];
        file.read_exact_at(&mut volume, PRIMARY_VOLUME * SECTOR).context("this is no ISO image")?;
        ensure!(volume[..6] == *b"\x01CD001", "this is no ISO image");
        let root = Record::parse(&volume[156..190]).context("the ISO image is damaged")?.extent;
        let label = String::from_utf8_lossy(&volume[40..72]).trim_end().to_owned();
        Ok(Self { file, root, label })
    }

    /// The name of the volume.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The file at this path.
    ///
    /// # Errors
    /// There is none, or the image is damaged.
    pub(crate) fn find(&self, path: &str) -> anyhow::Result<Extent> {
        let mut at = self.root;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let entries = self.entries(at)?;
            let found = entries.into_iter().find(|(known, _)| known == name);
            at = found.with_context(|| format!("the ISO image has no `{path}`"))?.1;
        }
        Ok(at)
    }

    /// The names of what is in this folder.
    ///
    /// # Errors
    /// There is no such folder, or the image is damaged.
    pub(crate) fn names(&self, folder: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.entries(self.find(folder)?)?.into_iter().map(|(name, _)| name).collect())
    }

    /// The bytes of a file that is not large.
    ///
    /// # Errors
    /// It is larger than `most`, or cannot be read.
    pub(crate) fn read(&self, extent: Extent, most: u64) -> anyhow::Result<Vec<u8>> {
        ensure!(extent.length <= most, "a file in the ISO image is larger than it can be");
        let mut bytes = vec![0; usize::try_from(extent.length)?];
        self.file.read_exact_at(&mut bytes, extent.start).context("reading the ISO image")?;
        Ok(bytes)
    }

    fn entries(&self, folder: Extent) -> anyhow::Result<Vec<(String, Extent)>> {
        ensure!(folder.is_folder, "a file in the ISO image is taken for a folder");
        let bytes = self.read(folder, MOST_FOLDER)?;
        let mut entries = Vec::new();
        // A record never crosses from one sector to the next; the rest of a sector is zeros.
        for sector in bytes.chunks(SECTOR as usize) {
            let mut rest = sector;
            while let Some(length) =
                rest.first().map(|length| usize::from(*length)).filter(|length| *length > 0)
            {
                let (record, more) = rest.split_at_checked(length).context("the ISO image is damaged")?;
                let record = Record::parse(record).context("the ISO image is damaged")?;
                if !record.is_itself_or_parent {
                    entries.push((record.name, record.extent));
                }
                rest = more;
            }
        }
        Ok(entries)
    }
}

struct Record {
    name: String,
    extent: Extent,
    is_itself_or_parent: bool,
}

impl Record {
    fn parse(record: &[u8]) -> anyhow::Result<Self> {
        let number = |at: usize| -> anyhow::Result<u64> {
            let bytes = record.get(at..at + 4).context("a record is too short")?;
            Ok(u64::from(u32::from_le_bytes(bytes.try_into()?)))
        };
        let flags = *record.get(25).context("a record is too short")?;
        let length = usize::from(*record.get(32).context("a record is too short")?);
        let identifier = record.get(33..33 + length).context("a record is too short")?;
        if flags & 0x80 != 0 {
            bail!("a file in more than one piece");
        }
        // The name is followed by a byte where its length is even, then by what Rock Ridge adds.
        let system_use = record.get(33 + length + usize::from(length % 2 == 0)..).unwrap_or_default();
        let plain = String::from_utf8_lossy(identifier);
        let plain = plain.split(';').next().unwrap_or_default().trim_end_matches('.').to_owned();
        Ok(Self {
            name: rock_ridge_name(system_use).unwrap_or(plain),
            extent: Extent { start: number(2)? * SECTOR, length: number(10)?, is_folder: flags & 2 != 0 },
            is_itself_or_parent: matches!(identifier, [0] | [1]),
        })
    }
}

/// The entry `NM` of a system use field (IEEE P1282).
fn rock_ridge_name(mut fields: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    let mut found = false;
    while let [a, b, length, _version, ..] = *fields {
        let (field, rest) =
            fields.split_at_checked(usize::from(length)).filter(|(field, _)| field.len() >= 4)?;
        if [a, b] == *b"NM" {
            name.extend(field.get(5..)?);
            found = true;
        }
        fields = rest;
    }
    found.then(|| String::from_utf8_lossy(&name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;

    #[test]
    fn an_image_of_xorriso_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("boot/a long folder name")).unwrap();
        std::fs::write(tree.join("boot/a long folder name/Mixed Case.img"), "content").unwrap();
        std::fs::write(tree.join("boot/empty"), "").unwrap();
        for n in 0..200 {
            std::fs::write(tree.join(format!("boot/file number {n}")), n.to_string()).unwrap();
        }
        let path = folder.path().join("x.iso");
        Tool::new("xorriso")
            .args(["-no_rc", "-as", "mkisofs", "-quiet", "-r", "-V", "LABEL", "-o"])
            .arg(&path)
            .arg(&tree)
            .run()
            .unwrap();
        let file = File::open(&path).unwrap();
        let image = Image::open(&file).unwrap();
        assert_eq!(image.label(), "LABEL");
        let found = image.find("/boot/a long folder name/Mixed Case.img").unwrap();
        assert_eq!(image.read(found, 100).unwrap(), b"content");
        assert_eq!(image.read(image.find("/boot/file number 199").unwrap(), 100).unwrap(), b"199");
        assert!(image.find("/boot/nothing").is_err());
        assert!(image.read(found, 3).is_err());
    }

    #[test]
    fn another_file_is_no_image() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert!(Image::open(&file).is_err());
    }
}
