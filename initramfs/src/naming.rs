//! What the node is called: by the kernel, and in the files that say so.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Names the node; `etc` is that folder of its root. Where the kernel has taken the name, what is wrong is a file only.
pub(crate) fn set(etc: &Path, name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).context("setting the host name")?;
    keep(&etc.join("hostname"), &format!("{name}\n"))?;
    // The agent replaces it when there is a cluster.
    keep(
        &etc.join("hosts"),
        &format!(
            "127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
        ),
    )
}

/// A file of the root, which a stick may keep: where there is no room, what was there stays.
pub(crate) fn keep(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let half = path.with_extension("brant-new");
    fs::write(&half, text)
        .and_then(|()| fs::rename(&half, path))
        .with_context(|| format!("writing `{}`", path.display()))
}
