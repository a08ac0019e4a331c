//! A root that is checked block by block while it is read (dm-verity).

use crate::modules::Modules;
use anyhow::{Context, Result, ensure};
use brant_sys::device_mapper::{Rule, create_read_only};
use brant_types::boot::Verity;
use std::path::{Path, PathBuf};

/// The device's name.
const NAME: &str = "brant-root";

/// A device whose reads fail where the data are not what the builder has written.
pub(super) fn open(device: &Path, verity: &Verity, modules: &mut Modules) -> Result<PathBuf> {
    modules.load("dm-verity").context("loading what checks the root (`dm-verity`)")?;
    create_read_only(NAME, &rule(device, verity)?).context("setting up the check of the root (dm-verity)")
}

/// Takes it away again, so that another medium can take its place.
pub(super) fn close() {
    let _not_there = brant_sys::device_mapper::remove(NAME);
}

/// The rule as the kernel's documentation of dm-verity has it; the tree is behind the data, on the same device.
fn rule(device: &Path, verity: &Verity) -> Result<Rule> {
    let Verity { data_blocks, root_digest, salt, .. } = verity;
    for text in [root_digest, salt] {
        ensure!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "a digest in the initramfs is damaged");
    }
    let (device, block) = (device.display(), Verity::BLOCK);
    let salt = if salt.is_empty() { "-" } else { salt };
    Ok(Rule {
        kind: "verity",
        sectors: data_blocks * (block / 512),
        parameters: format!(
            "1 {device} {device} {block} {block} {data_blocks} {data_blocks} sha256 {root_digest} {salt}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verity(digest: &str) -> Verity {
        Verity { data_blocks: 10, tree_blocks: 1, root_digest: digest.to_owned(), salt: String::new() }
    }

    #[test]
    fn the_rule_has_the_kernels_form() {
        let rule = rule(Path::new("/dev/loop0"), &verity("ab")).unwrap();
        assert_eq!(rule.parameters, "1 /dev/loop0 /dev/loop0 4096 4096 10 10 sha256 ab -");
        assert_eq!(rule.sectors, 80);
    }

    #[test]
    fn a_digest_cannot_smuggle_words_in() {
        assert!(rule(Path::new("/dev/loop0"), &verity("ab 1 ignore_corruption")).is_err());
    }
}
