//! The command line, as typed. Each verb's arguments live beside the verb.

use crate::boots::BootsArgs;
use crate::build::args::BuildArgs;
use crate::cluster::args::ClusterArgs;
use crate::manifest::{DiffArgs, InspectArgs};
use crate::meet::MeetArgs;
use crate::netboot::NetbootArgs;
use crate::profile::verbs::ProfileVerb;
use crate::prove::ProveArgs;
use crate::serve::ServeArgs;
use crate::site::CustomiseArgs;
use crate::smoke::SmokeArgs;
use crate::strangers::StrangersArgs;
use crate::trial::TryArgs;
use crate::usb::UsbArgs;
use crate::write::WriteArgs;
use clap::{Parser, Subcommand};

/// Builds Brant images, and runs QEMU clusters from them.
#[derive(Debug, Parser)]
#[command(name = "brant-image", version, propagate_version = true)]
pub(crate) struct Cli {
    /// Log every child process with its arguments.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `brant-image` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build a bootable image from a profile.
    Build(BuildArgs),
    /// Build the image and boot a cluster from it, to look at; installs what is missing.
    Try(TryArgs),
    /// Write an image onto a stick, and compare what is there then.
    Write(WriteArgs),
    /// Say what an image is, how it boots, and what is in it.
    Inspect(InspectArgs),
    /// Say what changed from one image to another.
    Diff(DiffArgs),
    /// Change what belongs to one site on a finished ISO.
    Customise(CustomiseArgs),
    /// Make an ISO into the image of a USB stick whose settings a person can edit on any computer.
    Usb(UsbArgs),
    /// Take an ISO apart into the files that PCs boot from over the network.
    Netboot(NetbootArgs),
    /// Boot PCs over the network from this one; ends with Ctrl-C.
    Serve(ServeArgs),
    /// List the profiles that an image can be built from.
    Profiles,
    /// Look at a profile, or check one.
    #[command(subcommand)]
    Profile(ProfileVerb),
    /// Run machines from an image, on this host.
    #[command(subcommand)]
    Cluster(ClusterArgs),
    /// Boot a cluster, do the main job on it, and check all that must hold.
    Smoke(SmokeArgs),
    /// Boot nodes on networks of several kinds, and see how they find each other.
    Meet(MeetArgs),
    /// Boot a cluster, and beside it a machine without the secret, which tries what it can, and is admitted then.
    Strangers(StrangersArgs),
    /// Start an image in each of the ways that people start it, and look what comes of it.
    Boots(BootsArgs),
    /// Move programs while they run, and compare what comes out with runs that nobody moved.
    Prove(ProveArgs),
}
