//! What a lease that comes later tells of: where to look for the cluster besides, who tells the time, what this node is called.

use brant_types::boot::{BOOT_FACTS, BootFacts};
use std::time::SystemTime;

/// The hand-over file, as it was seen last.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    seen: Option<SystemTime>,
}

impl HandOver {
    /// What is in there, if the file is another than last time.
    pub(super) fn if_changed(&mut self) -> Option<BootFacts> {
        let written = std::fs::metadata(BOOT_FACTS).and_then(|about| about.modified()).ok()?;
        if self.seen == Some(written) {
            return None;
        }
        self.seen = Some(written);
        match crate::facts() {
            Ok(boot) => Some(boot),
            Err(error) => {
                tracing::warn!("{error:#}");
                None
            }
        }
    }
}
