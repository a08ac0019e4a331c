//! A frozen process's image: made by CRIU in this node's memory, then sent.

use crate::{criu, wire};
use anyhow::{Context, Result};
use brant_migration::protocol::{CHUNK, SessionId, ToTarget};
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where images lie, in memory; only root may look.
const DUMPS: &str = "/run/brant/dumps";

/// An image; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Image {
    folder: PathBuf,
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "removing an image");
        }
    }
}

impl Image {
    /// Has CRIU write it; the process stays frozen in its group.
    pub(super) fn make(pid: i32, session: SessionId, group: &Path) -> Result<Self> {
        let folder = Path::new(DUMPS).join(session.to_string());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .context("making the image folder")?;
        let image = Self { folder };
        let outcome = criu::dump(pid, &image.folder, group).run().map_err(|error| {
            let said = criu::errors(&image.folder.join("dump.log"));
            anyhow::Error::from(error).context(format!("CRIU says: {said}"))
        });
        outcome.context("dumping the process")?;
        Ok(image)
    }

    /// Sends all of it; gives the number of bytes.
    pub(super) fn send(&self, link: &mut TcpStream) -> Result<u64> {
        let mut sent = 0;
        for entry in std::fs::read_dir(&self.folder).context("listing the image")? {
            let entry = entry.context("listing the image")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".img") {
                continue;
            }
            let mut file = File::open(entry.path()).with_context(|| format!("opening `{name}`"))?;
            let size = file.metadata().with_context(|| format!("measuring `{name}`"))?.len();
            wire::send(link, &ToTarget::File { name: name.clone(), size }).context("sending the image")?;
            let mut left = size;
            while left > 0 {
                let mut part = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
                file.read_exact(&mut part).with_context(|| format!("reading `{name}`"))?;
                left -= part.len() as u64;
                wire::send(link, &ToTarget::Data(part)).context("sending the image")?;
            }
            sent += size;
        }
        wire::send(link, &ToTarget::Restore).context("asking for the restore")?;
        Ok(sent)
    }
}
