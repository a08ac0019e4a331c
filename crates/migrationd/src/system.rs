//! What runs this node: our own `init`, or systemd.

use std::path::Path;

/// Whether systemd does.
pub(crate) fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Where a person finds what this daemon has said.
pub(crate) fn own_log() -> &'static str {
    if is_systemd() { "`journalctl -u brant-migrationd`" } else { "/run/brant/log/migrationd.log" }
}
