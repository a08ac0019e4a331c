//! The long pieces of a stay's work: making everything, and removing everything.

use super::capsule::{self, Capsule};
use super::stay::Event;
use super::{homes, place};
use crate::home::Daemon;
use anyhow::Result;
use brant_migration::protocol::{Offer, Refusal, SessionId};
use brant_migration::session::Why;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How long to wait before what could not be cleared is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Judges the offer, and makes all that does not depend on the image.
pub(super) fn prepare(daemon: &Daemon, offer: &Offer, inbox: &Sender<Event>) -> Result<Capsule, Why> {
    let refuse = |refusal: Refusal| {
        tracing::info!(%refusal, comm = %offer.comm, "refused a process");
        Why::Refused(refusal)
    };
    let home = super::consider(daemon, offer).map_err(refuse)?;
    let root = homes::root_of(&home).map_err(|error| refuse(Refusal::Files(format!("{error:#}"))))?;
    let stand = || {
        place::make(offer)?;
        Capsule::start(offer, &root, offer.usr_untouched && daemon.node.usr_untouched(), inbox)
    };
    stand().map_err(|error| refuse(Refusal::Capsule(format!("{error:#}"))))
}

/// Ends the capsule and removes everything of the stay.
pub(super) fn clear(daemon: &Daemon, offer: &Offer, capsule: Option<Capsule>) -> Result<()> {
    daemon.stays.close_desk(offer.session);
    if let Err(error) = capsule::end(offer.session) {
        if daemon.node.is_alive(offer.home) {
            return Err(error);
        }
        // Somebody in there waits for the files of a home that has died.
        homes::abandon(offer.home);
        capsule::end(offer.session)?;
    }
    drop(capsule);
    place::clear(offer.session)?;
    if !daemon.node.is_alive(offer.home) {
        homes::abandon(offer.home);
    }
    Ok(())
}

/// The same for a stay that nobody owns; again until it works.
pub(super) fn clear_remains(session: SessionId) {
    while let Err(error) = capsule::end(session).and_then(|()| place::clear(session)) {
        tracing::error!(%session, "clearing a stay: {error:#}");
        std::thread::sleep(AGAIN);
    }
}
