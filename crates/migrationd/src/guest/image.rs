//! Receiving a process's image into this node's memory.

use super::flat::FlatImage;
use crate::link::{SILENCE, WORD_EVERY};
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::pagemap::PAGE;
use brant_migration::protocol::{FromTarget, Offer, ToTarget};
use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where images lie, in memory; only root may look.
const IMAGES: &str = "/run/brant/images";
/// Room for CRIU's own files, and for what the process grows by meanwhile, bytes.
const SLACK: u64 = 32 << 20;

/// An image folder; it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) folder: PathBuf,
}

impl Drop for Images {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "removing an image");
        }
    }
}

impl Images {
    /// Makes an empty folder of this name.
    pub(super) fn make(name: &str) -> Result<Self> {
        let folder = Path::new(IMAGES).join(name);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .context("making the image folder")?;
        Ok(Self { folder })
    }

    /// Removes what is in it.
    pub(super) fn clear(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if let Err(error) = std::fs::remove_file(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "removing a part of an image");
            }
        }
    }
}

/// Removes what an earlier daemon left: no guest outlives the daemon that hosts it.
pub fn remove_leftovers() {
    match std::fs::remove_dir_all(IMAGES) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "removing images that were left");
        }
        _ => {}
    }
}

/// Takes rounds of memory, then files, until the home node says that all is sent.
///
/// `home` is the home node, where that is not the sender: it wants to hear something meanwhile.
pub(super) fn receive(
    link: &mut TcpStream,
    offer: &Offer,
    images: &Images,
    mut home: Option<&mut TcpStream>,
) -> Result<()> {
    let mut said = Instant::now();
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    // What was negotiated bounds what is taken.
    let mut budget = (offer.resident_kib << 10) * 2 + SLACK;
    let mut flat = FlatImage::new(&images.folder, budget / PAGE);
    loop {
        if let Some(home) = home.as_mut().filter(|_| said.elapsed() >= WORD_EVERY) {
            said = Instant::now();
            wire::send(home, &FromTarget::StillHere).context("speaking to the home node")?;
        }
        match wire::receive(link).context("receiving an image")? {
            Some(ToTarget::Pages { owner, runs }) => flat.take(owner, &runs, link)?,
            Some(ToTarget::RoundOver) => {
                flat.end_round()?;
                wire::send(link, &FromTarget::Merged).context("answering the home node")?;
            }
            Some(ToTarget::LastRoundOver { eager }) => flat.complete(&eager)?,
            Some(ToTarget::File { name, size }) => {
                budget = budget.checked_sub(size).context("the image is larger than was negotiated")?;
                receive_file(link, &images.folder, &name, size)?;
            }
            Some(ToTarget::Restore) => return Ok(()),
            Some(ToTarget::StillHere) => {}
            Some(ToTarget::Discard) | None => bail!("the home node called the move of `{}` off", offer.comm),
            Some(other) => bail!("expected a part of an image, got {other:?}"),
        }
    }
}

fn receive_file(link: &mut TcpStream, folder: &Path, name: &str, size: u64) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!("`{name}` is no name for an image file");
    }
    let mut file =
        File::create_new(folder.join(name)).with_context(|| format!("making the image file `{name}`"))?;
    let mut left = size;
    while left > 0 {
        let Some(ToTarget::Data(part)) = wire::receive(link).context("receiving an image file")? else {
            bail!("the image file `{name}` ended early");
        };
        left = left
            .checked_sub(part.len() as u64)
            .with_context(|| format!("the image file `{name}` is longer than was said"))?;
        file.write_all(&part).with_context(|| format!("writing the image file `{name}`"))?;
    }
    Ok(())
}
