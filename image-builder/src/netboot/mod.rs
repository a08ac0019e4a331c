//! `brant-image netboot`: a finished ISO taken apart into the tree of files that PCs boot from over the network.
//!
//! ```text
//! BIOS, PXE    lpxelinux.0 ── ldlinux.c32, menu.c32, pxelinux.cfg/default ┐
//! UEFI, PXE    bootx64.efi (shim) ── grubx64.efi ── grub/grub.cfg ────────┼─▶ vmlinuz, initrd.img ─▶ (root.squashfs)
//! UEFI, HTTP   brant.iso, which is a disk to the firmware
//! ```
//!
//! What goes over a network in clear carries no secret, unless that is asked for.

mod menus;
mod tree;

pub(crate) use tree::{ISO, SUMS, make, root_on_medium};

use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Take an ISO apart into the files that PCs boot from over the network (PXE by BIOS and UEFI, UEFI HTTP boot).
///
/// `brant-image serve` serves them; so does any other TFTP or HTTP server, with the DHCP options of `dnsmasq.conf`.
#[derive(Debug, Args)]
pub(crate) struct NetbootArgs {
    /// The ISO [default: what `build` made last].
    #[arg(value_name = "ISO")]
    iso: Option<PathBuf>,
    /// Where the files go [default: a folder beside the ISO, named after it].
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Leave the cluster's secret in: whoever can reach the server can read it, and join.
    #[arg(long)]
    with_secret: bool,
}

/// Does it.
///
/// # Errors
/// Not one of our ISOs, or no room; a tree that was there before stays as it was.
pub(crate) fn run(args: &NetbootArgs) -> Result<()> {
    let iso = match &args.iso {
        Some(iso) => iso.clone(),
        None => Workspace::find()?.image("compute"),
    };
    let folder = args.output.clone().unwrap_or_else(|| iso.with_extension("netboot"));
    let tree = make(&iso, &folder, args.with_secret, None)
        .with_context(|| format!("making `{}` from `{}`", folder.display(), iso.display()))?;
    let what_to_do =
        if args.with_secret { "the ISO itself has none" } else { "`--with-secret` leaves it in" };
    if !tree.has_secret {
        eprintln!(
            "no secret is in it: PCs that boot from it ask to be admitted, by `brant admit` on a node ({what_to_do})"
        );
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", folder.display()).context("saying where it is")
}
