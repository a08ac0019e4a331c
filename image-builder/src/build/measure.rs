//! The digest of a tree: every name, mode, owner, link, extended attribute and byte; no dates.

use super::release::hex;
use crate::interrupt;
use crate::manifest::FileEntry;
use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, lgetxattr, llistxattr, utimensat};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Feeds the tree below `root` to the hash, in the order of names; gives its files, each with its own digest.
///
/// # Errors
/// Something cannot be read, or a signal asked to stop.
pub(crate) fn tree(root: &Path, hash: &mut Sha256) -> anyhow::Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        interrupt::check()?;
        let path = root.join(&relative);
        let measuring = || format!("measuring `{}`", path.display());
        let about = path.symlink_metadata().with_context(measuring)?;
        let mut name = relative.as_os_str().as_bytes().to_vec();
        name.push(0);
        hash.update(&name);
        for number in [about.mode(), about.uid(), about.gid()] {
            hash.update(number.to_le_bytes());
        }
        hash.update(about.rdev().to_le_bytes());
        attributes(&path, hash).with_context(measuring)?;
        if about.is_symlink() {
            hash.update(fs::read_link(&path).with_context(measuring)?.as_os_str().as_bytes());
        } else if about.is_file() {
            let mut own = Sha256::new();
            file(&path, &mut own)?;
            let digest = own.finalize();
            hash.update(digest);
            let path = format!("/{}", relative.to_string_lossy());
            files.push(FileEntry { path, bytes: about.len(), sha256: hex(&digest) });
        } else if about.is_dir() {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path).with_context(measuring)? {
                names.push(relative.join(entry.with_context(measuring)?.file_name()));
            }
            names.sort_by(|a, b| b.cmp(a));
            pending.extend(names);
        }
    }
    Ok(files)
}

/// Gives everything below `root` that is newer than `date` (seconds since 1970) this date: what was written during the
/// build must not differ from build to build.
///
/// # Errors
/// A date cannot be set, or a signal asked to stop.
pub(crate) fn clamp_dates(root: &Path, date: u64) -> anyhow::Result<()> {
    let limit = i64::try_from(date).context("reading the date of the archive")?;
    let stamp = Timespec { tv_sec: limit, tv_nsec: 0 };
    let times = Timestamps { last_access: stamp, last_modification: stamp };
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        interrupt::check()?;
        let dating = || format!("dating `{}`", path.display());
        let about = path.symlink_metadata().with_context(dating)?;
        if about.is_dir() {
            for entry in fs::read_dir(&path).with_context(dating)? {
                pending.push(entry.with_context(dating)?.path());
            }
        }
        if about.mtime() >= limit {
            utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).with_context(dating)?;
        }
    }
    Ok(())
}

/// Feeds a file's bytes to the hash.
///
/// # Errors
/// The file cannot be read, or a signal asked to stop.
pub(crate) fn file(path: &Path, hash: &mut Sha256) -> anyhow::Result<()> {
    let reading = || format!("reading `{}`", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let mut chunk = vec![0; 1 << 18];
    loop {
        interrupt::check()?;
        let n = file.read(&mut chunk).with_context(reading)?;
        if n == 0 {
            return Ok(());
        }
        hash.update(&chunk[..n]);
    }
}

fn attributes(path: &Path, hash: &mut Sha256) -> Result<(), rustix::io::Errno> {
    let mut names = vec![0; 4096];
    let length = match llistxattr(path, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let mut names: Vec<&[u8]> =
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    for name in names {
        let mut value = vec![0; 65_536];
        let length = lgetxattr(path, name, &mut value)?;
        hash.update(name);
        hash.update(&value[..length]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn digest(root: &Path) -> Vec<u8> {
        let mut hash = Sha256::new();
        tree(root, &mut hash).unwrap();
        hash.finalize().to_vec()
    }

    #[test]
    fn only_what_is_newer_gets_the_date() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for path in [&old, &new] {
            fs::write(path, "").unwrap();
        }
        let early = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
        File::options().write(true).open(&old).unwrap().set_modified(early).unwrap();
        std::os::unix::fs::symlink("/no/such/file", folder.path().join("link")).unwrap();
        clamp_dates(folder.path(), 1000).unwrap();
        let date = |path: &Path| path.symlink_metadata().unwrap().mtime();
        assert_eq!((date(&old), date(&new), date(&folder.path().join("link"))), (5, 1000, 1000));
        assert_eq!(date(folder.path()), 1000);
    }

    #[test]
    fn content_modes_and_names_count_and_dates_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let first = digest(folder.path());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(digest(folder.path()), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(digest(folder.path()), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "two").unwrap();
        assert_ne!(digest(folder.path()), first);
        fs::write(&path, "one").unwrap();
        fs::rename(&path, folder.path().join("b")).unwrap();
        assert_ne!(digest(folder.path()), first);
    }
}
