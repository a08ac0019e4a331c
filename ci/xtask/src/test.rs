//! `cargo xtask test full`: what `ci/test` does, and all that takes longer than a change may wait for.

use crate::root;
use anyhow::{Result, bail};
use brant_sys::child::{Running, Tool};
use clap::Args;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A part: its name, and what is run from the root of the workspace.
struct Part {
    name: &'static str,
    command: &'static [&'static str],
}

const BRANT_IMAGE: &str = "target/release/brant-image";

/// All parts, in their order: each needs only what those before it have made.
const PARTS: [Part; 21] = [
    Part { name: "every-change", command: &["ci/test"] },
    // Of each size the losses that LANs have; 30 % is for who looks at the table.
    Part {
        name: "clusters",
        command: &["target/release/xtask", "simulate-cluster", "--loss", "0", "--loss", "5"],
    },
    Part { name: "boots", command: &[BRANT_IMAGE, "boots"] },
    Part { name: "meet", command: &[BRANT_IMAGE, "meet"] },
    Part {
        name: "smoke-uefi",
        command: &[BRANT_IMAGE, "smoke", "--firmware", "uefi", "--boot", "usb", "--dhcp"],
    },
    Part { name: "transparency", command: &[BRANT_IMAGE, "prove", "ci/workloads/transparency.toml"] },
    Part { name: "faults", command: &[BRANT_IMAGE, "prove", "ci/workloads/faults.toml"] },
    Part {
        name: "processors-with-more",
        command: &[
            BRANT_IMAGE,
            "prove",
            "ci/workloads/processors.toml",
            "--nodes",
            "2",
            "--cpu",
            "qemu64",
            "--cpu",
            "qemu64,+ssse3",
            "--only",
            "to-one-that-can-do-more,not-back",
        ],
    },
    Part {
        name: "processors-with-less",
        command: &[
            BRANT_IMAGE,
            "prove",
            "ci/workloads/processors.toml",
            "--nodes",
            "2",
            "--cpu",
            "qemu64,+ssse3",
            "--cpu",
            "qemu64",
            "--only",
            "not-to-one-that-can-do-less",
        ],
    },
    Part {
        name: "transparency-uefi",
        command: &[
            BRANT_IMAGE,
            "prove",
            "ci/workloads/transparency.toml",
            "--firmware",
            "uefi",
            "--boot",
            "usb",
            "--cpus",
            "2",
        ],
    },
    Part { name: "standard-image", command: &[BRANT_IMAGE, "build", "--profile", "standard"] },
    Part { name: "boots-standard", command: &[BRANT_IMAGE, "boots", "--iso", "target/brant-standard.iso"] },
    Part {
        name: "cluster-systemd",
        command: &[
            BRANT_IMAGE,
            "smoke",
            "--iso",
            "target/brant-standard.iso",
            "--nodes",
            "2",
            "--cluster-only",
        ],
    },
    Part {
        name: "transparency-systemd",
        command: &[
            BRANT_IMAGE,
            "prove",
            "ci/workloads/transparency.toml",
            "--iso",
            "target/brant-standard.iso",
        ],
    },
    Part { name: "desktop-image", command: &[BRANT_IMAGE, "build", "--profile", "desktop"] },
    Part {
        name: "boots-desktop",
        command: &[
            BRANT_IMAGE,
            "boots",
            "--iso",
            "target/brant-desktop.iso",
            "--only",
            "menu-bios,menu-uefi,cd-bios,usb-uefi-secure-boot",
        ],
    },
    Part { name: "reproducible", command: &["ci/reproducible"] },
    Part { name: "mishaps", command: &["ci/mishaps"] },
    Part { name: "fuzz", command: &["fuzz/run", "600"] },
    Part { name: "corpus-image", command: &[BRANT_IMAGE, "build", "--profile", "corpus"] },
    Part {
        name: "corpus",
        command: &[
            BRANT_IMAGE,
            "prove",
            "ci/workloads/corpus.toml",
            "--iso",
            "target/brant-corpus.iso",
            "--nodes",
            "2",
            "--memory",
            "3072",
            "--boot",
            "usb",
        ],
    },
];

/// Arguments of `test full`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only these parts: every-change, clusters, boots, meet, smoke-uefi, transparency, faults, processors-with-more,
    /// processors-with-less, transparency-uefi, standard-image, boots-standard, cluster-systemd, transparency-systemd,
    /// desktop-image, boots-desktop, reproducible, mishaps, fuzz, corpus-image, corpus.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<String>,
}

/// Runs the parts, also when one has failed, and prints what became of each.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(stranger) = arguments.only.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!("there is no part `{stranger}`; there are: {}", names.join(", "));
    }
    let chosen = |part: &&Part| arguments.only.is_empty() || arguments.only.iter().any(|it| it == part.name);
    let mut outcomes: Vec<(&str, bool, Duration)> = Vec::new();
    for part in PARTS.iter().filter(chosen) {
        eprintln!("=== {}", part.name);
        let start = Instant::now();
        outcomes.push((part.name, perform(part.command), start.elapsed()));
    }
    for (name, passed, took) in &outcomes {
        println!("{:>6} s  {}  {name}", took.as_secs(), if *passed { "passed" } else { "FAILED" });
    }
    let failed = outcomes.iter().filter(|(_, passed, _)| !passed).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    if failed > 0 { bail!("{failed} parts failed") } else { Ok(()) }
}

fn perform(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    let tool = Tool::new(root().join(program)).args(arguments).cwd(root());
    let outcome = tool.stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn().and_then(Running::wait);
    outcome.inspect_err(|error| eprintln!("xtask: {error}")).is_ok()
}
