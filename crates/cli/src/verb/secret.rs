//! `brant secret rotate`, `brant secret show`, and `brant forget`.

use crate::ask;
use anyhow::{Context, Result, anyhow};
use brant_types::agent::{AgentAnswer, AgentRequest};
use brant_types::boot::{ADMITTED, BOOT_FACTS, BootFacts};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long nodes may take to say that they have it.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What to do with the secret.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Give the cluster another secret, while it runs; media with the one before join no more.
    Rotate,
    /// Print the secret, for `brant-image customise --secret-file` (root only).
    Show,
}

/// Arguments of `brant forget`.
#[derive(clap::Args)]
pub(crate) struct Forget {
    /// The node, by its name or its id.
    node: String,
}

/// Does it.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Rotate => rotate(None),
        Verb::Show => show(),
    }
}

/// Leaves a node out for good: all others get another secret.
pub(crate) fn forget(arguments: &Forget) -> Result<ExitCode> {
    rotate(Some(&arguments.node))
}

fn rotate(without: Option<&str>) -> Result<ExitCode> {
    let request = AgentRequest::Rotate { without: without.map(str::to_owned) };
    if let AgentAnswer::Refused(refused) = ask::agent_for(&request)? {
        return Ok(ask::refuse(&refused));
    }
    let since = Instant::now();
    loop {
        let rotation = ask::agent()?.rotation.context("following the new secret: it is not to be seen")?;
        let (taken, of) = (rotation.taken, rotation.of);
        if taken == of || since.elapsed() >= PATIENCE {
            let mut out = std::io::stdout();
            if let Some(node) = without {
                writeln!(out, "{node} is left out, and cannot come back but by `brant admit`")
                    .context("printing")?;
            }
            writeln!(out, "the cluster has another secret; {taken} of {of} nodes have it")
                .context("printing")?;
            eprintln!(
                "note: media with the secret before join no more. For new ones: sudo brant secret show > FILE, and"
            );
            eprintln!("      brant-image customise ISO --secret-file FILE");
            return Ok(if taken == of { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn show() -> Result<ExitCode> {
    let text = std::fs::read_to_string(BOOT_FACTS)
        .with_context(|| format!("reading `{BOOT_FACTS}`, which only root can"))?;
    let admitted = std::fs::read_to_string(ADMITTED).ok();
    let facts = BootFacts::understand(&text, admitted.as_deref())
        .map_err(|_| anyhow!("`{BOOT_FACTS}` or `{ADMITTED}` is damaged"))?;
    let secret = facts.secret.context("this node has no cluster secret")?;
    writeln!(std::io::stdout(), "{}", secret.reveal()).context("printing")?;
    Ok(ExitCode::SUCCESS)
}
