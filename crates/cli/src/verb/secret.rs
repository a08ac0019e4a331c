//! `brant secret rotate`, `brant secret show`, and `brant forget`.

use crate::ask;
use anyhow::{Context, Result, ensure};
use brant_types::agent::{AgentAnswer, AgentRequest, RotationView};
use brant_types::boot::BootFacts;
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
    /// The nodes, by their names or ids.
    #[arg(required = true)]
    nodes: Vec<String>,
}

/// Does it.
pub(crate) fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Rotate => rotate(&[]),
        Verb::Show => show(),
    }
}

/// Leaves nodes out for good: all others get another secret.
pub(crate) fn forget(arguments: &Forget) -> Result<ExitCode> {
    rotate(&arguments.nodes)
}

fn rotate(without: &[String]) -> Result<ExitCode> {
    let request = AgentRequest::Rotate { without: without.to_vec() };
    if let AgentAnswer::Refused(refused) = ask::agent_for(&request)? {
        return Ok(ask::refuse(&refused));
    }
    let since = Instant::now();
    loop {
        let late = since.elapsed() >= PATIENCE;
        // What is shown may be a moment old.
        let Some(RotationView { taken, of, .. }) = ask::agent()?.rotation else {
            ensure!(!late, "following the new secret: it is not to be seen");
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        if taken == of || late {
            let mut out = std::io::stdout();
            for node in without {
                writeln!(out, "{node} is left out; to come back it has to start from a medium with the new secret, or without any")
                    .context("printing")?;
            }
            writeln!(out, "the cluster has another secret; {taken} of {of} nodes have it")
                .context("printing")?;
            eprintln!(
                "note: media with the secret before join no more. For new ones, in a shell of root's: umask 077; brant secret show > FILE"
            );
            eprintln!("      and then: brant-image customise ISO --secret-file FILE");
            return Ok(if taken == of { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn show() -> Result<ExitCode> {
    let facts = BootFacts::read(|path| std::fs::read_to_string(path))
        .context("looking for the secret, as only root can")?;
    let secret = facts.secret.context("this node has no cluster secret")?;
    writeln!(std::io::stdout(), "{}", secret.reveal()).context("printing")?;
    Ok(ExitCode::SUCCESS)
}
