//! `brant ps`.

use crate::ask;
use crate::table::render;
use anyhow::{Context, Result, bail};
use brant_types::migration::{ProcessList, ProcessState, ProcessView, Refused, UserAnswer, UserRequest};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant ps`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also list processes that have ended, or whose move failed.
    #[arg(long, short)]
    all: bool,
    /// Print JSON; everything that is remembered.
    #[arg(long)]
    json: bool,
}

/// Lists the processes.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let list = match ask()? {
        Ok(list) => list,
        Err(refused) => return Ok(ask::refuse(&refused)),
    };
    if arguments.json {
        ask::print_json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> =
        list.processes.iter().filter(|process| arguments.all || lives(process)).map(row).collect();
    let mut out = std::io::stdout();
    if rows.is_empty() {
        writeln!(out, "No process has moved from here or to here.").context("printing")?;
    } else {
        write!(out, "{}", render(&HEADS, &NUMBERS, &rows)).context("printing")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the columns are.
pub(super) const HEADS: [&str; 8] =
    ["PID", "USER", "HOME", "RUNS ON", "STATE", "CPU HOME", "CPU AWAY", "COMMAND"];
/// Which of them are numbers.
pub(super) const NUMBERS: [usize; 3] = [0, 5, 6];

fn ask() -> Result<Result<ProcessList, Refused>> {
    match ask::migrationd(&UserRequest::Ps)? {
        UserAnswer::Processes(list) => Ok(Ok(list)),
        UserAnswer::Denied(refused) => Ok(Err(refused)),
        other => bail!("migrationd answered something else: {other:?}"),
    }
}

fn lives(process: &ProcessView) -> bool {
    !matches!(process.state, ProcessState::Ended | ProcessState::Stayed)
}

/// Those that have not ended.
pub(super) fn living() -> Result<Vec<ProcessView>> {
    let list = ask()?.map_err(|refused| anyhow::anyhow!(refused.message))?;
    Ok(list.processes.into_iter().filter(lives).collect())
}

pub(super) fn row(process: &ProcessView) -> Vec<String> {
    let state = match process.state {
        ProcessState::Moving => "moving",
        ProcessState::Away => "away",
        ProcessState::Guest => "guest",
        ProcessState::Ended => "ended",
        ProcessState::Stayed => "stayed",
    };
    vec![
        process.pid.to_string(),
        process.user.clone(),
        process.home.clone(),
        process.node.clone(),
        state.to_owned(),
        format!("{:.1} s", process.cpu_seconds_home),
        format!("{:.1} s", process.cpu_seconds_away),
        if process.args.is_empty() { process.comm.clone() } else { process.args.chars().take(60).collect() },
    ]
}
