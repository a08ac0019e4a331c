//! What is known of clusters between two commands: a folder for each, and who keeps it.
//!
//! ```text
//! target/clusters/NAME/keeper.lock   held by the keeper while it lives; its process id inside
//!                      plan.json     what the cluster is made of
//!                      node1/…       one machine's sockets, logs and lock files; `ended` once QEMU has
//! ```

use crate::cluster::args::{BootMedium, ClusterName, FirmwareKind, NodeName};
use crate::cluster::console_log::ConsoleLog;
use crate::failure::{Advice, Kind};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use brant_qemu::accelerator::Accelerator;
use brant_qemu::machine::{Drive, Extras, Firmware, Machine};
use brant_qemu::segment::Segment;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Written by the keeper when a machine has ended; says how.
pub(crate) const ENDED: &str = "ended";
pub(crate) const LOCK: &str = "keeper.lock";
pub(crate) const PLAN: &str = "plan.json";

/// All that a cluster is made of; every look-up has been done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The cluster's name.
    pub name: ClusterName,
    /// The image, as an absolute path.
    pub iso: PathBuf,
    /// What starts the machines.
    pub firmware: FirmwareKind,
    /// The UEFI code, and the variables to start with.
    pub uefi: Option<(PathBuf, PathBuf)>,
    /// How the machines meet the image.
    pub boot: BootMedium,
    /// What runs them.
    pub accelerator: Accelerator,
    /// Their network.
    pub segment: Segment,
    /// Whether it has a DHCP server.
    pub dhcp: bool,
    /// Memory of each in MiB.
    pub memory_mib: u32,
    /// Virtual processors of each.
    pub cpus: u32,
    /// What each has besides.
    #[serde(default)]
    pub extras: Extras,
    /// The machines.
    pub nodes: Vec<PlannedNode>,
}

/// One machine of a plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedNode {
    /// The host's name for it.
    pub name: NodeName,
    /// Its hardware address.
    pub mac: String,
    /// Its processor, in QEMU's words, where it is to be another than usual.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// What it boots, where that is another image than the others'.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// Its network, where that is another than the others'.
    #[serde(default)]
    pub segment: Option<Segment>,
}

impl Plan {
    /// The machine that a node is.
    pub(crate) fn machine(&self, node: &PlannedNode) -> Machine {
        let firmware = match &self.uefi {
            Some((code, _)) if self.firmware == FirmwareKind::UefiSecureBoot => {
                Firmware::UefiSecureBoot { code: code.clone() }
            }
            Some((code, _)) => Firmware::Uefi { code: code.clone() },
            None => Firmware::Bios,
        };
        Machine {
            name: format!("{}-{}", self.name, node.name),
            accelerator: self.accelerator,
            cpus: self.cpus,
            memory_mib: self.memory_mib,
            firmware,
            drive: match self.boot {
                BootMedium::Cdrom => Drive::Cdrom,
                BootMedium::Disk => Drive::Disk,
                BootMedium::Usb => Drive::Usb,
                BootMedium::Kernel => Drive::Kernel,
                BootMedium::Network => Drive::Network,
                BootMedium::NetworkUrl => Drive::NetworkUrl,
            },
            image: node.image.as_ref().unwrap_or(&self.iso).clone(),
            segment: node.segment.unwrap_or(self.segment),
            mac: node.mac.clone(),
            cpu_model: node.cpu_model.clone(),
            extras: self.extras.clone(),
        }
    }
}

/// The folder of all clusters.
#[derive(Debug, Clone)]
pub(crate) struct Clusters {
    folder: PathBuf,
}

impl Clusters {
    /// The clusters of this source tree.
    ///
    /// # Errors
    /// There is no source tree around.
    pub(crate) fn find() -> Result<Self> {
        Ok(Self { folder: Workspace::find()?.target().join("clusters") })
    }

    /// The cluster of this name, whether it exists or not.
    pub(crate) fn cluster(&self, name: &ClusterName) -> Cluster {
        Cluster { name: name.clone(), folder: self.folder.join(name.to_string()) }
    }

    /// The clusters that have a folder, by name.
    pub(crate) fn all(&self) -> Result<Vec<Cluster>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("listing `{}`", self.folder.display()))?,
        };
        let mut names: Vec<ClusterName> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        names.sort_by_key(ToString::to_string);
        Ok(names.iter().map(|name| self.cluster(name)).collect())
    }
}

/// One cluster's folder.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) name: ClusterName,
    folder: PathBuf,
}

impl Cluster {
    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A node's folder.
    pub(crate) fn node_folder(&self, node: NodeName) -> PathBuf {
        self.folder.join(node.to_string())
    }

    /// What it is made of, if it exists.
    pub(crate) fn plan(&self) -> Result<Option<Plan>> {
        let path = self.folder.join(PLAN);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading `{}`", path.display()))?,
        };
        serde_json::from_slice(&text).map(Some).with_context(|| format!("understanding `{}`", path.display()))
    }

    /// The folder of a node that is part of it.
    pub(crate) fn existing_node(&self, node: NodeName) -> Result<PathBuf> {
        let Some(plan) = self.plan()? else {
            return Err(Advice::new(
                Kind::Input,
                format!("looking for cluster `{}`: there is none", self.name),
            )
            .hint("`brant-image cluster list` shows what there is, `brant-image cluster create` makes one")
            .error());
        };
        if plan.nodes.iter().any(|planned| planned.name == node) {
            return Ok(self.node_folder(node));
        }
        let count = plan.nodes.len();
        let what = format!("looking for {node} in cluster `{}`: it has node1 to node{count}", self.name);
        Err(Advice::new(Kind::Input, what).error())
    }

    /// The process id of its keeper, while that lives.
    pub(crate) fn keeper(&self) -> Result<Option<i32>> {
        let path = self.folder.join(LOCK);
        let mut lock = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            lock => lock.with_context(|| format!("opening `{}`", path.display()))?,
        };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(None),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno).with_context(|| format!("testing `{}`", path.display())),
        }
        let mut pid = String::new();
        lock.read_to_string(&mut pid).with_context(|| format!("reading `{}`", path.display()))?;
        pid.trim().parse().map(Some).with_context(|| format!("understanding `{}`", path.display()))
    }

    /// How a node's machine ended, if it did.
    pub(crate) fn ended(&self, node: NodeName) -> Option<String> {
        fs::read_to_string(self.node_folder(node).join(ENDED)).ok().map(|text| text.trim().to_owned())
    }

    /// What a node's serial line has said so far.
    pub(crate) fn console_log(&self, node: NodeName) -> ConsoleLog {
        let log = fs::read(self.node_folder(node).join(brant_qemu::machine::CONSOLE_LOG)).unwrap_or_default();
        ConsoleLog::new(&String::from_utf8_lossy(&log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_not_there_has_no_keeper_and_no_plan() {
        let folder = tempfile::TempDir::new().unwrap();
        let clusters = Clusters { folder: folder.path().join("clusters") };
        let cluster = clusters.cluster(&"none".parse().unwrap());
        assert!(cluster.plan().unwrap().is_none());
        assert_eq!(cluster.keeper().unwrap(), None);
        assert!(cluster.existing_node("1".parse().unwrap()).is_err());
        assert!(clusters.all().unwrap().is_empty());
    }
}
