//! The helper: does, in order and as root, what the agent asks for, and looks after the files that people and `init` write.

mod applicant;
mod clock;
mod cluster_folder;
mod files;
mod firewall;
mod handed_over;
mod identity;
mod nfs;
mod overlay;
mod shared_file;
mod ssh;

use crate::door::{self, Event, Request};
use anyhow::{Context, Result};
use brant_sys::signal::{SIGTERM, SignalQueue};
use brant_types::boot::Admitted;
use brant_types::cluster::{ClusterConfig, NodeEntry};
use brant_types::node::{ClusterId, NodeFacts, NodeId, is_node_name};
use clock::Clock;
use cluster_folder::ClusterFolder;
use handed_over::HandOver;
use identity::Identity;
use overlay::Overlay;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use shared_file::SharedFile;
use ssh::Ssh;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How often the files that others write are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Serves the agent at the other end of standard input; ends with it.
pub(crate) fn run() -> Result<()> {
    // It ends with the agent, which still has to say goodbye when both are told to stop.
    let _unheard = SignalQueue::new(&[SIGTERM]).context("putting SIGTERM off")?;
    let agent = std::io::stdin().as_fd().try_clone_to_owned().context("taking the agent's socket")?;
    let agent = UnixStream::from(agent);
    let boot = crate::facts()?;
    let key = Identity::obtain()?;
    let Some(secret) = boot.secret.clone() else {
        return applicant::serve(agent, &key);
    };
    let cluster = ClusterId::of(&secret);
    let settings = shared_file::remembered(&boot.cluster, cluster);
    tell(&agent, &Event::Hello { public: key.public, incarnation: key.incarnation, settings })?;
    // Before there is anything to be kept off from.
    firewall::raise(cluster.network())?;
    let me = NodeId::of(&key.public);
    let overlay = Overlay::up(&secret, &key)?;
    let (address, network) = (cluster.overlay_address(me), cluster.network());
    // Joining works without the export, and does not wait for it.
    std::thread::Builder::new()
        .name("export".to_owned())
        .spawn(move || nfs::serve(address, network))
        .context("starting a thread")?;
    let ssh = Ssh::begin(&secret, me).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        None
    });
    let helper = Helper {
        agent,
        cluster,
        me,
        overlay,
        shared: SharedFile::new(),
        handed_over: HandOver::default(),
        ssh,
        clock: Clock::start(cluster, me)?,
        folder: ClusterFolder::new(me),
        unkept: None,
    };
    helper.serve()
}

fn tell(mut agent: &UnixStream, event: &Event) -> Result<()> {
    agent.write_all(&door::line(event)?).context("telling the agent")
}

/// Reads what has come within this time; says whether the agent is still there.
fn hear(mut agent: &UnixStream, read: &mut Vec<u8>, patience: Duration) -> Result<bool> {
    let timeout =
        Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    let mut fds = [PollFd::new(agent, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(0) | Err(Errno::INTR) => return Ok(true),
        Ok(_) => {}
        Err(errno) => return Err(errno).context("waiting for the agent"),
    }
    let mut chunk = [0; 1 << 16];
    let length = agent.read(&mut chunk).context("hearing the agent")?;
    read.extend_from_slice(&chunk[..length]);
    Ok(length > 0)
}

struct Helper {
    agent: UnixStream,
    cluster: ClusterId,
    me: NodeId,
    overlay: Overlay,
    shared: SharedFile,
    handed_over: HandOver,
    ssh: Option<Ssh>,
    clock: Clock,
    folder: ClusterFolder,
    /// A newer secret that is not kept yet, or not followed by ssh.
    unkept: Option<Admitted>,
}

impl Helper {
    fn serve(mut self) -> Result<()> {
        let mut read = Vec::new();
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look();
            }
            if !hear(&self.agent, &mut read, LOOK_EVERY.saturating_sub(looked.elapsed()))? {
                return Ok(());
            }
            while let Some(request) = door::take(&mut read)? {
                if request == Request::Drop {
                    applicant::drop_secret()?;
                    return tell(&self.agent, &Event::Dropped);
                }
                if let Err(error) = self.fulfil(request) {
                    tracing::error!("{error:#}");
                }
            }
        }
    }

    fn look(&mut self) {
        match self.shared.look() {
            Ok(edit) => self.tell_all(edit.map(Event::Edit)),
            Err(error) => tracing::error!("{error:#}"),
        }
        if let Err(error) = self.keep_secret() {
            tracing::error!("{error:#}");
        }
        // What waits for a program that starts at its own time.
        if let Some(Err(error)) = self.ssh.as_mut().map(Ssh::certify_host) {
            tracing::error!("{error:#}");
        }
        if let Some(facts) = self.handed_over.if_changed() {
            self.clock.ask(facts.time_servers);
            self.tell_all([Event::Seeds(facts.seeds), Event::Name(facts.host_name)]);
        }
    }

    /// An agent that has gone is noticed when it is heard next.
    fn tell_all(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if let Err(error) = tell(&self.agent, &event) {
                tracing::debug!("{error:#}");
            }
        }
    }

    fn fulfil(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Peer { facts, heard_at } => {
                self.check(&facts)?;
                self.overlay.peer(&facts, heard_at)
            }
            Request::Secret(admitted) => {
                anyhow::ensure!(
                    ClusterId::of(&admitted.secret) == self.cluster,
                    "the agent asks for another cluster's secret"
                );
                self.overlay.next(&admitted.secret);
                self.unkept = Some(admitted);
                self.keep_secret()
            }
            Request::Rekey(facts) => {
                self.check(&facts)?;
                self.overlay.rekey(&facts.key)
            }
            Request::RekeyAll => self.overlay.rekey_all(),
            Request::Drop => Ok(()),
            Request::Admitted(_) => anyhow::bail!("the agent of a member asks to be admitted"),
            Request::Forget(facts) => {
                self.check(&facts)?;
                Overlay::forget(&facts)
            }
            Request::Config(config) => {
                self.check_all(&config)?;
                self.shared.write(&config)?;
                files::write_hosts(&config, self.me)?;
                self.clock.follow(&config);
                self.folder.follow(&config)?;
                self.ssh.as_mut().map_or(Ok(()), |ssh| ssh.follow(&config))
            }
        }
    }

    /// Keeps a newer secret, and has ssh follow it; what fails is tried again.
    fn keep_secret(&mut self) -> Result<()> {
        let Some(admitted) = &self.unkept else { return Ok(()) };
        // What comes back, because a newer one could not be kept, is there still.
        let is_there = crate::facts()?.secret.as_ref() == Some(&admitted.secret);
        let kept = if is_there { Ok(()) } else { applicant::keep(admitted.clone()) };
        let renewed = self.ssh.as_mut().map_or(Ok(()), |ssh| ssh.renew(&admitted.secret));
        if kept.is_ok() {
            tell(&self.agent, &Event::Kept(admitted.secret.mark()))?;
        }
        kept.and(renewed)?;
        self.unkept = None;
        Ok(())
    }

    /// Only what the agent could have from another node.
    fn check(&self, facts: &NodeFacts) -> Result<()> {
        anyhow::ensure!(
            facts.id == NodeId::of(&facts.key) && facts.id != self.me && is_node_name(&facts.name),
            "the agent asks for a peer that cannot be"
        );
        Ok(())
    }

    fn check_all(&self, config: &ClusterConfig) -> Result<()> {
        let good = |node: &NodeEntry| {
            is_node_name(&node.name) && node.overlay == self.cluster.overlay_address(node.id)
        };
        anyhow::ensure!(config.nodes.iter().all(good), "the agent asks for a configuration that cannot be");
        Ok(())
    }
}
