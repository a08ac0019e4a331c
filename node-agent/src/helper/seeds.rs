//! Where to look for the cluster besides, as `init` says: a lease that comes later may tell of more.

use brant_types::boot::BOOT_FACTS;
use std::net::IpAddr;
use std::time::SystemTime;

/// The hand-over file, as it was seen last.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    seen: Option<SystemTime>,
}

impl Seeds {
    /// The seeds, if the file is another than last time.
    pub(super) fn if_changed(&mut self) -> Option<Vec<IpAddr>> {
        let written = std::fs::metadata(BOOT_FACTS).and_then(|about| about.modified()).ok()?;
        if self.seen == Some(written) {
            return None;
        }
        self.seen = Some(written);
        match crate::facts() {
            Ok(boot) => Some(boot.seeds),
            Err(error) => {
                tracing::warn!("{error:#}");
                None
            }
        }
    }
}
