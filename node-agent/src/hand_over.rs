//! What `init` hands over.

use anyhow::{Context, Result};
use brant_types::boot::{BOOT_FACTS, BootFacts};

/// Reads it; only root can, for it holds the secret.
pub(crate) fn read() -> Result<BootFacts> {
    let text = std::fs::read_to_string(BOOT_FACTS)
        .with_context(|| format!("reading `{BOOT_FACTS}`, which init writes"))?;
    toml::from_str(&text).with_context(|| format!("understanding `{BOOT_FACTS}`"))
}
