//! The arguments of `smoke`, as typed.

use crate::cluster::args::{ClusterName, MachineArgs};
use clap::Args;

/// Arguments of `smoke`.
#[derive(Debug, Args)]
pub(crate) struct SmokeArgs {
    #[command(flatten)]
    pub machines: MachineArgs,
    /// The name of the cluster that is started for it.
    #[arg(short = 'n', long, default_value = "smoke")]
    pub name: ClusterName,
    /// Give the network segment a DHCP server.
    #[arg(long)]
    pub dhcp: bool,
    /// How many seconds each of the four jobs shall compute, about, when it has a processor for itself.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=3600))]
    pub job_seconds: u32,
    /// Only look at the cluster itself; move no processes.
    #[arg(long)]
    pub cluster_only: bool,
    /// Use the running cluster NAME, and leave it running, instead of starting one.
    #[arg(long)]
    pub attach: bool,
    /// Leave the cluster running when a step has failed, to look at it.
    #[arg(long)]
    pub keep_failed: bool,
}
