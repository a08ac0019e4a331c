//! Files under `/dev/shm` that only the process and its descendants use: they move along.

use crate::image;
use anyhow::{Context, Result};
use brant_migration::protocol::NamedMemory;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const FOLDER: &str = "/dev/shm";

/// What the target has to know of them.
pub(super) fn describe(names: &[String]) -> Result<Vec<NamedMemory>> {
    let describe = |name: &String| {
        let meta = Path::new(FOLDER).join(name).metadata().with_context(|| format!("looking at `{name}`"))?;
        Ok(NamedMemory {
            name: name.clone(),
            mode: meta.mode() & 0o7777,
            user: meta.uid(),
            group: meta.gid(),
        })
    };
    names.iter().map(describe).collect()
}

/// Sends their contents, each as a file beside the image; the process is frozen. Gives the number of bytes.
pub(super) fn send(link: &mut TcpStream, names: &[String]) -> Result<u64> {
    let files = names.iter().enumerate();
    files
        .map(|(number, name)| {
            image::send_file_as(link, &Path::new(FOLDER).join(name), NamedMemory::file_name(number))
        })
        .sum()
}

/// Removes them here, once the process has left: nobody who stays uses them.
pub(super) fn remove(names: &[String]) {
    for name in names {
        if let Err(error) = std::fs::remove_file(Path::new(FOLDER).join(name)) {
            tracing::warn!(%error, name, "removing shared memory that has moved");
        }
    }
}
