//! `brant why`.

use crate::ask;
use anyhow::{Context, Result, bail};
use brant_types::migration::{UserAnswer, UserRequest};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant why`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process.
    pid: i32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Says whether a process can move; exit status 1 when it cannot.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let answer = ask::migrationd(&UserRequest::Why { pid: arguments.pid })?;
    if arguments.json {
        ask::print_json(&answer)?;
        return Ok(if matches!(answer, UserAnswer::CanMove { .. }) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        });
    }
    match answer {
        UserAnswer::CanMove { pid } => {
            let line = format!(
                "{pid} can move; the balancer moves it once it has computed for 3 s and another node is idler"
            );
            writeln!(std::io::stdout(), "{line}").context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
        UserAnswer::Stayed(refused) | UserAnswer::Denied(refused) => Ok(ask::refuse(&refused)),
        other => bail!("migrationd answered something else: {other:?}"),
    }
}
