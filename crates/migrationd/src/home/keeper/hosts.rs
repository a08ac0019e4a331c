//! The links to a process's hosts, one for each stay: made when there is something to say, and made again when they
//! break.

use super::Event;
use crate::link::{self, LINK_SILENCE};
use crate::node::Node;
use crate::outlet::Outlet;
use crate::wire;
use anyhow::{Context, Result};
use brant_migration::protocol::{Opening, SessionId, ToHome, ToHost};
use brant_types::node::NodeId;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long a node may take to answer before it is called again.
const DIALLING: Duration = Duration::from_secs(4);
/// How long to wait before that.
const AGAIN: Duration = Duration::from_millis(500);

/// One link, in its life.
#[derive(Debug)]
enum State {
    /// A thread is calling the node.
    Dialling,
    /// It is not answered, or was broken.
    Down { since: Instant },
    /// It stands.
    Up { outlet: Outlet, stream: TcpStream, number: u64 },
}

#[derive(Debug)]
struct Link {
    node: NodeId,
    state: State,
    /// The newest letter, for as long as there is no way for it.
    letter: Option<ToHost>,
}

/// All links of one process.
#[derive(Debug)]
pub(super) struct Hosts {
    node: Node,
    inbox: Sender<Event>,
    links: HashMap<SessionId, Link>,
    made: u64,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let State::Up { stream, .. } = &self.state {
            let _gone = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Hosts {
    pub(super) fn new(node: Node, inbox: Sender<Event>) -> Self {
        Self { node, inbox, links: HashMap::new(), made: 0 }
    }

    /// Sends a letter now, or as soon as there is a way, unless there is a newer one then.
    pub(super) fn send(&mut self, session: SessionId, node: NodeId, letter: ToHost) {
        let down = || Link { node, state: State::Down { since: Instant::now() - AGAIN }, letter: None };
        let link = self.links.entry(session).or_insert_with(down);
        match &link.state {
            State::Up { outlet, .. } => outlet.say_if_room(&letter),
            State::Dialling | State::Down { .. } => link.letter = Some(letter),
        }
        self.redial();
    }

    /// Hands something on that is said again when it is lost.
    pub(super) fn hand_on(&self, session: SessionId, word: &ToHost) {
        if let Some(State::Up { outlet, .. }) = self.links.get(&session).map(|link| &link.state) {
            outlet.say_if_room(word);
        }
    }

    /// Calls those nodes again that it is time for.
    pub(super) fn redial(&mut self) {
        for (session, link) in &mut self.links {
            let State::Down { since } = link.state else { continue };
            if since.elapsed() >= AGAIN {
                link.state = State::Dialling;
                dial(&self.node, link.node, *session, self.inbox.clone());
            }
        }
    }

    /// A node has answered, or not. True when a link stands now.
    pub(super) fn dialled(&mut self, session: SessionId, answer: Result<TcpStream>) -> bool {
        let Some(link) = self.links.get_mut(&session) else { return false };
        self.made += 1;
        let number = self.made;
        let up = answer.and_then(|stream| listen(session, number, stream, self.inbox.clone()));
        match up {
            Ok((outlet, stream)) => {
                if let Some(letter) = link.letter.take() {
                    outlet.say_if_room(&letter);
                }
                link.state = State::Up { outlet, stream, number };
                true
            }
            Err(error) => {
                tracing::debug!(%session, "calling a node: {error:#}");
                link.state = State::Down { since: Instant::now() };
                false
            }
        }
    }

    /// A link is broken.
    pub(super) fn broken(&mut self, session: SessionId, number: u64) {
        if let Some(link) = self.links.get_mut(&session)
            && matches!(&link.state, State::Up { number: this, .. } if *this == number)
        {
            link.state = State::Down { since: Instant::now() };
        }
    }

    /// Forgets the links that nobody needs any more.
    pub(super) fn retain(&mut self, needed: impl Fn(SessionId) -> bool) {
        self.links.retain(|session, _| needed(*session));
    }
}

fn dial(node: &Node, to: NodeId, session: SessionId, inbox: Sender<Event>) {
    let node = node.clone();
    let call = move || -> Result<TcpStream> {
        let secret = node.secrets.present()?;
        let to = node.by_id(to).context("the node is not known here")?;
        link::connect(to.overlay, &secret, Opening::Stay(session), DIALLING)
    };
    let again = inbox.clone();
    let spawned = std::thread::Builder::new().name("dialling".to_owned()).spawn(move || {
        let _keeper_gone = inbox.send(Event::Dialled(session, call()));
    });
    if let Err(error) = spawned {
        // It is tried again like a call that nobody has answered.
        let _keeper_gone = again.send(Event::Dialled(session, Err(error.into())));
    }
}

fn listen(
    session: SessionId,
    number: u64,
    stream: TcpStream,
    inbox: Sender<Event>,
) -> Result<(Outlet, TcpStream)> {
    let mut from = stream.try_clone().context("sharing the link")?;
    // It ends also by silence; a link that stands is never silent for so long.
    stream.set_read_timeout(Some(LINK_SILENCE)).context("setting up the link")?;
    let to = stream.try_clone().context("sharing the link")?;
    let outlet = Outlet::begin(to).context("starting a thread")?;
    std::thread::Builder::new()
        .name("from-host".to_owned())
        .spawn(move || {
            while let Ok(Some(word)) = wire::receive::<ToHome>(&mut from) {
                if inbox.send(Event::Host(session, word)).is_err() {
                    return;
                }
            }
            let _gone = from.shutdown(Shutdown::Both);
            let _keeper_gone = inbox.send(Event::Broken(session, number));
        })
        .context("starting a thread")?;
    Ok((outlet, stream))
}
