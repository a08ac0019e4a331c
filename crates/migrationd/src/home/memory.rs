//! Files under `/dev/shm` that only the process and its descendants use: they move along.

use crate::wire;
use anyhow::{Context, Result};
use brant_migration::protocol::{CHUNK, NamedMemory, ToTarget};
use std::fs::File;
use std::io::Read;
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

/// Sends their contents, each as a file beside the image; the process is frozen.
pub(super) fn send(link: &mut TcpStream, names: &[String]) -> Result<()> {
    for (number, name) in names.iter().enumerate() {
        let path = Path::new(FOLDER).join(name);
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut content))
            .with_context(|| format!("reading `{}`", path.display()))?;
        let file = ToTarget::File { name: NamedMemory::file_name(number), size: content.len() as u64 };
        wire::send(link, &file).context("sending shared memory")?;
        for part in content.chunks(CHUNK) {
            wire::send(link, &ToTarget::Data(part.to_vec())).context("sending shared memory")?;
        }
    }
    Ok(())
}

/// Removes them here, once the process has left: nobody who stays uses them.
pub(super) fn remove(names: &[String]) {
    for name in names {
        if let Err(error) = std::fs::remove_file(Path::new(FOLDER).join(name)) {
            tracing::warn!(%error, name, "removing shared memory that has moved");
        }
    }
}
