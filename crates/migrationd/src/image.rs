//! Sending the parts of an image that are not memory.

use crate::wire;
use anyhow::{Context, Result};
use brant_migration::protocol::{CHUNK, ImagePart};
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

/// Sends one part.
pub(crate) fn send(link: &mut TcpStream, part: &ImagePart) -> Result<()> {
    wire::send(link, part).context("sending the image")
}

/// Sends a file under its own name; gives its length in bytes.
pub(crate) fn send_file(link: &mut TcpStream, path: &Path) -> Result<u64> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    send_file_as(link, path, name)
}

/// Sends a file; gives its length in bytes.
pub(crate) fn send_file_as(link: &mut TcpStream, path: &Path, name: String) -> Result<u64> {
    let mut file = File::open(path).with_context(|| format!("opening `{}`", path.display()))?;
    let size = file.metadata().with_context(|| format!("measuring `{}`", path.display()))?.len();
    send(link, &ImagePart::File { name, size })?;
    let mut left = size;
    while left > 0 {
        let mut part = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        file.read_exact(&mut part).with_context(|| format!("reading `{}`", path.display()))?;
        left -= part.len() as u64;
        send(link, &ImagePart::Data(part))?;
    }
    Ok(size)
}
