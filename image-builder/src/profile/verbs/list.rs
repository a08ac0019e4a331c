//! `brant-image profiles`.

use crate::profile::{find, known};
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::io::Write;

/// Lists the profiles of this tree, a line each; a wrong one says so and does not hide the others.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn run() -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    let names = known(&workspace.profiles())?;
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for name in &names {
        let profile = find(&workspace, name).and_then(|merged| merged.check(&workspace));
        let about = match &profile {
            Ok(profile) => profile.about.as_str(),
            Err(_) => "is wrong; `brant-image profile check` says where",
        };
        writeln!(out, "{name:width$}  {about}").context("listing the profiles")?;
    }
    Ok(())
}
