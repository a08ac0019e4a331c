//! What of an image takes how much room, and whether all of it is more than the profile allows.

use super::{length, megabytes};
use crate::failure::{Advice, Kind};
use crate::manifest::Sizes;
use crate::profile::{Profile, RootPlace};
use crate::site::AREA;
use anyhow::Result;
use std::path::Path;

/// Measures the parts, before they go to their places.
///
/// # Errors
/// One of them is not there.
pub(super) fn measure(profile: &Profile, kernel: &Path, initramfs: &Path, root: &Path) -> Result<Sizes> {
    let (root, initramfs) = (length(root)?, length(initramfs)?);
    let inside = if profile.image.root == RootPlace::Initramfs { root } else { 0 };
    Ok(Sizes { kernel: length(kernel)?, drivers: initramfs.saturating_sub(inside + AREA as u64), root })
}

/// Compares the image with what the profile allows.
///
/// # Errors
/// It is larger; the message has the parts.
pub(super) fn check(profile: &Profile, sizes: &Sizes, image: u64) -> Result<()> {
    let allowed = u64::from(profile.image.budget) * 1_000_000;
    if image <= allowed {
        return Ok(());
    }
    let parts: Vec<String> =
        sizes.rows(image).iter().map(|(name, bytes)| format!("{name} {}", megabytes(*bytes))).collect();
    let what = format!(
        "the image has {}, and the profile `{}` allows {}: {}",
        megabytes(image),
        profile.name,
        megabytes(allowed),
        parts.join(", ")
    );
    Err(Advice::new(Kind::Input, what)
        .hint("take packages or drivers out, or raise `budget` in the profile's `[image]`")
        .error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use crate::workspace::Workspace;

    #[test]
    fn an_image_over_its_budget_is_refused_with_its_parts() {
        let tree = Workspace::above(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let profile = profile::load(&tree, "compute").unwrap();
        let sizes = Sizes { kernel: 12_000_000, drivers: 20_000_000, root: 90_000_000 };
        check(&profile, &sizes, u64::from(profile.image.budget) * 1_000_000).unwrap();
        let refused = check(&profile, &sizes, 900_000_000).unwrap_err().to_string();
        for part in ["900.0 MB", "kernel 12.0 MB", "drivers 20.0 MB", "root 90.0 MB", "the rest 778.0 MB"] {
            assert!(refused.contains(part), "{refused}");
        }
    }
}
