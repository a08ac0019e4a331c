//! `brant-image profile check FILE`.

use crate::profile::load;
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::io::Write;
use std::path::Path;

/// Says whether an image could be built from this file.
///
/// # Errors
/// It could not; every line that is wrong.
pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    let profile = load(&workspace, &file.to_string_lossy())?;
    let (packages, users) = (profile.debian.packages.len(), profile.users.len());
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "the profile `{}` is good: {packages} packages and what they need, {users} user(s)",
        profile.name
    )
    .context("saying that the profile is good")
}
