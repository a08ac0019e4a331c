//! What the daemon knows of its own node and of the others.

use crate::secrets::Secrets;
use anyhow::{Context, Result, anyhow};
use brant_types::agent::{
    AGENT_SOCKET, AgentAnswer, AgentRequest, ClusterView, NOT_ADMITTED, NodeState, NodeView,
};
use brant_types::boot::{BootFacts, upper_folder};
use brant_types::node::NodeId;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// This node, and the newest view of the cluster.
#[derive(Debug, Clone)]
pub struct Node {
    /// What `init` handed over.
    pub boot: Arc<BootFacts>,
    view: Arc<Mutex<ClusterView>>,
    /// The cluster's secret.
    pub(crate) secrets: Secrets,
}

fn hand_over() -> Result<BootFacts> {
    BootFacts::read(|path| std::fs::read_to_string(path)).context("looking what init has handed over")
}

impl Node {
    /// What this node is called in the cluster now: a DHCP server may name it after its start, and another may have that name.
    pub fn name(&self) -> String {
        self.me().map_or_else(|_| self.boot.host_name.clone(), |me| me.name)
    }

    /// What a node is called in the cluster now, if it is a member.
    pub(crate) fn name_of(&self, id: NodeId) -> Option<String> {
        self.view().nodes.into_iter().find(|node| node.id == id).map(|node| node.name)
    }

    /// Waits for node-agent, then follows it on a thread of its own.
    ///
    /// # Errors
    /// When the hand-over file cannot be read.
    pub fn follow() -> Result<Self> {
        let mut views = Views::default();
        let first = loop {
            match views.next() {
                Ok(view) => break view,
                Err(error) => tracing::debug!("waiting for node-agent: {error:#}"),
            }
            std::thread::sleep(Duration::from_millis(300));
        };
        // Now, for a node that had to be admitted had no secret before.
        let boot = hand_over()?;
        let secrets = Secrets::default();
        secrets.look(&boot);
        let node = Self { boot: Arc::new(boot), view: Arc::new(Mutex::new(first)), secrets };
        let (shared, secrets) = (Arc::clone(&node.view), node.secrets.clone());
        std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || {
                loop {
                    match views.next() {
                        Ok(view) => {
                            *shared.lock().unwrap_or_else(PoisonError::into_inner) = view;
                            // A view comes each second: so soon a changed secret is noticed.
                            match hand_over() {
                                Ok(facts) => secrets.look(&facts),
                                Err(error) => tracing::warn!("{error:#}"),
                            }
                        }
                        Err(error) if error.is::<NotAdmitted>() => {
                            tracing::info!(
                                "this node has left its cluster; migrationd begins anew, and waits"
                            );
                            std::process::exit(0);
                        }
                        Err(error) => {
                            tracing::warn!("following node-agent: {error:#}");
                            std::thread::sleep(Duration::from_secs(1));
                        }
                    }
                }
            })
            .context("starting a thread")?;
        Ok(node)
    }

    /// The newest view of the cluster.
    pub fn view(&self) -> ClusterView {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This node in that view.
    ///
    /// # Errors
    /// When the agent does not list this node, which it always does.
    pub fn me(&self) -> Result<NodeView> {
        self.view()
            .nodes
            .into_iter()
            .find(|node| node.me)
            .ok_or_else(|| anyhow!("node-agent does not list this node"))
    }

    /// Whether a node is a living member, as far as this node knows.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.view().nodes.iter().any(|node| node.id == id && node.state == NodeState::Alive)
    }

    /// A node by its id.
    pub fn by_id(&self, id: NodeId) -> Option<NodeView> {
        self.view().nodes.into_iter().find(|node| node.id == id)
    }

    /// A living node by name, or by the start of its id.
    pub fn find(&self, name: &str) -> Option<NodeView> {
        let view = self.view();
        let mut by_id =
            view.nodes.iter().filter(|node| name.len() >= 4 && node.id.to_string().starts_with(name));
        let found = view
            .nodes
            .iter()
            .find(|node| node.name == name)
            .or_else(|| by_id.next().filter(|_| by_id.next().is_none()));
        found.filter(|node| node.state == NodeState::Alive).cloned()
    }

    /// Whether `/usr` is as it is in the image: the overlay's upper layer has nothing of it.
    pub fn usr_untouched(&self) -> bool {
        let upper = upper_folder(&self.boot.image_id);
        let upper = Path::new(&upper);
        upper.is_dir()
            && std::fs::read_dir(upper.join("usr")).map_or(true, |mut entries| entries.next().is_none())
    }
}

/// The node is in no cluster, and asks to be admitted to one.
#[derive(Debug, thiserror::Error)]
#[error("this node waits to be admitted to a cluster")]
struct NotAdmitted;

#[derive(Default)]
struct Views {
    stream: Option<BufReader<UnixStream>>,
}

impl Views {
    fn next(&mut self) -> Result<ClusterView> {
        let outcome = self.read();
        if outcome.is_err() {
            self.stream = None;
        }
        outcome
    }

    fn read(&mut self) -> Result<ClusterView> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let mut stream = UnixStream::connect(AGENT_SOCKET).context("connecting to node-agent")?;
                let mut question = serde_json::to_vec(&AgentRequest::Watch).context("writing a question")?;
                question.push(b'\n');
                stream.write_all(&question).context("asking node-agent")?;
                none.insert(BufReader::new(stream))
            }
        };
        let mut line = String::new();
        stream.read_line(&mut line).context("reading from node-agent")?;
        if let Ok(AgentAnswer::Refused(refused)) = serde_json::from_str(&line)
            && refused.reason == NOT_ADMITTED
        {
            return Err(NotAdmitted.into());
        }
        serde_json::from_str(&line).context("understanding node-agent")
    }
}
