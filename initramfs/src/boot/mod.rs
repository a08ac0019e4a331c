//! From the kernel's start to the running root: what PID 1 does in the initramfs.
//!
//! ```text
//! early mounts → command line → (root in the initramfs: mounted) → modules by modalias → links up → (stick's settings)
//!     → root (squashfs + overlay) → hand-over → switch
//! ```
//! It ends in `init supervise` on the new root, or in the rescue shell. Nothing here waits for the network, unless the root comes
//! by it.

mod checksum;
mod early;
mod hand_over;
mod identity;
mod root;
mod site;
mod switch;
mod verify;

use crate::command_line::CommandLine;
use crate::devices::{self, Uevents};
use crate::modules::Modules;
use crate::report;
use crate::rescue::Step;
use anyhow::{Context, Result, anyhow};
use brant_types::boot::ImageFacts;
use std::fs;

pub(crate) use root::LOWER;

const RESCUE: Step = Step {
    doing: "stopping for a rescue shell",
    remedy: "To start the node, restart the PC without `brant.rescue`.",
};
const VERIFY: Step = Step {
    doing: "checking the medium",
    remedy: "Restart the PC; if it fails again, write the image to the medium anew.",
};
const DRIVERS: Step = Step {
    doing: "loading drivers",
    remedy: "The image may be damaged: write it to the medium anew, or restart the PC from another port.",
};
const ROOT: Step = Step {
    doing: "mounting the root",
    remedy: "Write the image to the medium anew, or to another one; give the machine at least 1 GB of memory.",
};

/// Boots; returns only with the reason why it could not.
pub(crate) fn run() -> Result<()> {
    early::mount_all()?;
    root::make_folders()?;
    let mut line = command_line()?;
    let image = image_facts()?;
    report::say(&format!(
        "Brant {}, profile {}, image {}",
        image.version,
        image.profile,
        short(&image.image_id)
    ));
    if line.rescue {
        let asked = anyhow!("`brant.rescue` is on the kernel command line");
        return Err(asked.context(RESCUE));
    }
    let root_facts = root::facts().context(ROOT)?;
    let mut modules = for_the_root(&line).context(DRIVERS)?;
    let carried = root::mount_carried(&root_facts).context(ROOT)?;
    if carried.is_some() {
        // It has all modules, and they need not be in the initramfs once more.
        modules = Modules::open(root::LOWER, &line).context(DRIVERS)?;
    }
    let mut uevents = load_drivers(&mut modules).context(DRIVERS)?;
    if line.verify {
        return verify::run(&image, &line, &mut modules, &mut uevents).context(VERIFY);
    }
    let root_is_there = carried.is_some() || line.server.is_some();
    let (site, persistence) =
        site::find(&mut line, (&image.image_id, !root_is_there), &mut modules, &mut uevents)?;
    let persistence = persistence.filter(|_| !line.forgetful);
    let lower = match carried {
        Some(lower) => lower,
        None => root::mount_found(&root_facts, &line, persistence.is_some(), &mut modules, &mut uevents)
            .context(ROOT)?,
    };
    let new_root = root::assemble(lower, &image.image_id, persistence.as_ref()).context(ROOT)?;
    let identity = identity::Identity::kept_or_drawn(new_root.path(), line.name.as_deref())?;
    let facts = hand_over::gather(&line, &image, &identity, &new_root, site)?;
    hand_over::write(&new_root, &facts).context(ROOT)?;
    let never = switch::into(new_root, image.system).context(ROOT)?;
    match never {}
}

/// The kernel's command line, with a complaint about words that mean nothing.
fn command_line() -> Result<CommandLine> {
    let text = fs::read_to_string("/proc/cmdline").context("reading the kernel command line")?;
    let line = CommandLine::parse(&text);
    for word in &line.unknown {
        report::complain(&format!("the kernel argument `{word}` means nothing here"));
    }
    Ok(line)
}

fn image_facts() -> Result<ImageFacts> {
    let text =
        fs::read_to_string("/brant/image.toml").context("reading `/brant/image.toml` in the initramfs")?;
    toml::from_str(&text).context("reading `/brant/image.toml` in the initramfs")
}

/// What every root needs.
fn for_the_root(line: &CommandLine) -> Result<Modules> {
    let mut modules = Modules::open("/", line)?;
    for name in ["loop", "squashfs", "overlay"] {
        modules.load(name).with_context(|| format!("loading what the root needs (`{name}`)"))?;
    }
    Ok(modules)
}

/// Only what the way into the cluster needs; the service `devices` loads the rest when the node already runs.
fn load_drivers(modules: &mut Modules) -> Result<Uevents> {
    // Opened before the walk, so that a device that turns up meanwhile is not missed.
    let mut uevents = Uevents::open()?;
    let mut count = modules.load_for_devices(devices::comes_first);
    while let Some(event) = uevents.take()? {
        let modalias = event.modalias.filter(|modalias| devices::comes_first(modalias));
        count += modalias.map_or(0, |modalias| modules.load_for(&modalias));
    }
    report::say(&format!("{count} modules loaded for network and random numbers"));
    for failure in crate::net::links::bring_up_all()? {
        report::complain(&failure);
    }
    Ok(uevents)
}

/// The beginning of an image id, enough for a person to compare two.
fn short(image_id: &str) -> &str {
    image_id.get(..12).unwrap_or(image_id)
}
