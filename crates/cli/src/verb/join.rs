//! `brant join`.

use crate::ask;
use anyhow::{Context, Result};
use brant_types::agent::{AgentAnswer, AgentRequest, NodeState};
use brant_types::node::NodeId;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a node there may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `brant join`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The address of a node of this cluster, on whatever network.
    address: IpAddr,
}

/// Looks for the cluster at an address, and waits until somebody answers.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let before = alive()?;
    let request = AgentRequest::Join { address: arguments.address };
    if let AgentAnswer::Refused(refused) = ask::agent_for(&request)? {
        return Ok(ask::refuse(&refused));
    }
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let now = alive()?;
        let new: Vec<&str> =
            now.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, name)| name.as_str()).collect();
        if !new.is_empty() {
            writeln!(std::io::stdout(), "joined {}", new.join(", ")).context("printing")?;
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    eprintln!("brant: nobody new has answered from {} within {} s", arguments.address, PATIENCE.as_secs());
    eprintln!(
        "hint: it goes on being asked; a node there needs the same secret, the same version, and UDP ports 4727 and 51820"
    );
    Ok(ExitCode::from(1))
}

fn alive() -> Result<BTreeMap<NodeId, String>> {
    let nodes = ask::agent()?.nodes.into_iter().filter(|node| node.state == NodeState::Alive);
    Ok(nodes.map(|node| (node.id, node.name)).collect())
}
