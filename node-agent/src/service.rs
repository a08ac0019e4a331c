//! The event loop: the one task that owns the membership core.

use crate::addresses;
use crate::facts;
use crate::identity::Identity;
use crate::links::{self, Lan, LinkIndex};
use crate::load::{self, Sampler};
use crate::shared_file::{self, Edit};
use crate::socket;
use crate::wish::{self, What, Wish};
use crate::worker::Worker;
use anyhow::{Context, Result, bail};
use brant_membership::core::{Instant, Membership, Output};
use brant_types::agent::{AgentAnswer, ClusterView};
use brant_types::node::ClusterId;
use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::mpsc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc as asynchronous, watch};

/// Runs until it is told to stop; says goodbye to the cluster then.
pub(crate) fn run() -> Result<()> {
    let boot = facts::boot()?;
    let Some(secret) = boot.secret.clone() else {
        bail!(
            "this image carries no cluster secret, so the node stays alone; build it with `brant-image build`"
        );
    };
    let key = Identity::obtain()?;
    let me = facts::gather(&boot, &key)?;
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .context("asking for random bytes")?;
    let mut core = Membership::new(&boot.cluster, &secret, me.clone(), key.incarnation, seed, now());
    // Nobody is there yet to be told.
    let _nobody = core.remember(now(), &shared_file::remembered(&boot.cluster, ClusterId::of(&secret)));
    let (jobs, inbox) = mpsc::channel();
    let (edits, edited) = asynchronous::unbounded_channel();
    jobs.send(Output::Config(core.config().clone())).context("starting the worker")?;
    let worker = Worker { secret, key, edits };
    std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            if let Err(error) = worker.run(&inbox) {
                // Without an overlay the node is of no use; the supervisor starts the agent again.
                tracing::error!("{error:#}");
                std::process::exit(1);
            }
        })
        .context("starting the worker")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the event loop")?;
    tracing::info!(name = %me.name, id = %me.id, cores = me.cores, speed = me.speed, "this node");
    let service = Service {
        core,
        jobs,
        edited,
        joined_at: None,
        links: BTreeSet::new(),
        seeds: Vec::new(),
        joined: Vec::new(),
        boot_facts: facts::Watched::default(),
        beacons: 0,
        refused_edit: None,
    };
    runtime.block_on(service.run())
}

fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How many beacons go by multicast alone for each that goes by all ways.
const EACH_WAY: u64 = 4;

struct Service {
    core: Membership,
    jobs: mpsc::Sender<Output>,
    edited: asynchronous::UnboundedReceiver<Edit>,
    joined_at: Option<f64>,
    links: BTreeSet<LinkIndex>,
    /// Where else to look for the cluster.
    seeds: Vec<SocketAddrV6>,
    /// Seeds that somebody has typed.
    joined: Vec<SocketAddrV6>,
    boot_facts: facts::Watched,
    beacons: u64,
    refused_edit: Option<String>,
}

impl Service {
    async fn run(mut self) -> Result<()> {
        let lan = Lan::open().await?;
        let (views, watched) = watch::channel(self.view());
        let (wishes, mut wished) = asynchronous::channel::<Wish>(1);
        tokio::spawn(socket::serve(socket::listen()?, watched, wishes));
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
                Some(edit) = self.edited.recv() => {
                    let out = self.take_edit(edit);
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
        // A DHCP server may have told of more.
        if let Some(seeds) = self.boot_facts.seeds_if_changed() {
            self.seeds = seeds.into_iter().map(links::port_of).collect();
            self.core.link_changed(now());
        }
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
                Output::Peer { .. } | Output::Forget(_) => {
                    self.jobs.send(output).context("handing on to the worker")?;
                }
                Output::Config(config) => {
                    changed = true;
                    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
                    tracing::info!(revision = %config.revision, members = names.join(" "), "the cluster has changed");
                    if config.nodes.len() > 1 && self.joined_at.is_none() {
                        let uptime = facts::uptime();
                        self.joined_at = Some(uptime);
                        announce(&format!(
                            "joined cluster `{}`, {} nodes, {uptime:.1} s after the kernel started",
                            config.cluster,
                            config.nodes.len()
                        ));
                    }
                    self.jobs.send(Output::Config(config)).context("handing on to the worker")?;
                }
            }
        }
        Ok(changed)
    }
}

/// One line for whoever watches the console.
fn announce(line: &str) {
    tracing::info!("{line}");
    let _console_is_optional = std::fs::write("/dev/kmsg", format!("<5>brant: {line}\n"));
}
