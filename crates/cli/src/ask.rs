//! Asking the node's two daemons.

use anyhow::{Context, Result, bail};
use brant_types::agent::{AGENT_SOCKET, AgentAnswer, AgentRequest, ClusterView};
use brant_types::migration::{MIGRATIOND_SOCKET, Refused, UserAnswer, UserRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// The cluster as this node sees it.
///
/// # Errors
/// There is no agent, or this node is none of a cluster's; that error has the agent's own words.
pub(crate) fn agent() -> Result<ClusterView> {
    match agent_for(&AgentRequest::View)? {
        Shown::View(view) => Ok(*view),
        Shown::Answer(AgentAnswer::Refused(refused)) => {
            let hint = refused.hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            bail!("{}{hint}", refused.message)
        }
        Shown::Answer(AgentAnswer::Done) => bail!("node-agent shows nothing"),
    }
}

/// What the agent says when it is asked for a view.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown {
    View(Box<ClusterView>),
    Answer(AgentAnswer),
}

/// What node-agent answers to another question.
pub(crate) fn agent_for<A: DeserializeOwned>(request: &AgentRequest) -> Result<A> {
    ask(AGENT_SOCKET, "node-agent", request)
}

/// The daemon that moves processes.
pub(crate) fn migrationd(request: &UserRequest) -> Result<UserAnswer> {
    ask(MIGRATIOND_SOCKET, "migrationd", request)
}

fn ask<A: DeserializeOwned>(socket: &str, who: &str, question: &impl Serialize) -> Result<A> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "connecting to {who} at `{socket}` (is this a node of a Brant cluster, and up for some seconds?)"
        )
    })?;
    let mut line = serde_json::to_vec(question).context("writing the question")?;
    line.push(b'\n');
    stream.write_all(&line).with_context(|| format!("asking {who}"))?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).with_context(|| format!("waiting for {who}"))?;
    serde_json::from_str(&answer).with_context(|| format!("understanding {who}"))
}

/// Prints for programs: one JSON value.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    writeln!(std::io::stdout(), "{text}").context("printing")
}

/// Prints a refusal for its reader: the sentence, and what to do. The exit status is 1.
pub(crate) fn refuse(refused: &Refused) -> ExitCode {
    eprintln!("brant: {}", refused.message);
    if let Some(hint) = &refused.hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(1)
}
