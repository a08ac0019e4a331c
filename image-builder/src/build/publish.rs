//! The way of an image to its final name: whole and on disk, or not at all.

use super::measure;
use super::release::hex;
use crate::failure::{Advice, Kind};
use crate::invoker;
use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file beside the final name; dropped before [`Draft::publish`], it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    output: PathBuf,
    file: File,
    published: bool,
}

/// An image under its final name.
#[derive(Debug)]
pub(crate) struct Published {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Draft {
    /// Makes sure that the output can be written, before any work is done.
    ///
    /// # Errors
    /// The folder cannot be written to, the name is taken by something that is no file, or another build uses it.
    pub(crate) fn begin(output: &Path) -> anyhow::Result<Self> {
        let refuse = |what: String, hint: &str| Advice::new(Kind::Output, what).hint(hint).error();
        let (Some(folder), Some(name)) = (output.parent(), output.file_name()) else {
            return Err(refuse(
                format!("`{}` is not the name of a file", output.display()),
                "name one with `--output`",
            ));
        };
        if output.is_dir() {
            return Err(refuse(
                format!("`{}` is a folder", output.display()),
                "name a file in it with `--output`",
            ));
        }
        let writing = || {
            Advice::new(Kind::Output, format!("writing to the output folder `{}`", folder.display()))
                .hint("choose another place with `--output FILE`")
        };
        fs::create_dir_all(folder).with_context(writing)?;
        let path = folder.join(format!(".{}.part", name.to_string_lossy()));
        // Private from the first byte on: the image carries the cluster's secret.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(writing)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(refuse(
                format!("another build is writing `{}`", output.display()),
                "wait for it to end",
            ));
        }
        file.set_len(0).with_context(writing)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).with_context(writing)?;
        Ok(Self { path, output: output.to_owned(), file, published: false })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the image its final name, once every byte is on disk.
    ///
    /// # Errors
    /// The disk did not take it; the final name then holds what it held before.
    pub(crate) fn publish(mut self) -> anyhow::Result<Published> {
        let publishing = || {
            Advice::new(Kind::Output, format!("publishing `{}`", self.output.display()))
                .hint("choose another place with `--output FILE`")
        };
        let about = fs::metadata(&self.path).with_context(publishing)?;
        let ours = self.file.metadata().with_context(publishing)?;
        anyhow::ensure!(about.ino() == ours.ino(), "the half-written image was replaced by somebody else");
        invoker::give(&self.path);
        self.file.sync_all().with_context(publishing)?;
        let mut hash = Sha256::new();
        measure::file(&self.path, &mut hash)?;
        fs::rename(&self.path, &self.output).with_context(publishing)?;
        self.published = true;
        let folder = self.output.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(publishing)?;
        Ok(Published { path: self.output.clone(), size: about.len(), sha256: hex(&hash.finalize()) })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _nothing_more_can_be_done = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_draft_that_is_given_up_leaves_the_old_image_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x.iso");
        fs::write(&output, "old").unwrap();
        let draft = Draft::begin(&output).unwrap();
        fs::write(draft.path(), "half").unwrap();
        drop(draft);
        assert_eq!(fs::read_to_string(&output).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_published_image_is_private_and_its_digest_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let draft = Draft::begin(&folder.path().join("new/x.iso")).unwrap();
        fs::write(draft.path(), "abc").unwrap();
        let published = draft.publish().unwrap();
        assert_eq!(published.size, 3);
        assert!(published.sha256.starts_with("ba7816bf8f01cfea"));
        assert_eq!(fs::metadata(&published.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn two_builds_cannot_write_one_image() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x.iso");
        let _first = Draft::begin(&output).unwrap();
        let error = Draft::begin(&output).unwrap_err();
        assert!(error.to_string().contains("another build"), "{error}");
    }

    #[test]
    fn a_folder_cannot_be_the_image() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Draft::begin(folder.path()).is_err());
    }
}
