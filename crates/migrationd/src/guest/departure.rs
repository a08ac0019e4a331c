//! A guest moves on: its image goes straight to the next node.

use super::place;
use crate::node::Node;
use crate::{image, link};
use anyhow::{Context, Result};
use brant_migration::protocol::{ImagePart, Opening, SessionId};
use brant_types::node::NodeId;
use std::path::PathBuf;

/// Sends everything that the capsule has put into the folder.
pub(super) fn send(node: &Node, session: SessionId, next: SessionId, to: NodeId) -> Result<()> {
    let secret = node.boot.secret.as_ref().context("sending an image without a cluster secret")?;
    let to = node.by_id(to).context("finding the node that it goes to")?;
    let mut link = link::connect(to.overlay, secret, Opening::Image(next), link::OPENING)?;
    for entry in std::fs::read_dir(place::departure(session)).context("listing the image")? {
        let path: PathBuf = entry.context("listing the image")?.path();
        if path.is_file() && path.extension().is_none_or(|extension| extension != "log") {
            image::send_file(&mut link, &path)?;
        }
    }
    image::send(&mut link, &ImagePart::Complete)
}
