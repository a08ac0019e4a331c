//! The helper of a node that waits to be admitted: it keeps the secret when there is one, and does nothing else.

use super::handed_over::HandOver;
use super::identity::{self, Identity};
use super::overlay::Overlay;
use super::{clock, ssh};
use crate::door::{self, Event, Request};
use anyhow::{Context, Result};
use brant_types::boot::{Admitted, BOOT_FACTS, BootFacts, KEPT, Kept};
use brant_types::settings::Settings;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Serves the agent until the node is admitted, or the agent ends; then both begin anew.
pub(super) fn serve(agent: UnixStream, key: &Identity) -> Result<()> {
    // Of a cluster that this node has left.
    Overlay::down()?;
    if let Err(error) = ssh::forget() {
        tracing::warn!("{error:#}");
    }
    let (public, incarnation) = (key.public, key.incarnation);
    super::tell(&agent, &Event::Hello { public, incarnation, settings: Settings::default() })?;
    let (mut handed_over, mut clock_forgotten) = (HandOver::default(), false);
    let mut read = Vec::new();
    loop {
        if let Some(facts) = handed_over.if_changed() {
            super::tell(&agent, &Event::Seeds(facts.seeds))?;
            super::tell(&agent, &Event::Name(facts.host_name))?;
        }
        // chronyd starts at its own time.
        clock_forgotten = clock_forgotten || clock::forget().is_ok();
        if !super::hear(&agent, &mut read, super::LOOK_EVERY)? {
            return Ok(());
        }
        while let Some(request) = door::take(&mut read)? {
            if let Request::Admitted(admitted) = request {
                return keep(admitted);
            }
        }
    }
}

/// Keeps a cluster's secret.
pub(super) fn keep(admitted: Admitted) -> Result<()> {
    write(&Kept { admitted: Some(admitted), ..kept()? })
}

/// Keeps that the secrets of now, the medium's and a kept one, are not to be used any more.
pub(super) fn drop_secret() -> Result<()> {
    let own = BootFacts::read(|path| match path {
        BOOT_FACTS => std::fs::read_to_string(path),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    });
    let own = own.context("looking what init has handed over")?.secret;
    write(&Kept { dropped: own.map(|own| own.mark()).or(kept()?.dropped), admitted: None })
}

fn kept() -> Result<Kept> {
    match std::fs::read_to_string(KEPT) {
        // The parser's own message could quote the secret.
        Ok(text) => toml::from_str(&text).map_err(|_| anyhow::anyhow!("`{KEPT}` is damaged")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error).with_context(|| format!("reading `{KEPT}`")),
    }
}

/// For root only.
fn write(kept: &Kept) -> Result<()> {
    let text = toml::to_string(kept).context("writing the cluster's secret down")?;
    identity::keep(Path::new(KEPT), &text)
        .with_context(|| format!("keeping the cluster's secret in `{KEPT}`"))
}
