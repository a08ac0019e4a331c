//! The arguments of `cluster` and its verbs, as typed.

use brant_qemu::machine::Extras;
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The cluster that is meant when none is named.
const DEFAULT: &str = "default";

/// Run machines from an image, on this host.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterArgs {
    /// Start machines from an image, and return when all of them answer.
    Create(CreateArgs),
    /// List the clusters and their nodes.
    List(ListArgs),
    /// Run a command in a node; works without the node's network.
    Exec(ExecArgs),
    /// Sit down at a node's serial console.
    Console(NodeArgs),
    /// Cut a node's power.
    Kill(NodeArgs),
    /// End a cluster and remove all that belongs to it.
    Destroy(DestroyArgs),
    /// Own the machines of a cluster; `create` starts this by itself.
    #[command(hide = true)]
    Keep,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The cluster's name.
    #[arg(value_name = "NAME", default_value = DEFAULT)]
    pub name: ClusterName,
    #[command(flatten)]
    pub machines: MachineArgs,
    /// Give the network segment a DHCP server.
    #[arg(long)]
    pub dhcp: bool,
    /// How many seconds the nodes may take to answer [default: by the number of nodes and the host's speed].
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// What the machines are, for every verb that starts some.
#[derive(Debug, Clone, Args)]
pub(crate) struct MachineArgs {
    /// The image to boot [default: what `build` made last].
    #[arg(long, value_name = "FILE")]
    pub iso: Option<PathBuf>,
    /// How many machines.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub nodes: u8,
    /// What starts the machines.
    #[arg(long, value_enum, default_value_t = FirmwareKind::Bios)]
    pub firmware: FirmwareKind,
    /// How they meet the image.
    #[arg(long, value_enum, default_value_t = BootMedium::Cdrom)]
    pub boot: BootMedium,
    /// Memory of each machine in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..))]
    pub memory: u32,
    /// Virtual processors of each machine.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: u32,
    /// The processor of a machine, as QEMU names it (`-cpu`); given several times, the machines take them in turn
    /// [default: the host's own, or `qemu64` without virtualisation].
    #[arg(long = "cpu", value_name = "MODEL")]
    pub cpu_models: Vec<String>,
    /// What each has besides.
    #[arg(skip)]
    pub extras: Extras,
    /// A folder with `OVMF_CODE_4M.fd` and `OVMF_VARS_4M.fd`, or `code.fd` and `vars.fd`, for UEFI [default: $OVMF_DIR].
    #[arg(long, value_name = "FOLDER")]
    pub ovmf_dir: Option<PathBuf>,
}

impl MachineArgs {
    /// So many ordinary machines, for a test: the old BIOS, a CD, one processor, memory in MiB.
    pub(crate) fn plain(iso: Option<PathBuf>, nodes: u8, memory: u32) -> Self {
        Self {
            iso,
            nodes,
            firmware: FirmwareKind::Bios,
            boot: BootMedium::Cdrom,
            memory,
            cpus: 1,
            cpu_models: Vec::new(),
            extras: Extras::default(),
            ovmf_dir: None,
        }
    }
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Run it on a terminal.
    #[arg(short, long)]
    pub terminal: bool,
    /// As this user.
    #[arg(short, long, default_value = "root")]
    pub(crate) user: String,
    /// In this folder [default: the user's home].
    #[arg(short, long, value_name = "FOLDER")]
    pub folder: Option<OsString>,
    /// Set a variable in the command's environment.
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub environment: Vec<(String, String)>,
    #[command(flatten)]
    pub node: NodeArgs,
    /// The command and its arguments [default: the user's shell].
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// A node of a cluster.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node: `node1`, or `1`.
    pub node: NodeName,
    /// The cluster.
    #[arg(short = 'n', long, default_value = DEFAULT)]
    pub name: ClusterName,
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// The cluster.
    #[arg(value_name = "NAME", default_value = DEFAULT)]
    pub name: ClusterName,
}

/// What starts a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FirmwareKind {
    /// The PC's old BIOS.
    Bios,
    /// UEFI.
    Uefi,
    /// UEFI with Secure Boot and Microsoft's keys, by Debian's package ovmf.
    UefiSecureBoot,
}

/// How a machine meets its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BootMedium {
    /// In a CD drive.
    Cdrom,
    /// On a disk.
    Disk,
    /// On a USB stick.
    Usb,
    /// Not at all: its kernel is started by hand, for tests.
    #[value(skip)]
    Kernel,
    /// Not at all: they boot over the network, by their firmware's PXE.
    #[value(skip)]
    Network,
    /// Not at all: they boot over the network, from a URL.
    #[value(skip)]
    NetworkUrl,
}

impl fmt::Display for FirmwareKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bios => "BIOS",
            Self::Uefi => "UEFI",
            Self::UefiSecureBoot => "UEFI with Secure Boot",
        })
    }
}

impl fmt::Display for BootMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cdrom => "CD",
            Self::Disk => "disk",
            Self::Usb => "USB stick",
            Self::Kernel => "no medium",
            Self::Network => "PXE",
            Self::NetworkUrl => "a URL",
        })
    }
}

/// A cluster's name on this host: letters, digits, `-` and `_`, because it names a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ClusterName(String);

/// Text that is no cluster's name.
#[derive(Debug, thiserror::Error)]
#[error("a cluster's name is 1 to 32 letters, digits, `-` or `_`, the first a letter or digit")]
pub(crate) struct BadClusterName;

impl FromStr for ClusterName {
    type Err = BadClusterName;

    fn from_str(text: &str) -> Result<Self, BadClusterName> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = begins_well && text.len() <= 32 && text.chars().all(good);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadClusterName) }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClusterName {
    type Error = BadClusterName;
    fn try_from(text: String) -> Result<Self, BadClusterName> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

/// The host's name for a node: `node1`, `node2`, … The names that the nodes give themselves are another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct NodeName(u8);

/// Text that is no node's name.
#[derive(Debug, thiserror::Error)]
#[error("a node is named `node1`, `node2` and so on, or by its number")]
pub(crate) struct BadNodeName;

impl NodeName {
    /// The names of this many nodes.
    pub(crate) fn first(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).map(Self)
    }

    /// Its number, from 1.
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, BadNodeName> {
        let number = text.strip_prefix("node").unwrap_or(text);
        match number.parse() {
            Ok(number @ 1..) if !text.contains('+') => Ok(Self(number)),
            _ => Err(BadNodeName),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node{}", self.0)
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadNodeName;
    fn try_from(text: String) -> Result<Self, BadNodeName> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.to_string()
    }
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a variable is set by NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_number_with_or_without_the_word() {
        assert_eq!("2".parse::<NodeName>().unwrap().to_string(), "node2");
        assert_eq!("node12".parse::<NodeName>().unwrap().number(), 12);
        for bad in ["", "node", "node0", "0", "nodeX", "+1", "300"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clusters_name_stays_inside_its_folder() {
        assert!("two-1_b".parse::<ClusterName>().is_ok());
        for bad in ["", ".", "..", "a/b", "-n", "a b", &"x".repeat(33)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_need_a_name() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("=c").is_err());
        assert!(variable("A").is_err());
    }
}
