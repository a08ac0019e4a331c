//! A cluster for a test: one of its own, or one that is up already.

use crate::cluster::args::{ClusterName, CreateArgs, MachineArgs};
use crate::cluster::create::{self, Nascent};
use crate::cluster::node::Node;
use crate::cluster::patience::Patience;
use crate::cluster::state::{Cluster, Clusters, Plan};
use crate::failure::{Advice, Kind};
use anyhow::{Context, Result};
use std::time::Duration;

/// What a test wants.
pub(crate) struct Wanted<'a> {
    /// The cluster's name.
    pub(crate) name: &'a ClusterName,
    /// What its machines are.
    pub(crate) machines: &'a MachineArgs,
    /// Whether its segment has a DHCP server.
    pub(crate) dhcp: bool,
    /// Whether to use the running cluster of that name.
    pub(crate) attach: bool,
}

/// The cluster that a test runs on.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) plan: Plan,
    pub(crate) booted: Duration,
    /// None for a cluster that is not ours to end.
    nascent: Option<Nascent>,
}

impl Stage {
    /// Starts the cluster, or finds it.
    ///
    /// # Errors
    /// What failed; then nothing is left of a cluster that was started here.
    pub(crate) fn set(wanted: &Wanted<'_>) -> Result<Self> {
        if wanted.attach {
            let cluster = Clusters::find()?.cluster(wanted.name);
            let plan = cluster.plan()?.ok_or_else(|| {
                let what = format!("attaching to cluster `{}`: there is none", wanted.name);
                Advice::new(Kind::Input, what).hint("`brant-image cluster list` shows what there is").error()
            })?;
            // How fast it booted is not known any more.
            let booted = Duration::from_secs(8) * plan.accelerator.slowness();
            return Ok(Self { cluster, plan, booted, nascent: None });
        }
        let plan = create::plan(&CreateArgs {
            name: wanted.name.clone(),
            machines: wanted.machines.clone(),
            dhcp: wanted.dhcp,
            timeout: None,
        })?;
        let nascent = Nascent::start(&plan)?;
        let answered = nascent.wait(&plan, create::patience(&plan))?;
        let booted = answered.into_iter().map(|(_, after)| after).max().unwrap_or_default();
        Ok(Self { cluster: nascent.cluster().clone(), plan, booted, nascent: Some(nascent) })
    }

    /// How patient to be with it.
    pub(crate) fn patience(&self) -> Patience {
        Patience::measured(self.booted)
    }

    /// Its nodes.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        Node::all(&self.cluster, &self.plan, self.patience())
    }

    /// Ends the cluster, or leaves it to be looked at.
    pub(crate) fn end(self, keep: bool) {
        let name = self.cluster.name.to_string();
        if let (Some(nascent), true) = (self.nascent, keep) {
            match nascent.release().context("letting the cluster go") {
                Ok(()) => eprintln!("cluster `{name}` is left running"),
                Err(error) => eprintln!("cluster `{name}` could not be left running: {error:#}"),
            }
        }
    }
}
