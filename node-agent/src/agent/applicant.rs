//! A node whose image has no secret: it asks to be admitted, shows a code, and does nothing else.

use super::helper::Helper;
use super::links::{self, Lan};
use super::socket;
use super::wish::refused;
use super::{Console, now, random};
use crate::door::{Event, Request};
use anyhow::{Context, Result};
use brant_membership::admission::{self, Applicant, Wants};
use brant_types::agent::{AgentAnswer, NOT_ADMITTED};
use brant_types::node::NodeFacts;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::net;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long to wait when nobody can be let in at all.
const AGAIN: Duration = Duration::from_millis(100);

/// What was opened while it could be.
pub(super) struct Opened {
    pub(super) udp: std::net::UdpSocket,
    pub(super) listener: net::UnixListener,
    pub(super) console: Console,
    pub(super) runtime: tokio::runtime::Runtime,
}

/// Runs until somebody has admitted this node, or it is told to stop. Then the supervisor starts the agent of a member.
pub(super) fn run(facts: NodeFacts, seeds: &[IpAddr], helper: Helper, opened: Opened) -> Result<()> {
    let Opened { udp, listener, console, runtime } = opened;
    let name = facts.name.clone();
    tracing::info!("this node has no secret, and asks to be admitted");
    let (applicant, wants) = Applicant::new(facts, random(), now());
    let seeds = seeds.iter().copied().map(links::port_of).collect();
    let (codes, code) = watch::channel(applicant.code().to_string());
    let serve = Serve { applicant, name, seeds, console, codes };
    runtime.block_on(serve.run(udp, listener, (helper, wants), code))
}

struct Serve {
    applicant: Applicant,
    name: String,
    seeds: Vec<SocketAddrV6>,
    console: Console,
    codes: watch::Sender<String>,
}

impl Serve {
    async fn run(
        mut self,
        udp: std::net::UdpSocket,
        listener: net::UnixListener,
        (helper, mut wants): (Helper, Vec<Wants>),
        code: watch::Receiver<String>,
    ) -> Result<()> {
        let lan = Lan::new(udp)?;
        let listener = UnixListener::from_std(listener).context("taking the socket into the event loop")?;
        tokio::spawn(say_so(listener, self.name.clone(), code));
        let requests = helper.requests();
        let mut events = helper.run()?;
        let mut stop = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut datagram = vec![0; 2048];
        loop {
            for want in wants {
                match want {
                    Wants::Beacon(datagram) => {
                        lan.beacon(&links::present(), &datagram).await;
                        lan.broadcast(&datagram).await;
                        for seed in &self.seeds {
                            lan.send(*seed, &datagram).await;
                        }
                    }
                    Wants::Send { to, datagram } => lan.send(to, &datagram).await,
                    Wants::Show(code) => self.show(&code.to_string()),
                    Wants::Join(admitted) => {
                        self.console.show("this node has been admitted");
                        requests.send(Request::Admitted(admitted)).context("asking the helper")?;
                    }
                }
            }
            let wake = self.applicant.next_tick().saturating_sub(now());
            wants = tokio::select! {
                heard = lan.socket.recv_from(&mut datagram) => match heard {
                    Ok((length, SocketAddr::V6(from))) if admission::is_admission(&datagram[..length]) => {
                        self.applicant.datagram(now(), from, &datagram[..length], random())
                    }
                    Ok(_) | Err(_) => Vec::new(),
                },
                () = tokio::time::sleep(wake) => self.applicant.tick(now(), random()),
                event = events.recv() => match event {
                    Some(Event::Seeds(seeds)) => {
                        self.seeds = seeds.into_iter().map(links::port_of).collect();
                        Vec::new()
                    }
                    // What it has said of itself and shown is wrong now: both begin anew.
                    Some(Event::Name(name)) if name != self.name => return Ok(()),
                    Some(Event::Hello { .. } | Event::Edit(_) | Event::Kept(_) | Event::Name(_) | Event::Dropped) => Vec::new(),
                    // It has kept what was handed to it, or could not; either way both begin anew.
                    None => return Ok(()),
                },
                _ = stop.recv() => return Ok(()),
            };
        }
    }

    fn show(&mut self, code: &str) {
        self.codes.send_replace(code.to_owned());
        let line = format!(
            "this node waits to be admitted. On a node of the cluster: sudo brant admit {}   Code: {code}",
            self.name
        );
        self.console.show(&line);
    }
}

/// Whoever asks the agent of this node hears what it waits for.
async fn say_so(listener: UnixListener, name: String, code: watch::Receiver<String>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let message = format!("this node waits to be admitted to a cluster; its code is {}", *code.borrow());
        let hint = format!("on a node of the cluster: sudo brant admit {name}");
        let answer = AgentAnswer::Refused(refused(NOT_ADMITTED, &message, Some(&hint)));
        tokio::spawn(async move {
            // Whatever the question is.
            let _gone_away = socket::answer_all(stream, &answer).await;
        });
    }
}
