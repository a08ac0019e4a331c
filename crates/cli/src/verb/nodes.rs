//! `brant nodes`.

use crate::ask;
use crate::table::render;
use anyhow::{Context, Result};
use brant_types::agent::{NodeState, NodeView};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant nodes`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the nodes.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let view = ask::agent()?;
    if arguments.json {
        ask::print_json(&view)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = view.nodes.iter().map(row).collect();
    let table = render(&HEADS, &NUMBERS, &rows);
    let mut out = std::io::stdout();
    write!(out, "{table}").context("printing")?;
    if view.nodes.len() == 1 {
        writeln!(out, "No other node of cluster `{}` was heard so far.", view.cluster).context("printing")?;
    }
    for applicant in &view.applicants {
        writeln!(out, "{} asks to be admitted: sudo brant admit {0}", applicant.name).context("printing")?;
    }
    for other in &view.other_versions {
        eprintln!("note: {other}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the columns are.
pub(super) const HEADS: [&str; 7] = ["NODE", "STATE", "CORES", "LOAD", "MEMORY", "FREE", "ADDRESS"];
/// Which of them are numbers.
pub(super) const NUMBERS: [usize; 4] = [2, 3, 4, 5];

pub(super) fn row(node: &NodeView) -> Vec<String> {
    let gib = |kib: u64| format!("{:.1} GiB", kib as f64 / 1_048_576.0);
    vec![
        format!("{}{}", node.name, if node.me { " (this one)" } else { "" }),
        match node.state {
            NodeState::Alive => "alive".to_owned(),
            NodeState::Down => "down".to_owned(),
        },
        node.cores.to_string(),
        node.load
            .map_or_else(|| "-".to_owned(), |load| format!("{:.2}", f64::from(load.runnable_milli) / 1000.0)),
        gib(node.memory_kib),
        node.load.map_or_else(|| "-".to_owned(), |load| gib(load.memory_free_kib)),
        node.overlay.to_string(),
    ]
}
