//! The agent: hears the LAN, and is the one task that owns the membership core.

mod addresses;
mod admitting;
mod applicant;
mod confine;
mod console;
mod facts;
mod helper;
mod links;
mod load;
mod socket;
mod wish;

use crate::door::{Edit, Event, Request};
use admitting::Admitting;
use anyhow::{Context, Result};
use applicant::Opened;
use brant_membership::admission;
use brant_membership::core::{Instant, Membership, Output};
use brant_types::agent::{AgentAnswer, ClusterView};
use brant_types::boot::Admitted;
use console::Console;
use helper::Helper;
use links::{Lan, LinkIndex};
use load::Sampler;
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use wish::{What, Wish};

/// Runs until it is told to stop; says goodbye to the cluster then.
pub(crate) fn run() -> Result<()> {
    // A node that computes must not be taken for dead; the agent itself hardly computes.
    if let Err(errno) = rustix::process::nice(-10) {
        tracing::warn!(%errno, "going before the node's other processes");
    }
    let boot = crate::facts()?;
    let (helper, me) = Helper::start()?;
    let (udp, listener) = (links::open()?, socket::listen()?);
    let console = Console::open();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the event loop")?;
    confine::give_up_rights()?;
    let facts = facts::gather(&boot, me.public)?;
    tracing::info!(name = %facts.name, id = %facts.id, cores = facts.cores, speed = facts.speed, "this node");
    let Some(secret) = boot.secret.clone() else {
        return applicant::run(facts, &boot.seeds, helper, Opened { udp, listener, console, runtime });
    };
    let mut core = Membership::new(&boot.cluster, &secret, facts, me.incarnation, random(), now());
    // Nobody is there yet to be told.
    let _nobody = core.remember(now(), &me.settings);
    let service = Service {
        core,
        admitting: Admitting::new(Admitted { cluster: boot.cluster.clone(), secret }),
        requests: helper.requests(),
        console,
        joined_at: None,
        links: BTreeSet::new(),
        seeds: Vec::new(),
        joined: Vec::new(),
        beacons: 0,
        refused_edit: None,
        dropping: None,
        coming: None,
        versions_told: BTreeSet::new(),
    };
    runtime.block_on(service.run(udp, listener, helper))
}

fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What keys, codes and nonces are made of.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // The kernel's random numbers were ready before the root was mounted; without them nothing here is safe.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .unwrap_or_else(|errno| panic!("the kernel gives no random bytes: {errno}"));
    bytes
}

/// How many beacons go by multicast alone for each that goes by all ways.
const EACH_WAY: u64 = 4;
/// How long an answer may take to its reader before the agent ends.
const ANSWERING: Duration = Duration::from_millis(200);
/// Of how many nodes of another version the console tells.
const MOST_TOLD: usize = 16;

struct Service {
    core: Membership,
    admitting: Admitting,
    requests: mpsc::UnboundedSender<Request>,
    console: Console,
    joined_at: Option<f64>,
    links: BTreeSet<LinkIndex>,
    /// Where else to look for the cluster.
    seeds: Vec<SocketAddrV6>,
    /// Seeds that somebody has typed.
    joined: Vec<SocketAddrV6>,
    beacons: u64,
    refused_edit: Option<String>,
    /// Who waits for the secret to be dropped.
    dropping: Option<oneshot::Sender<AgentAnswer>>,
    /// A newer secret that the helper has not kept yet; nobody is admitted to it before.
    coming: Option<Admitted>,
    /// Whose version was spoken of already.
    versions_told: BTreeSet<Ipv6Addr>,
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
            let due = self.core.next_tick();
            let wake = self.admitting.next_tick().map_or(due, |other| other.min(due)).saturating_sub(now());
            let out = tokio::select! {
                heard = lan.socket.recv_from(&mut datagram) => match heard {
                    Ok((length, SocketAddr::V6(from))) if admission::is_admission(&datagram[..length]) => {
                        let out = self.admitting.datagram(now(), from, &datagram[..length]);
                        send_all(&lan, out).await;
                        Vec::new()
                    }
                    Ok((length, SocketAddr::V6(from))) => self.core.datagram(now(), from, &datagram[..length]),
                    Ok(_) => Vec::new(),
                    // An error of an earlier send comes back here; it says nothing about what is to be heard.
                    Err(error) => { tracing::debug!(%error, "receiving"); Vec::new() }
                },
                () = tokio::time::sleep(wake) => {
                    let out = self.admitting.tick(now());
                    send_all(&lan, out).await;
                    self.core.tick(now())
                }
                _ = samples.tick() => {
                    if let Some(sample) = sampler.look() {
                        self.core.sample(sample.runnable_milli, sample.memory_free_kib);
                        self.watch_links();
                        self.tell_of_versions();
                        views.send_replace(self.view());
                    }
                    Vec::new()
                }
                Some(wish) = wished.recv() => self.fulfil(&lan, wish).await,
                event = events.recv() => {
                    if let Some(Event::Dropped) = event {
                        self.say_goodbye(&lan).await;
                        let _gone_away = self.dropping.take().map(|answer| answer.send(AgentAnswer::Done));
                        // Its answer is on its way; the supervisor starts both anew.
                        tokio::time::sleep(ANSWERING).await;
                        return Ok(());
                    }
                    // Without its overlay the node is of no use; the supervisor starts both anew.
                    let out = self.take_event(event.context("the helper has ended")?);
                    views.send_replace(self.view());
                    out
                }
                _ = stop.recv() => {
                    self.say_goodbye(&lan).await;
                    return Ok(());
                }
            };
            if self.carry_out(&lan, out).await? {
                views.send_replace(self.view());
            }
        }
    }

    async fn say_goodbye(&mut self, lan: &Lan) {
        for output in self.core.leave(now()) {
            if let Output::Send { to, datagram } = output {
                lan.send(to, &datagram).await;
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
        ClusterView {
            refused_edit: self.refused_edit.clone(),
            applicants: self.admitting.applicants(),
            ..self.core.view(self.joined_at)
        }
    }

    async fn fulfil(&mut self, lan: &Lan, Wish { what, answer }: Wish) -> Vec<Output> {
        let (said, out) = match what {
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
            What::Rotate { without } => wish::rotate(&mut self.core, &without, now()),
            What::Drop => {
                // Whoever waits hears nothing but that the agent has ended, if the helper cannot.
                self.dropping = Some(answer);
                for request in [Request::Config(self.core.alone()), Request::Drop] {
                    if let Err(error) = self.ask(request) {
                        tracing::error!("{error:#}");
                    }
                }
                return Vec::new();
            }
            What::Admit { node, code } => {
                let out = self.admitting.begin(now(), (&node, &code), answer);
                send_all(lan, out).await;
                return Vec::new();
            }
        };
        let _gone_away = answer.send(said);
        out
    }

    /// Once for each node that cannot take part because of its version.
    fn tell_of_versions(&mut self) {
        for other in self.core.other_versions() {
            if self.versions_told.len() < MOST_TOLD && self.versions_told.insert(other.address) {
                self.console.show(&other.to_string());
            }
        }
    }

    fn take_event(&mut self, event: Event) -> Vec<Output> {
        match event {
            Event::Edit(edit) => self.take_edit(edit),
            Event::Seeds(seeds) => {
                self.seeds = seeds.into_iter().map(links::port_of).collect();
                self.core.link_changed(now());
                Vec::new()
            }
            Event::Name(name) => self.core.rename(now(), &name),
            Event::Kept(mark) => {
                if let Some(kept) = self.coming.take_if(|coming| coming.secret.mark() == mark) {
                    self.admitting.admit_to(kept);
                }
                self.core.kept(now(), &mark)
            }
            // The first comes once, and with the last the agent ends.
            Event::Hello { .. } | Event::Dropped => Vec::new(),
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
                Output::Rekey(facts) => self.ask(Request::Rekey(facts))?,
                Output::RekeyAll => self.ask(Request::RekeyAll)?,
                Output::Secret(secret) => {
                    tracing::info!(generation = secret.generation(), "the cluster has another secret");
                    let keep = Admitted { cluster: self.core.config().cluster.clone(), secret };
                    self.coming = Some(keep.clone());
                    self.ask(Request::Secret(keep))?;
                }
                Output::Config(config) => {
                    changed = true;
                    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
                    tracing::info!(revision = %config.revision, members = names.join(" "), "the cluster has changed");
                    if config.nodes.len() > 1 && self.joined_at.is_none() {
                        let uptime = facts::uptime();
                        self.joined_at = Some(uptime);
                        self.console.note(&format!(
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
}

async fn send_all(lan: &Lan, datagrams: Vec<(SocketAddrV6, Vec<u8>)>) {
    for (to, datagram) in datagrams {
        lan.send(to, &datagram).await;
    }
}
