//! The target's side: a process from another node comes, runs in a capsule, and ends.
//!
//! ```text
//! offer ─▶ capsule stands ─▶ accepted ─▶ image received ─▶ restored, held ─▶ resumed ─▶ ended
//!   │           │               │              │                │               │
//!   ▼           ▼               ▼              ▼                ▼               ▼ link lost, deputy dead
//! refused    refused          (link lost: everything here is undone)         killed
//! ```
//!
//! `capsule` and `homes` are what is prepared; `image` and `flat` receive; `relay` is the life of the guest.
//!
//! A capsule never outlives its link to the home node: when the home node dies, so do its guests.

mod arrivals;
pub mod capsule;
mod departure;
mod flat;
mod homes;
mod image;
mod relay;

pub use arrivals::Arrivals;

pub use self::capsule::end_leftovers;
pub use self::image::remove_leftovers;

use self::capsule::Capsule;
use self::image::Images;
use crate::fault::Place;
use crate::home::Daemon;
use crate::{link, wire};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::{self, FromTarget, Offer, Refusal, ToTarget};
use brant_types::agent::{NodeState, NodeView};
use brant_types::migration::{ProcessState, ProcessView};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

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
        let spawned = std::thread::Builder::new().name("guest".to_owned()).spawn(move || {
            if let Err(error) = host(&daemon, stream) {
                tracing::warn!("hosting a process: {error:#}");
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "starting a thread for a guest");
        }
    }
}

fn host(daemon: &Daemon, stream: TcpStream) -> Result<()> {
    let Some(secret) = &daemon.node.boot.secret else { bail!("this node has no cluster secret") };
    let mut link = link::accept(stream, secret)?;
    let offer = match wire::receive(&mut link).context("waiting for an offer")? {
        Some(ToTarget::Offer(offer)) => offer,
        // The image of a process that was offered on another connection.
        Some(ToTarget::Image(session)) => return daemon.arrivals.hand_over(session, link),
        _ => bail!("the conversation did not begin with an offer"),
    };
    let home = match consider(daemon, &offer) {
        Ok(home) => home,
        Err(refusal) => {
            tracing::info!(%refusal, comm = %offer.comm, "refused a process");
            return wire::send(&mut link, &FromTarget::Refused(refusal)).context("refusing a process");
        }
    };
    let root = match homes::root_of(&home) {
        Ok(root) => root,
        Err(error) => {
            let refusal = Refusal::Files(format!("{error:#}"));
            tracing::warn!(%refusal, "refused a process");
            return wire::send(&mut link, &FromTarget::Refused(refusal)).context("refusing a process");
        }
    };
    let (images, departure, capsule) = match prepare(&offer, &root) {
        Ok(prepared) => prepared,
        Err(error) => {
            let refusal = Refusal::Capsule(format!("{error:#}"));
            tracing::warn!(%refusal, "refused a process");
            return wire::send(&mut link, &FromTarget::Refused(refusal)).context("refusing a process");
        }
    };
    let arrival = daemon.arrivals.expect(offer.session);
    wire::send(&mut link, &FromTarget::Accepted).context("accepting a process")?;
    Place::Accepted.pass();
    let received = if offer.moves_on {
        arrival
            .wait(&mut link)
            .and_then(|mut images_link| image::receive(&mut images_link, &offer, &images, Some(&mut link)))
    } else {
        image::receive(&mut link, &offer, &images, None)
    };
    drop(arrival);
    Place::Received.pass();
    if let Err(error) = received {
        let _home_gone = wire::send(&mut link, &FromTarget::Failed(format!("{error:#}")));
        return Err(error);
    }
    daemon.registry.begin(offer.session, shown(daemon, &offer));
    let session = offer.session;
    let outcome =
        capsule.restore().and_then(|()| relay::run(daemon, &offer, link, capsule, images, &departure));
    daemon.registry.change(session, |view| view.state = ProcessState::Ended);
    if outcome.is_err() && !home.me && !daemon.node.is_alive(home.id) {
        homes::abandon(&home);
    }
    outcome
}

/// Makes all that does not depend on the image, while the process still runs at home.
fn prepare(offer: &Offer, root: &Path) -> Result<(Images, Images, Capsule)> {
    let images = Images::make(&offer.session.to_string())?;
    let departure = Images::make(&format!("{}-departure", offer.session))?;
    let capsule = Capsule::start(offer, root, &images, &departure)?;
    Ok((images, departure, capsule))
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
    if offer.cpu != me.cpu {
        return Err(Refusal::Processor);
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
        node: daemon.node.boot.host_name.clone(),
        home: offer.home_name.clone(),
        state: ProcessState::Guest,
        cpu_seconds_home: 0.0,
        cpu_seconds_away: 0.0,
        moves: Vec::new(),
    }
}
