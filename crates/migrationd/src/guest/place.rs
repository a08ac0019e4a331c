//! What a stay has on this node besides its capsule: folders in memory that only root may look into. All of them are
//! found by the stay's name, also by a daemon that starts anew.

use anyhow::{Context, Result};
use brant_migration::protocol::{Offer, SessionId};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const STAYS: &str = "/run/brant/stays";
const IMAGES: &str = "/run/brant/images";
const OFFER: &str = "offer";

/// Where the daemon finds its capsule.
pub(super) fn control(session: SessionId) -> PathBuf {
    Path::new(STAYS).join(session.to_string()).join("control")
}

/// Where its image comes to.
pub(super) fn images(session: SessionId) -> PathBuf {
    Path::new(IMAGES).join(session.to_string())
}

/// Where its image is made when it moves on.
pub(super) fn departure(session: SessionId) -> PathBuf {
    Path::new(IMAGES).join(format!("{session}-departure"))
}

/// Makes all of it.
pub(super) fn make(offer: &Offer) -> Result<()> {
    let session = offer.session;
    let own = Path::new(STAYS).join(session.to_string());
    for folder in [own.clone(), images(session), departure(session)] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("making `{}`", folder.display()))?;
    }
    let packed = postcard::to_allocvec(offer).context("writing the offer down")?;
    std::fs::write(own.join(OFFER), packed).context("keeping the offer")
}

/// The stays that an earlier daemon has left, with what was offered; none where that cannot be read.
pub(super) fn found() -> Vec<(SessionId, Option<Offer>)> {
    let entries = std::fs::read_dir(STAYS).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let session = SessionId(u64::from_str_radix(entry.file_name().to_str()?, 16).ok()?);
        let offer = std::fs::read(entry.path().join(OFFER)).ok();
        Some((session, offer.and_then(|packed| postcard::from_bytes(&packed).ok())))
    });
    named.collect()
}

/// Removes the image: it has done its work, and its memory is free for others.
pub(super) fn remove_image(session: SessionId) -> Result<()> {
    remove(&images(session))
}

/// Removes what was made for a departure. The folder itself is mounted in the capsule.
pub(super) fn clear_departure(session: SessionId) {
    for entry in std::fs::read_dir(departure(session)).into_iter().flatten().flatten() {
        let path = entry.path();
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!(%error, path = %path.display(), "removing a part of an image");
        }
    }
}

/// Removes all of it.
pub(super) fn clear(session: SessionId) -> Result<()> {
    remove(&images(session))?;
    remove(&departure(session))?;
    remove(&Path::new(STAYS).join(session.to_string()))
}

/// Removes images that belong to no stay.
pub(super) fn clear_strays() {
    let known: Vec<String> = found().iter().map(|(session, _)| session.to_string()).collect();
    for entry in std::fs::read_dir(IMAGES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !known.iter().any(|session| name.starts_with(session.as_str()))
            && let Err(error) = remove(&entry.path())
        {
            tracing::warn!("removing images that were left: {error:#}");
        }
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
