//! Beginning a stay: one that home asks for, or one that an earlier daemon has left.

use super::{Event, Stay};
use crate::clock;
use crate::guest::arrival::Arrival;
use crate::guest::capsule::Capsule;
use crate::guest::meter::Meter;
use crate::guest::{place, shown};
use crate::home::Daemon;
use crate::outlet::Outlet;
use anyhow::Result;
use brant_migration::protocol::{Offer, SessionId, ToHost};
use brant_migration::session::Why;
use brant_migration::session::host::{Found, Host};
use brant_migration::session::letter::{FromHome, Letter};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Begins a stay that home asks for, on a thread of its own.
pub(in crate::guest) fn begin(daemon: &Daemon, letter: Letter<FromHome>, offer: Offer, link: Arc<Outlet>) {
    let session = offer.session;
    let (inbox, events) = channel();
    if !daemon.stays.begin(session, inbox.clone()) {
        // Somebody else was quicker: it is the same request, come twice.
        daemon.stays.tell(session, Event::Word(ToHost::Letter(letter)));
        return;
    }
    let daemon = daemon.clone();
    let run = move || {
        let mut out = Vec::new();
        let settings = clock::settings(offer.lease);
        let host = Host::asked(clock::now(), letter, clock::incarnation(), settings, &mut out);
        Stay { link: Some(link), ..Stay::of(daemon, offer, host, inbox, events) }.live(out);
    };
    if let Err(error) = std::thread::Builder::new().name("stay".to_owned()).spawn(run) {
        tracing::error!(%error, %session, "starting a thread for a stay");
    }
}

/// Goes on with a stay that an earlier daemon has left, until it is over.
///
/// # Errors
/// When there is no capsule that has promised anything; what there is has to be cleared.
pub(in crate::guest) fn find(
    daemon: &Daemon,
    session: SessionId,
    offer: Offer,
    inbox: Sender<Event>,
    events: Receiver<Event>,
) -> Result<()> {
    let (capsule, found, lease, filled) = Capsule::find(session, &inbox)?;
    if filled {
        place::remove_image(session)?;
    }
    if found == Found::Runs {
        // Its move is off: CRIU, where it still runs, has lost its socket.
        place::clear_departure(session);
    }
    tracing::warn!(%session, ?found, comm = %offer.comm, "going on with a guest that an earlier daemon has left");
    let mut out = Vec::new();
    let settings = clock::settings(offer.lease);
    let host = Host::recover(clock::now(), session, found, lease, clock::incarnation(), settings, &mut out);
    let meter = (found != Found::Held).then(Meter::go_on);
    daemon.registry.begin(session, shown(daemon, &offer), Vec::new());
    let stay = Stay::of(daemon.clone(), offer, host, inbox, events);
    Stay { capsule: Some(capsule), meter, filled, ..stay }.live(out);
    Ok(())
}

impl Stay {
    /// Nothing of it is there yet.
    fn of(daemon: Daemon, offer: Offer, host: Host, inbox: Sender<Event>, events: Receiver<Event>) -> Self {
        Self {
            daemon,
            offer,
            host,
            link: None,
            capsule: None,
            awaited: None,
            preparing: None,
            meter: None,
            arrival: Arrival::begin(),
            filled: false,
            departure: None,
            gone_early: false,
            last_word: Why::CapsuleEnded,
            events,
            inbox,
            over: false,
        }
    }
}
