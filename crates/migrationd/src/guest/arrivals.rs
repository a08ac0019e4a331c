//! Images that come from a third node, on connections of their own, for processes that a home node has offered.

use crate::link::WORD_EVERY;
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{FromTarget, SessionId};
use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an image may take to begin: the process has to be frozen and dumped first.
const BEGINNING: Duration = Duration::from_secs(120);

/// Who waits for which image.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Mutex<HashMap<SessionId, Sender<TcpStream>>>>);

/// Somebody who waits for an image. Dropping it ends the wait: an image that comes later is refused.
pub(super) struct Arrival {
    all: Arrivals,
    session: SessionId,
    inbox: Receiver<TcpStream>,
}

impl Arrivals {
    /// From now on, the image of this session is expected.
    pub(super) fn expect(&self, session: SessionId) -> Arrival {
        let (sender, inbox) = mpsc::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session, sender);
        Arrival { all: self.clone(), session, inbox }
    }

    /// Gives a connection to whoever expects its image.
    pub(super) fn hand_over(&self, session: SessionId, link: TcpStream) -> Result<()> {
        let expecting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
        let Some(expecting) = expecting else { bail!("nobody expects the image of session {session}") };
        expecting.send(link).context("handing an image over")
    }
}

impl Arrival {
    /// Waits for the connection, and meanwhile lets the home node know that it does.
    pub(super) fn wait(&self, home: &mut TcpStream) -> Result<TcpStream> {
        let since = Instant::now();
        loop {
            match self.inbox.recv_timeout(WORD_EVERY) {
                Ok(link) => return Ok(link),
                Err(RecvTimeoutError::Timeout) if since.elapsed() < BEGINNING => {
                    wire::send(home, &FromTarget::StillHere).context("speaking to the home node")?;
                }
                Err(_) => bail!("the image did not come"),
            }
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.session);
    }
}
