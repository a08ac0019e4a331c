//! What the cases need on the node where they start.

use super::case::Cases;
use crate::cluster::node::{Node, USER};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;

/// Where the cases live on the node.
pub(super) const FOLDER: &str = "/home/brant/prove";

/// Puts scripts and library there.
pub(super) fn put(node: &Node, cases: &Cases) -> Result<()> {
    node.shell(USER, &format!("rm -rf {FOLDER}; mkdir -p {FOLDER}/lib"))?;
    let mut names = BTreeSet::new();
    for lib in &cases.libs {
        for entry in fs::read_dir(lib).with_context(|| format!("listing `{}`", lib.display()))? {
            let path = entry.with_context(|| format!("listing `{}`", lib.display()))?.path();
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            ensure!(
                names.insert(name.clone()),
                "putting `{}` into `$LIB`: another file is called so",
                path.display()
            );
            node.put(USER, &format!("{FOLDER}/lib/{name}"), &text)?;
        }
    }
    for case in &cases.list {
        node.put(USER, &format!("{FOLDER}/{}.sh", case.name), &case.script)?;
        if !case.setup.is_empty() {
            node.put(USER, &format!("{FOLDER}/{}.setup.sh", case.name), &case.setup)?;
        }
    }
    Ok(())
}
