//! One cpio archive ("newc") of an initramfs: parents before children, numbers counted up, dates fixed.

use cpio::newc;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;

/// The kernel looks for the next archive on boundaries of this many bytes.
const BOUNDARY: u64 = 4;

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Archive<W> {
    out: W,
    date: u32,
    next: u32,
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// An empty archive whose entries all have this date, in seconds since 1970.
    pub(crate) fn new(out: W, date: u64) -> Self {
        Self { out, date: u32::try_from(date).unwrap_or(u32::MAX), next: 1, folders: BTreeSet::new() }
    }

    /// Adds a folder, with those above it.
    ///
    /// # Errors
    /// Writing fails.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        if !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        self.parents(path)?;
        let entry = self.entry(path, DIRECTORY | mode).nlink(2);
        entry.write(&mut self.out, 0).finish()?;
        Ok(())
    }

    /// Adds a file of this size, with the folders above it.
    ///
    /// # Errors
    /// Reading or writing fails, or the content has another size.
    pub(crate) fn file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        mut content: impl Read,
    ) -> io::Result<()> {
        self.parents(path)?;
        let length =
            u32::try_from(size).map_err(|_| io::Error::other(format!("`{path}` has more than 4 GiB")))?;
        let mut writer = self.entry(path, REGULAR | mode).write(&mut self.out, length);
        let copied = io::copy(&mut content, &mut writer)?;
        writer.finish()?;
        // The writer would fill up with zeros, and a file that shrinks while it is read would go unnoticed.
        if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Adds a character device.
    ///
    /// # Errors
    /// Writing fails.
    pub(crate) fn device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> io::Result<()> {
        self.parents(path)?;
        let entry = self.entry(path, CHARACTER | mode).rdev_major(major).rdev_minor(minor);
        entry.write(&mut self.out, 0).finish()?;
        Ok(())
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Writing fails.
    pub(crate) fn finish(self) -> io::Result<W> {
        newc::trailer(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) => self.folder(parent, 0o755),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32) -> newc::Builder {
        let number = self.next;
        self.next += 1;
        newc::Builder::new(path).ino(number).mode(mode).nlink(1).mtime(self.date)
    }
}

/// Fills up with zeros to where the next archive may begin: an uncompressed archive that begins elsewhere makes
/// the kernel panic.
///
/// # Errors
/// Writing fails.
pub(crate) fn pad(out: &mut impl Write, length: u64) -> io::Result<u64> {
    let missing = (BOUNDARY - length % BOUNDARY) % BOUNDARY;
    out.write_all(&[0; BOUNDARY as usize][..missing as usize])?;
    Ok(length + missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bytes: &[u8]) -> Vec<(String, u32, u32)> {
        let mut rest = bytes;
        let mut names = Vec::new();
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return names;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode(), reader.entry().ino()));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_once() {
        let mut archive = Archive::new(Vec::new(), 7);
        archive.file("a/b/c", 0o600, 2, &b"hi"[..]).unwrap();
        archive.file("a/b/d", 0o755, 0, io::empty()).unwrap();
        archive.device("dev/console", 0o600, 5, 1).unwrap();
        let listed = names(&archive.finish().unwrap());
        let expected = [
            ("a", 0o040_755, 2),
            ("a/b", 0o040_755, 1),
            ("a/b/c", 0o100_600, 3),
            ("a/b/d", 0o100_755, 4),
            ("dev", 0o040_755, 5),
            ("dev/console", 0o020_600, 6),
        ];
        let listed: Vec<(&str, u32)> = listed.iter().map(|(name, mode, _)| (name.as_str(), *mode)).collect();
        assert_eq!(listed, expected.map(|(name, mode, _)| (name, mode)));
    }

    #[test]
    fn equal_inputs_give_equal_bytes_and_each_entry_a_number_of_its_own() {
        let build = || {
            let mut archive = Archive::new(Vec::new(), 7);
            archive.file("a/b", 0o600, 2, &b"hi"[..]).unwrap();
            archive.finish().unwrap()
        };
        assert_eq!(build(), build());
        let numbers: BTreeSet<u32> = names(&build()).into_iter().map(|(_, _, number)| number).collect();
        assert_eq!(numbers.len(), 2);
    }

    #[test]
    fn a_file_that_is_shorter_than_said_is_an_error() {
        let mut archive = Archive::new(Vec::new(), 7);
        assert!(archive.file("a", 0o600, 3, &b"hi"[..]).is_err());
    }

    #[test]
    fn padding_ends_on_the_boundary() {
        for length in 0..9_u64 {
            let mut out = vec![1; length as usize];
            assert_eq!(pad(&mut out, length).unwrap(), out.len() as u64);
            assert_eq!(out.len() % 4, 0);
            assert!(out.len() as u64 - length < 4);
        }
    }
}
