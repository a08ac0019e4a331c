//! What `inspect` and `diff` can open: an ISO, the image of a stick, the files for booting over the network.

use super::{MOST_PACKED, Manifest, PLACE, is_menu, what_counts};
use crate::build::{hex, measure_file};
use crate::iso9660::Image;
use crate::site::Own;
use crate::{netboot, usb};
use anyhow::{Context as _, Result, bail, ensure};
use brant_types::site::{STICK, Site, Stick};
use fatfs::{FileSystem, FsOptions, ReadWriteSeek};
use gpt::GptConfig;
use gpt::disk::LogicalBlockSize;
use gpt::partition_types::BASIC;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where an ISO 9660 volume says that it is one.
const VOLUME: u64 = 16 * 2048;
/// The largest file of an image that is read whole.
const MOST: u64 = 4 << 30;
/// The same for the settings of a stick.
const MOST_SETTINGS: u64 = 1 << 20;
/// What is read on the way to a file, at most.
const FOR_TABLES: u64 = 256 << 20;
/// Where a GPT says how long an entry is (UEFI specification, table 5.5).
const GPT_ENTRY_LENGTH: u64 = 512 + 84;

/// One of them, opened.
pub(super) enum Artefact {
    /// An ISO.
    Iso(File),
    /// The image of a stick.
    Stick(Fat),
    /// A folder of files for the network, and the ISO in it.
    Tree(PathBuf, File),
}

impl Artefact {
    /// Opens it.
    ///
    /// # Errors
    /// It is none of them.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let iso = path.join(netboot::ISO);
            let file = File::open(&iso).with_context(|| format!("opening `{}`", iso.display()))?;
            return Ok(Self::Tree(path.to_owned(), file));
        }
        let file = File::open(path)?;
        let mut volume = [0; 6];
        if file.read_exact_at(&mut volume, VOLUME).is_ok() && volume == *b"\x01CD001" {
            return Ok(Self::Iso(file));
        }
        let Some(fat) = Fat::of(&file) else {
            bail!("it is neither an ISO nor the image of a stick");
        };
        Ok(Self::Stick(fat))
    }

    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Iso(_) => "ISO, for CDs and sticks",
            Self::Stick(_) => "image of a stick with settings",
            Self::Tree(..) => "files for booting over the network",
        }
    }

    /// The name of its volume, where it has one.
    pub(super) fn label(&self) -> Result<Option<String>> {
        match self {
            Self::Iso(file) | Self::Tree(_, file) => Ok(Some(Image::open(file)?.label().to_owned())),
            Self::Stick(_) => Ok(None),
        }
    }

    /// The one file that it is, or that has all the others in it.
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Iso(file) | Self::Tree(_, file) => file,
            Self::Stick(fat) => &fat.file,
        }
    }

    /// The manifest that it carries.
    pub(super) fn manifest(&self) -> Result<Manifest> {
        Manifest::unpack(&self.read(PLACE, MOST_PACKED)?)
    }

    /// What belongs to its site.
    pub(super) fn site(&self) -> Result<Site> {
        match self {
            Self::Iso(file) | Self::Tree(_, file) => Ok(Own::find(file)?.site().clone()),
            Self::Stick(fat) => {
                let mut site = Site::default();
                fat.settings()?.lay_over(&mut site);
                Ok(site)
            }
        }
    }

    /// Arguments that were added: to the menu of an ISO, to the settings of a stick.
    pub(super) fn arguments(&self) -> Result<Vec<String>> {
        match self {
            Self::Iso(file) | Self::Tree(_, file) => Ok(Own::find(file)?.arguments()),
            Self::Stick(fat) => Ok(fat.settings()?.kernel_arguments),
        }
    }

    fn read(&self, path: &str, most: u64) -> Result<Vec<u8>> {
        match self {
            Self::Iso(file) | Self::Tree(_, file) => {
                let image = Image::open(file)?;
                image.read(image.find(path)?, most)
            }
            Self::Stick(fat) => fat.read(path.trim_start_matches('/'), most),
        }
    }

    /// Names of files that are not what they were, and how many were looked at.
    pub(super) fn damaged(&self, manifest: &Manifest) -> Result<(Vec<String>, usize)> {
        let (mut damaged, mut count) = match self {
            Self::Tree(folder, _) => damaged_in(folder)?,
            Self::Iso(_) | Self::Stick(_) => (Vec::new(), 0),
        };
        for entry in &manifest.medium {
            crate::interrupt::check()?;
            // Its menus are others, and some files only an ISO needs.
            if matches!(self, Self::Stick(_)) && (usb::is_left_out(&entry.path) || is_menu(&entry.path)) {
                continue;
            }
            let found = self.read(&entry.path, MOST);
            count += 1;
            let counted = found.ok().and_then(|bytes| what_counts(&entry.path, bytes));
            if counted.is_none_or(|bytes| hex(&Sha256::digest(&bytes)) != entry.sha256) {
                damaged.push(entry.path.clone());
            }
        }
        Ok((damaged, count))
    }
}

/// Compares the files of a folder with the list of digests in it.
fn damaged_in(folder: &Path) -> Result<(Vec<String>, usize)> {
    let sums = folder.join(netboot::SUMS);
    let text = fs::read_to_string(&sums).with_context(|| format!("reading `{}`", sums.display()))?;
    let mut damaged = Vec::new();
    ensure!(!text.is_empty(), "the list of digests is empty");
    for line in text.lines() {
        crate::interrupt::check()?;
        let (sum, name) = line.split_once("  ").context("understanding the list of digests")?;
        ensure!(!name.contains('/') && name != "..", "`{name}` is not the name of a file of the folder");
        let mut hash = Sha256::new();
        let read = measure_file(&folder.join(name), &mut hash);
        if read.is_err() || hex(&hash.finalize()) != sum {
            damaged.push(name.to_owned());
        }
    }
    Ok((damaged, text.lines().count()))
}

/// The partition of a stick that a person can open.
pub(super) struct Fat {
    file: File,
    start: u64,
    length: u64,
}

impl Fat {
    fn settings(&self) -> Result<Stick> {
        let text = String::from_utf8(self.read(STICK, MOST_SETTINGS)?).context("reading the settings")?;
        Stick::parse(&text).with_context(|| format!("understanding `{STICK}`"))
    }

    fn of(file: &File) -> Option<Self> {
        // The crate takes other lengths of an entry for a fault of its own.
        let mut entry = [0; 4];
        file.read_exact_at(&mut entry, GPT_ENTRY_LENGTH).ok()?;
        if u32::from_le_bytes(entry) != 128 {
            return None;
        }
        let table = GptConfig::new().writable(false).logical_block_size(LogicalBlockSize::Lb512);
        let disk = table.open_from_device(file.try_clone().ok()?).ok()?;
        let ours = |partition: &&gpt::partition::Partition| {
            partition.part_type_guid == BASIC && partition.name == "Brant"
        };
        let partition = disk.partitions().values().find(ours)?;
        let (start, end) = (partition.first_lba * 512, (partition.last_lba + 1) * 512);
        Some(Self { file: file.try_clone().ok()?, start, length: end.checked_sub(start)? })
    }

    fn read(&self, path: &str, most: u64) -> Result<Vec<u8>> {
        let file = self.file.try_clone().context("opening it once more")?;
        let left = most.saturating_add(FOR_TABLES);
        let slice = Slice { file, start: self.start, length: self.length, at: 0, left };
        let system = open(slice).context("reading the partition of the stick")?;
        let mut bytes = Vec::new();
        let reading = || format!("reading `{path}` on the stick");
        let file = system.root_dir().open_file(path).with_context(reading)?;
        file.take(most + 1).read_to_end(&mut bytes).with_context(reading)?;
        ensure!(bytes.len() as u64 <= most, "`{path}` on the stick is larger than it can be");
        Ok(bytes)
    }
}

fn open<T: ReadWriteSeek>(slice: T) -> io::Result<FileSystem<T>> {
    FileSystem::new(slice, FsOptions::new().update_accessed_date(false))
}

/// A part of a file, which is only read.
struct Slice {
    file: File,
    start: u64,
    length: u64,
    at: u64,
    /// How much may still be read: the tables of a damaged one may lead round in circles.
    left: u64,
}

impl Read for Slice {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = into.len().min(left);
        let got = self.file.read_at(&mut into[..most], self.start + self.at)?;
        self.at += got as u64;
        self.left = self.left.checked_sub(got as u64).ok_or(io::ErrorKind::InvalidData)?;
        if crate::interrupt::received().is_some() {
            return Err(io::Error::other("told to stop"));
        }
        Ok(got)
    }
}

impl Write for Slice {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_artefact_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), vec![0; 1 << 20]).unwrap();
        let error = Artefact::open(file.path()).err().unwrap();
        assert!(error.to_string().contains("neither an ISO nor"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(Artefact::open(folder.path()).is_err());
    }

    #[test]
    fn a_changed_file_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        fs::write(folder.path().join("b"), "abd").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(folder.path().join(netboot::SUMS), format!("{sum}  a\n{sum}  b\n{sum}  c\n")).unwrap();
        assert_eq!(damaged_in(folder.path()).unwrap(), (vec!["b".to_owned(), "c".to_owned()], 3));
    }

    #[test]
    fn a_part_of_a_file_ends_where_it_ends() {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), "0123456789").unwrap();
        let mut slice = Slice { file: File::open(path.path()).unwrap(), start: 2, length: 5, at: 0, left: 9 };
        slice.seek(SeekFrom::End(-3)).unwrap();
        let mut text = String::new();
        slice.read_to_string(&mut text).unwrap();
        assert_eq!(text, "456");
        assert!(slice.seek(SeekFrom::Current(-9)).is_err());
        slice.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(slice.read(&mut [0; 5]).unwrap(), 5);
        slice.seek(SeekFrom::Start(0)).unwrap();
        assert!(slice.read(&mut [0; 5]).is_err(), "it has been read more often than there is a reason for");
    }
}
