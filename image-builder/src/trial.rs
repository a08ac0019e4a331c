//! `try`: from a fresh checkout to a cluster to look at, in one command.

use crate::build;
use crate::cluster::args::CreateArgs;
use crate::cluster::create;
use crate::host::{self, HostTool};
use crate::progress::Progress;
use anyhow::Result;
use clap::Args;

const QEMU: HostTool = HostTool { file: "qemu-system-x86_64", package: "qemu-system-x86" };

/// Arguments of `try`.
#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    #[command(flatten)]
    create: CreateArgs,
}

/// Installs what is missing, builds the image unless one is given, boots a cluster, and says what to type next.
///
/// # Errors
/// What the build or the cluster failed of; then no machine is left running.
pub(crate) fn run(args: &TryArgs) -> Result<()> {
    host::require(&[QEMU], true, &Progress::new())?;
    if args.create.machines.iso.is_none() {
        build::run_apart()?;
    }
    create::run(&args.create)?;
    let name = args.create.name.to_string();
    let option = if name == "default" { String::new() } else { format!("--name {name} ") };
    let lines = [
        ("look at the nodes", format!("cluster exec {option}node1 -- brant nodes")),
        ("work as an ordinary user on node 1", format!("cluster exec -t -u brant {option}node1")),
        ("sit at its console", format!("cluster console {option}node1")),
        ("take it all down", format!("cluster destroy {}", if name == "default" { "" } else { &name })),
    ];
    eprintln!("\nA cluster of {} nodes runs. Next:", args.create.machines.nodes);
    for (what, verb) in lines {
        eprintln!("  {what:<36} cargo run --release -- {}", verb.trim_end());
    }
    eprintln!("\nStart something that computes there, in the background, and watch it with `brant ps`:");
    eprintln!("  for n in 1 2 3; do gawk 'BEGIN {{ while (i++ < 2e9) s += i % 7; print s }}' > out$n & done");
    Ok(())
}
