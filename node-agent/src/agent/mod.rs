//! The agent: hears the LAN, and is the one task that owns the membership core.

mod addresses;
mod confine;
mod facts;
mod helper;
mod links;
mod load;
mod socket;
mod wish;

use crate::door::{Edit, Event, Request};
use crate::hand_over;
use anyhow::{Context, Result, bail};
use brant_membership::core::{Instant, Membership, Output};
use brant_types::agent::{AgentAnswer, ClusterView};
use helper::Helper;
use links::{Lan, LinkIndex};
use load::Sampler;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use wish::{What, Wish};

/// The kernel's log, which the consoles show.
const KERNEL_LOG: &str = "/dev/kmsg";

/// Runs until it is told to stop; says goodbye to the cluster then.
pub(crate) fn run() -> Result<()> {
    // A node that computes must not be taken for dead; the agent itself hardly computes.
    if let Err(errno) = rustix::process::nice(-10) {
        tracing::warn!(%errno, "going before the node's other processes");
    }
    let boot = hand_over::read()?;
    let Some(secret) = boot.secret.clone() else {
        bail!(
            "this image carries no cluster secret, so the node stays alone; build it with `brant-image build`"
        );
    };
    let (helper, me) = Helper::start()?;
    let (udp, listener) = (links::open()?, socket::listen()?);
    let console = File::options().write(true).open(KERNEL_LOG).ok();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the event loop")?;
    let account = confine::account()?;
    confine::give_up_rights(&account)?;
    let facts = facts::gather(&boot, me.public)?;
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .context("asking for random bytes")?;
    tracing::info!(name = %facts.name, id = %facts.id, cores = facts.cores, speed = facts.speed, "this node");
    let mut core = Membership::new(&boot.cluster, &secret, facts, me.incarnation, seed, now());
    // Nobody is there yet to be told.
    let _nobody = core.remember(now(), &me.settings);
    let service = Service {
        core,
        requests: helper.requests(),
        console,
        joined_at: None,
        links: BTreeSet::new(),
        seeds: Vec::new(),
        joined: Vec::new(),
        beacons: 0,
        refused_edit: None,
    };
    runtime.block_on(service.run(udp, listener, helper))
}

fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How many beacons go by multicast alone for each that goes by all ways.
const EACH_WAY: u64 = 4;

struct Service {
    core: Membership,
    requests: mpsc::UnboundedSender<Request>,
    /// Where whoever watches the consoles is told.
    console: Option<File>,
    joined_at: Option<f64>,
    links: BTreeSet<LinkIndex>,
    /// Where else to look for the cluster.
    seeds: Vec<SocketAddrV6>,
    /// Seeds that somebody has typed.
    joined: Vec<SocketAddrV6>,
    beacons: u64,
    refused_edit: Option<String>,
}

impl Service {
    async fn run(
        mut self,
        udp: std::net::UdpSocket,
        listener: std::os::unix::net::UnixListener,
        helper: Helper,
    ) -> Result<()> {
        let lan = Lan::new(udp)?;
        let listener = UnixListener::from_std(listener).context("taking the socket into the event loop")?;
        let (views, watched) = watch::channel(self.view());
        let (wishes, mut wished) = mpsc::channel::<Wish>(1);
        tokio::spawn(socket::serve(listener, watched, wishes));
        let mut events = helper.run()?;
        self.ask(Request::Config(self.core.config().clone()))?;
        let mut stop = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut samples = tokio::time::interval(load::PERIOD);
        samples.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sampler = Sampler::default();
        let mut datagram = vec![0; 2048];
        loop {
            let wake = self.core.next_tick().saturating_sub(now());
            let out = tokio::select! {
                heard = lan.socket.recv_from(&mut datagram) => match heard {
                    Ok((length, SocketAddr::V6(from))) => self.core.datagram(now(), from, &datagram[..length]),
                    Ok(_) => Vec::new(),
                    // An error of an earlier send comes back here; it says nothing about what is to be heard.
                    Err(error) => { tracing::debug!(%error, "receiving"); Vec::new() }
                },
                () = tokio::time::sleep(wake) => self.core.tick(now()),
                _ = samples.tick() => {
                    if let Some(sample) = sampler.look() {
                        self.core.sample(sample.runnable_milli, sample.memory_free_kib);
                        self.watch_links();
                        views.send_replace(self.view());
                    }
                    Vec::new()
                }
                Some(wish) = wished.recv() => self.fulfil(wish),
                event = events.recv() => {
                    // Without its overlay the node is of no use; the supervisor starts both anew.
                    let out = self.take_event(event.context("the helper has ended")?);
                    views.send_replace(self.view());
                    out
                }
                _ = stop.recv() => {
                    for output in self.core.leave(now()) {
                        if let Output::Send { to, datagram } = output { lan.send(to, &datagram).await; }
                    }
                    return Ok(());
                }
            };
            if self.carry_out(&lan, out).await? {
                views.send_replace(self.view());
            }
        }
    }

    fn watch_links(&mut self) {
        let present = links::present();
        if present != self.links {
            tracing::info!(links = present.len(), "the links have changed");
            self.links = present;
            self.core.link_changed(now());
        }
        self.core.set_addresses(now(), &addresses::own());
    }

    fn view(&self) -> ClusterView {
        ClusterView { refused_edit: self.refused_edit.clone(), ..self.core.view(self.joined_at) }
    }

    fn fulfil(&mut self, wish: Wish) -> Vec<Output> {
        let (answer, out) = match wish.what {
            What::Set { key, value } => wish::set(&mut self.core, (&key, value), now()),
            What::Join(address) => {
                let seed = links::port_of(address);
                if !self.joined.contains(&seed) {
                    self.joined.push(seed);
                }
                // The next beacon goes at once, and by all ways.
                self.beacons = 0;
                self.core.link_changed(now());
                (AgentAnswer::Done, Vec::new())
            }
        };
        let _gone_away = wish.answer.send(answer);
        out
    }

    fn take_event(&mut self, event: Event) -> Vec<Output> {
        match event {
            Event::Edit(edit) => self.take_edit(edit),
            Event::Seeds(seeds) => {
                self.seeds = seeds.into_iter().map(links::port_of).collect();
                self.core.link_changed(now());
                Vec::new()
            }
            // It was the first, and comes once.
            Event::Hello { .. } => Vec::new(),
        }
    }

    fn ask(&self, request: Request) -> Result<()> {
        self.requests.send(request).context("asking the helper")
    }

    /// What somebody has edited holds for the cluster, or is refused.
    fn take_edit(&mut self, edit: Edit) -> Vec<Output> {
        match edit {
            Edit::Settings(changes) => {
                self.refused_edit = None;
                // They were checked already.
                changes
                    .into_iter()
                    .filter_map(|(key, value)| self.core.set(now(), key, value).ok())
                    .flatten()
                    .collect()
            }
            Edit::Refused(why) => {
                tracing::warn!("{why}");
                self.refused_edit = Some(why);
                Vec::new()
            }
        }
    }

    /// Does what the core asks for; says whether the members have changed.
    async fn carry_out(&mut self, lan: &Lan, out: Vec<Output>) -> Result<bool> {
        let mut changed = false;
        for output in out {
            match output {
                Output::Send { to, datagram } => lan.send(to, &datagram).await,
                Output::Beacon { datagram, to_seeds, alone } => {
                    if self.links.is_empty() {
                        self.watch_links();
                    }
                    lan.beacon(&self.links, &datagram).await;
                    // Each way is tried until there is somebody, and now and then for whom the first does not reach.
                    if alone || self.beacons.is_multiple_of(EACH_WAY) {
                        lan.broadcast(&datagram).await;
                        for seed in self.seeds.iter().chain(&self.joined) {
                            lan.send(*seed, &to_seeds).await;
                        }
                    }
                    self.beacons += 1;
                }
                Output::Peer { facts, heard_at } => self.ask(Request::Peer { facts, heard_at })?,
                Output::Forget(facts) => self.ask(Request::Forget(facts))?,
                Output::Config(config) => {
                    changed = true;
                    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
                    tracing::info!(revision = %config.revision, members = names.join(" "), "the cluster has changed");
                    if config.nodes.len() > 1 && self.joined_at.is_none() {
                        let uptime = facts::uptime();
                        self.joined_at = Some(uptime);
                        self.announce(&format!(
                            "joined cluster `{}`, {} nodes, {uptime:.1} s after the kernel started",
                            config.cluster,
                            config.nodes.len()
                        ));
                    }
                    self.ask(Request::Config(config))?;
                }
            }
        }
        Ok(changed)
    }

    /// One line for whoever watches the console.
    fn announce(&mut self, line: &str) {
        tracing::info!("{line}");
        if let Some(console) = &mut self.console {
            let _console_is_optional = console.write_all(format!("<5>brant: {line}\n").as_bytes());
        }
    }
}
