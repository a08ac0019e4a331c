//! A node as the smoke test sees it: commands in it, and what Brant says there.

use crate::cluster::args::NodeName;
use crate::cluster::patience::Patience;
use crate::cluster::state::{Cluster, Plan};
use anyhow::{Context, Result, bail};
use brant_qemu::exec::{self, Output};
use brant_qemu::qmp::Qmp;
use brant_types::agent::ClusterView;
use brant_types::exec::{Ending, Start};
use brant_types::migration::ProcessList;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;

/// The image's ordinary user, whose processes may move.
pub(crate) const USER: &str = "brant";
/// Whose processes never move.
pub(crate) const ROOT: &str = "root";

/// One running node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// The host's name for it.
    pub(crate) name: NodeName,
    /// Its machine's folder.
    pub(crate) folder: PathBuf,
    /// How long a short command may take in it.
    pub(crate) patience: Duration,
}

impl Node {
    /// A node of this cluster.
    pub(crate) fn of(cluster: &Cluster, name: NodeName, patience: Patience) -> Self {
        Self { name, folder: cluster.node_folder(name), patience: patience.short_command() }
    }

    /// All nodes of this cluster.
    pub(crate) fn all(cluster: &Cluster, plan: &Plan, patience: Patience) -> Vec<Self> {
        plan.nodes.iter().map(|planned| Self::of(cluster, planned.name, patience)).collect()
    }

    /// What it calls itself.
    pub(crate) fn host_name(&self) -> Result<String> {
        Ok(self.shell(ROOT, "hostname")?.trim().to_owned())
    }

    /// Whether its machine has power.
    pub(crate) fn is_on(&self) -> bool {
        Qmp::connect(&self.folder).is_ok()
    }

    /// Runs a shell script to its end and returns its output; it must succeed.
    pub(crate) fn shell(&self, user: &str, script: &str) -> Result<String> {
        self.shell_within(user, script, b"", self.patience)
    }

    /// Like [`Node::shell`], with an input and a deadline of its own.
    pub(crate) fn shell_within(
        &self,
        user: &str,
        script: &str,
        input: &[u8],
        within: Duration,
    ) -> Result<String> {
        let start = Start {
            arguments: ["bash", "-c", script].map(Into::into).to_vec(),
            user: user.to_owned(),
            ..Start::default()
        };
        let doing = || format!("running `{script}` on {}", self.name);
        let Output { ending, stdout, stderr } =
            exec::run(&self.folder, start, input, within).with_context(doing)?;
        if ending != Ending::Exited(0) {
            let said = String::from_utf8_lossy(&stderr);
            bail!("{}: it ended with {ending:?}, saying: {}", doing(), said.trim_end());
        }
        String::from_utf8(stdout).with_context(doing)
    }

    /// Puts a file into the node.
    pub(crate) fn put(&self, user: &str, path: &str, content: &str) -> Result<()> {
        let within = self.patience;
        self.shell_within(user, &format!("cat > {path}"), content.as_bytes(), within).map(drop)
    }

    /// What `brant nodes` says there.
    pub(crate) fn nodes(&self) -> Result<ClusterView> {
        self.json("brant nodes --json")
    }

    /// What `brant ps` says there, of everybody's processes.
    pub(crate) fn processes(&self) -> Result<ProcessList> {
        self.json("brant ps --json")
    }

    fn json<T: DeserializeOwned>(&self, command: &str) -> Result<T> {
        let said = self.shell(ROOT, command)?;
        serde_json::from_str(&said).with_context(|| {
            format!("understanding what `{command}` says on {}: {}", self.name, said.trim_end())
        })
    }
}

/// A command of a shell that asks whether process `$pid` runs on the node `target`: by the columns, since a number alone is many things.
pub(crate) fn runs_on(target: &str) -> String {
    format!(
        "brant ps | awk -v pid=$pid '$1 == pid && $4 == \"{target}\" {{ there = 1 }} END {{ exit !there }}'"
    )
}
