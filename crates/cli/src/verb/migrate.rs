//! `brant migrate`.

use super::why::waits;
use crate::ask;
use anyhow::{Context, Result, bail};
use brant_types::migration::{UserAnswer, UserRequest};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant migrate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process.
    pid: i32,
    /// The node: its name, or the start of its id.
    node: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Moves a process, and waits until it runs there.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.json
        && let UserAnswer::CanMove { sleeper: Some(sleeper), .. } =
            ask::migrationd(&UserRequest::Why { pid: arguments.pid })?
    {
        eprintln!("note: {}", waits(sleeper));
    }
    let request = UserRequest::Migrate { pid: arguments.pid, node: arguments.node.clone() };
    let answer = ask::migrationd(&request)?;
    if arguments.json {
        ask::print_json(&answer)?;
        return Ok(if matches!(answer, UserAnswer::Moved(_)) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        });
    }
    match answer {
        UserAnswer::Moved(record) => {
            let line = format!(
                "{} runs on {} now; it stood still for {} ms",
                record.pid, record.to, record.frozen_ms
            );
            writeln!(std::io::stdout(), "{line}").context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
        UserAnswer::Stayed(refused) | UserAnswer::Denied(refused) => Ok(ask::refuse(&refused)),
        other => bail!("migrationd answered something else: {other:?}"),
    }
}
