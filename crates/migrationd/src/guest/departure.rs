//! A guest moves on: its image goes straight to the next node.

use super::image::Images;
use crate::{link, wire};
use anyhow::{Context, Result};
use brant_migration::protocol::{CHUNK, Destination, ToTarget};
use brant_types::secret::ClusterSecret;
use std::fs::File;
use std::io::Read;

/// Sends everything that the capsule has put into the folder.
pub(super) fn send(images: &Images, to: &Destination, secret: &ClusterSecret) -> Result<()> {
    let mut link = link::connect(to.overlay, secret)?;
    wire::send(&mut link, &ToTarget::Image(to.session)).context("announcing an image")?;
    for entry in std::fs::read_dir(&images.folder).context("listing the image")? {
        let entry = entry.context("listing the image")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let mut file = File::open(entry.path()).with_context(|| format!("opening `{name}`"))?;
        let size = file.metadata().with_context(|| format!("measuring `{name}`"))?.len();
        wire::send(&mut link, &ToTarget::File { name: name.clone(), size }).context("sending the image")?;
        let mut left = size;
        while left > 0 {
            let mut part = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
            file.read_exact(&mut part).with_context(|| format!("reading `{name}`"))?;
            left -= part.len() as u64;
            wire::send(&mut link, &ToTarget::Data(part)).context("sending the image")?;
        }
    }
    wire::send(&mut link, &ToTarget::Restore).context("asking for the restore")
}
