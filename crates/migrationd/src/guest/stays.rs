//! Who looks after which stay, for those who come with something for it.

use super::stay::Event;
use brant_migration::protocol::{Offer, SessionId};
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Entry {
    inbox: Sender<Event>,
    desk: Desk,
}

/// Whether an image can come.
#[derive(Debug)]
enum Desk {
    /// Not yet, or not any more.
    Closed,
    /// This one is awaited.
    Open(Box<Offer>),
    /// It comes by this connection.
    Busy(TcpStream),
}

/// All stays of this node.
#[derive(Debug, Clone, Default)]
pub struct Stays(Arc<Mutex<HashMap<SessionId, Entry>>>);

impl Stays {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stay begins; false when there is one of that name.
    pub(super) fn begin(&self, session: SessionId, inbox: Sender<Event>) -> bool {
        let mut all = self.lock();
        let is_new = !all.contains_key(&session);
        all.entry(session).or_insert(Entry { inbox, desk: Desk::Closed });
        is_new
    }

    /// Tells a stay something; false when there is none.
    pub(super) fn tell(&self, session: SessionId, event: Event) -> bool {
        self.lock().get(&session).is_some_and(|entry| entry.inbox.send(event).is_ok())
    }

    /// From now on, the image of that stay can come.
    pub(super) fn open_desk(&self, offer: &Offer) {
        if let Some(entry) = self.lock().get_mut(&offer.session) {
            entry.desk = Desk::Open(Box::new(offer.clone()));
        }
    }

    /// Takes the place of the one who brings the image; what it may hold is in the offer.
    pub(super) fn bring(&self, session: SessionId, link: &TcpStream) -> Option<Offer> {
        let mut all = self.lock();
        let entry = all.get_mut(&session)?;
        let link = link.try_clone().ok()?;
        match std::mem::replace(&mut entry.desk, Desk::Busy(link)) {
            Desk::Open(offer) => Some(*offer),
            other => {
                entry.desk = other;
                None
            }
        }
    }

    /// No image comes any more; one that is coming breaks off.
    pub(super) fn close_desk(&self, session: SessionId) {
        if let Some(entry) = self.lock().get_mut(&session)
            && let Desk::Busy(link) = std::mem::replace(&mut entry.desk, Desk::Closed)
        {
            let _gone = link.shutdown(Shutdown::Both);
        }
    }

    /// The stay is over.
    pub(super) fn end(&self, session: SessionId) {
        self.close_desk(session);
        self.lock().remove(&session);
    }
}
