//! The helper of a node that waits to be admitted: it keeps the secret when there is one, and does nothing else.

use super::identity::{self, Identity};
use crate::door::{self, Event, Request};
use anyhow::{Context, Result};
use brant_types::boot::{ADMITTED, Admitted};
use brant_types::settings::Settings;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Serves the agent until the node is admitted, or the agent ends.
pub(super) fn serve(agent: UnixStream, key: &Identity) -> Result<()> {
    let (public, incarnation) = (key.public, key.incarnation);
    super::tell(&agent, &Event::Hello { public, incarnation, settings: Settings::default() })?;
    super::tell(&agent, &Event::Seeds(crate::facts()?.seeds))?;
    let mut read = Vec::new();
    while super::hear(&agent, &mut read)? {
        while let Some(request) = door::take(&mut read)? {
            if let Request::Admitted(admitted) = request {
                return keep(&admitted);
            }
        }
    }
    Ok(())
}

/// Keeps a cluster's secret, for root only.
pub(super) fn keep(admitted: &Admitted) -> Result<()> {
    let text = toml::to_string(admitted).context("writing the cluster's secret down")?;
    identity::keep(Path::new(ADMITTED), &text)
        .with_context(|| format!("keeping the cluster's secret in `{ADMITTED}`"))
}
