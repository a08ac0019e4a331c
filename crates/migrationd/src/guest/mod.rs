//! The target's side: a process from another node comes, runs in a capsule, and ends or moves on.
//!
//! `stay` owns one process's stay, and its machine; `stays` finds it; `capsule`, `place` and `homes` are what a stay
//! is made of; `image`, `contents` and `flat` receive, `departure` sends (with [`crate::dump`]).
//!
//! A capsule outlives this daemon, and is found again by the next one. It never outlives its lease: when nothing is
//! heard from home for that long, it ends.

mod arrival;
pub mod capsule;
mod contents;
mod departure;
mod flat;
mod homes;
mod image;
mod meter;
mod place;
mod stay;
mod stays;
mod work;

pub use stays::Stays;

use crate::clock;
use crate::home::Daemon;
use crate::link::{self, SILENCE};
use crate::outlet::Outlet;
use crate::wire;
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{self, Offer, Opening, Refusal, SessionId, ToHome, ToHost};
use brant_migration::session::Why;
use brant_migration::session::letter;
use brant_types::agent::{NodeState, NodeView};
use brant_types::migration::{ProcessState, ProcessView};
use stay::Event;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Goes on with the guests that an earlier daemon has left, and clears what has made no promise. Each is looked for on a
/// thread of its own, for one that is just packing takes its time to answer; none is said not to be here before
/// that is known.
pub fn recover(daemon: &Daemon) {
    let mut found = place::found();
    let known: Vec<SessionId> = found.iter().map(|(session, _)| *session).collect();
    found.extend(capsule::all().into_iter().filter(|session| !known.contains(session)).map(|it| (it, None)));
    place::clear_strays();
    for (session, offer) in found {
        let (inbox, events) = channel();
        daemon.stays.begin(session, inbox.clone());
        let daemon = daemon.clone();
        let look = move || {
            let outcome = match offer {
                Some(offer) => stay::find(&daemon, session, offer, inbox, events),
                None => Err(anyhow::anyhow!("nobody knows what was offered")),
            };
            if let Err(error) = outcome {
                tracing::warn!(%session, "clearing what an earlier daemon has left of a stay: {error:#}");
                work::clear_remains(session);
                daemon.stays.end(session);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("stay".to_owned()).spawn(look) {
            tracing::error!(%error, %session, "starting a thread for a stay");
        }
    }
}

/// Takes guests for as long as the program runs.
pub fn serve(daemon: &Daemon, listener: &TcpListener) {
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "taking a connection");
                continue;
            }
        };
        let daemon = daemon.clone();
        let spawned = std::thread::Builder::new().name("from-node".to_owned()).spawn(move || {
            if let Err(error) = host(&daemon, stream) {
                tracing::debug!("a connection from another node is over: {error:#}");
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "starting a thread for a connection");
        }
    }
}

fn host(daemon: &Daemon, stream: TcpStream) -> Result<()> {
    match link::accept(stream, &daemon.node.secrets.all())? {
        (link, Opening::Stay(session)) => hear_home(daemon, session, link),
        (link, Opening::Image(session)) => take_image(daemon, session, link),
    }
}

/// Hands on what home says of one stay. The stay's first word makes it.
fn hear_home(daemon: &Daemon, session: SessionId, mut link: TcpStream) -> Result<()> {
    link.set_read_timeout(Some(SILENCE)).context("setting up the link")?;
    let _cut_at_the_end = Cut(link.try_clone().context("sharing the link")?);
    let outlet = Outlet::begin(link.try_clone().context("sharing the link")?);
    let outlet = Arc::new(outlet.context("starting a thread")?);
    daemon.stays.tell(session, Event::Link(Arc::clone(&outlet)));
    while let Some(word) = wire::receive::<ToHost>(&mut link).context("listening to the home node")? {
        match word {
            ToHost::Letter(letter) | ToHost::Offer(letter, _) if letter.session != session => {
                bail!("a letter about {} came by the link of {session}", letter.session);
            }
            ToHost::Offer(letter, offer) => {
                if daemon.stays.tell(session, Event::Word(ToHost::Letter(letter.clone()))) {
                    continue;
                }
                if letter::asks(&letter) && offer.session == session {
                    stay::begin(daemon, letter, *offer, Arc::clone(&outlet));
                } else {
                    answer(&outlet, &letter);
                }
            }
            ToHost::Letter(letter) => {
                if !daemon.stays.tell(session, Event::Word(ToHost::Letter(letter.clone()))) {
                    answer(&outlet, &letter);
                }
            }
            other => {
                daemon.stays.tell(session, Event::Word(other));
            }
        }
    }
    Ok(())
}

/// A link that nobody reads any more is cut, also for those who still write to it.
struct Cut(TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        let _gone = self.0.shutdown(Shutdown::Both);
    }
}

/// What is not here is said to be not here.
fn answer(outlet: &Outlet, letter: &letter::Letter<letter::FromHome>) {
    if let Some(answer) = letter::not_here(letter, clock::incarnation(), clock::now()) {
        outlet.say(&ToHome::Letter(answer));
    }
}

fn take_image(daemon: &Daemon, session: SessionId, mut link: TcpStream) -> Result<()> {
    let Some(offer) = daemon.stays.bring(session, &link) else {
        bail!("nobody waits for the image of session {session}");
    };
    let outcome = image::receive(&mut link, &offer, &place::images(session));
    if let Err(error) = &outcome {
        tracing::warn!(comm = %offer.comm, "an image did not come whole: {error:#}");
    }
    let told = outcome.as_ref().map(drop).map_err(|error| Why::Failed(format!("{error:#}")));
    daemon.stays.close_desk(session);
    daemon.stays.tell(session, Event::Image(told));
    outcome
}

/// Whether this process may come; gives its home node.
fn consider(daemon: &Daemon, offer: &Offer) -> Result<NodeView, Refusal> {
    if offer.version != protocol::VERSION {
        return Err(Refusal::Version { theirs: protocol::VERSION, ours: offer.version });
    }
    let view = daemon.node.view();
    let me = view.nodes.iter().find(|node| node.me).ok_or(Refusal::Stranger)?;
    let home = view.nodes.iter().find(|node| node.id == offer.home && node.state == NodeState::Alive);
    let home = home.ok_or(Refusal::Stranger)?;
    if offer.image_id != me.image_id {
        return Err(Refusal::Image);
    }
    if !me.cpu.include(offer.cpu) {
        let missing = me.cpu.missing(offer.cpu).into_iter().map(str::to_owned).collect();
        return Err(Refusal::Processor { missing });
    }
    // Images and restored memory stand side by side for a moment.
    let needed_kib = 2 * offer.resident_kib + 32_768;
    let free_kib = me.load.map_or(0, |load| load.memory_free_kib);
    if free_kib < needed_kib {
        return Err(Refusal::Memory { free_kib, needed_kib });
    }
    Ok(home.clone())
}

fn shown(daemon: &Daemon, offer: &Offer) -> ProcessView {
    ProcessView {
        pid: offer.pid,
        comm: offer.comm.clone(),
        args: offer.args.clone(),
        user: crate::users::name_of(offer.uid),
        uid: offer.uid,
        node: daemon.node.name(),
        home: daemon.node.name_of(offer.home).unwrap_or_else(|| offer.home_name.clone()),
        state: ProcessState::Guest,
        cpu_seconds_home: 0.0,
        cpu_seconds_away: 0.0,
        moves: Vec::new(),
    }
}
