//! `brant admit`.

use crate::ask;
use anyhow::{Context, Result};
use brant_types::agent::{AgentAnswer, AgentRequest, ClusterView};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Arguments of `brant admit`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The node, by its name or its id; without one, those that ask are listed.
    node: Option<String>,
}

/// Asks for the code that a node shows, and gives that node the cluster's secret if it is right.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let view = ask::agent()?;
    let Some(node) = &arguments.node else { return list(&view) };
    if std::io::stdin().is_terminal() {
        eprint!("The code that {node} shows on its screen: ");
    }
    // From the input, for what stands on a command line can be read by everybody.
    let mut code = String::new();
    std::io::stdin().read_line(&mut code).context("reading the code")?;
    let request = AgentRequest::Admit { node: node.clone(), code: code.trim().to_owned() };
    match ask::agent_for(&request)? {
        AgentAnswer::Done => {
            writeln!(std::io::stdout(), "{node} has been admitted to cluster `{}`, and joins", view.cluster)
                .context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
        AgentAnswer::Refused(refused) => Ok(ask::refuse(&refused)),
    }
}

fn list(view: &ClusterView) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    if view.applicants.is_empty() {
        writeln!(out, "Nobody asks to be admitted.").context("printing")?;
    }
    for applicant in &view.applicants {
        writeln!(out, "{}  {}  {}", applicant.name, applicant.id, applicant.address).context("printing")?;
    }
    Ok(ExitCode::SUCCESS)
}
