//! `brant secret rotate`, `brant secret drop`, `brant secret show`, and `brant forget`.

use crate::ask;
use anyhow::{Context, Result, bail, ensure};
use brant_types::agent::{AgentAnswer, AgentRequest, RotationView};
use brant_types::boot::BootFacts;
use brant_types::migration::{ProcessList, ProcessState, ProcessView, UserAnswer, UserRequest};
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
    /// Have this node leave its cluster, forget the secret, and ask to be admitted to one.
    Drop,
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
        Verb::Drop => leave(),
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
    let (since, mut seen) = (Instant::now(), false);
    loop {
        let late = since.elapsed() >= PATIENCE;
        // What is shown may be a moment old.
        let Some(RotationView { taken, of, .. }) = ask::agent()?.rotation else {
            ensure!(!seen, "the new secret could not be kept on this node: nothing has changed");
            ensure!(!late, "following the new secret: it is not to be seen");
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        seen = true;
        // Nobody is told before it is kept here; that it is not, is known after half a minute.
        let late = late && (taken > 0 || since.elapsed() >= 4 * PATIENCE);
        if taken == of || late {
            let mut out = std::io::stdout();
            for node in without {
                writeln!(out, "{node} is left out; to come back: on it, `brant secret drop`, and admit it; or start it from a new medium")
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

/// Not while processes would be lost by it, as far as is known at this moment.
fn leave() -> Result<ExitCode> {
    let answer = ask::migrationd(&UserRequest::Ps)?;
    let UserAnswer::Processes(ProcessList { processes }) = answer else {
        bail!("migrationd shows no processes")
    };
    let bound = |view: &&ProcessView| {
        matches!(view.state, ProcessState::Moving | ProcessState::Away | ProcessState::Guest)
    };
    let bound: Vec<String> = processes.iter().filter(bound).map(|view| view.pid.to_string()).collect();
    if !bound.is_empty() {
        eprintln!(
            "brant: these processes are away from this node, or guests on it, and would be lost: {}",
            bound.join(", ")
        );
        eprintln!("hint: `brant migrate PID home`, on their home node, brings each back");
        return Ok(ExitCode::from(1));
    }
    let cluster = ask::agent()?.cluster;
    match ask::agent_for(&AgentRequest::Drop)? {
        AgentAnswer::Refused(refused) => Ok(ask::refuse(&refused)),
        AgentAnswer::Done => {
            writeln!(std::io::stdout(), "this node has left cluster `{cluster}`, and asks to be admitted to one; `brant nodes` shows its code")
                .context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show() -> Result<ExitCode> {
    let facts = BootFacts::read(|path| std::fs::read_to_string(path))
        .context("looking for the secret, as only root can")?;
    let secret = facts.secret.context("this node has no cluster secret")?;
    writeln!(std::io::stdout(), "{}", secret.reveal()).context("printing")?;
    Ok(ExitCode::SUCCESS)
}
