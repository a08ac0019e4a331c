//! What `init` hands over, and the cluster that this node was admitted to since.

use anyhow::{Context, Result, anyhow};
use brant_types::boot::{ADMITTED, BOOT_FACTS, BootFacts};

/// Reads it; only root can, for it holds the secret.
pub(crate) fn read() -> Result<BootFacts> {
    let text = std::fs::read_to_string(BOOT_FACTS)
        .with_context(|| format!("reading `{BOOT_FACTS}`, which init writes"))?;
    let admitted = std::fs::read_to_string(ADMITTED).ok();
    // The parser's message could quote the secret.
    BootFacts::understand(&text, admitted.as_deref())
        .map_err(|_| anyhow!("`{BOOT_FACTS}` or `{ADMITTED}` is damaged"))
}
