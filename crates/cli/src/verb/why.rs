//! `brant why`.

use crate::ask;
use anyhow::{Context, Result, bail};
use brant_types::migration::{UserAnswer, UserRequest};
use brant_types::settings::{Key, Settings};
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
        UserAnswer::CanMove { pid, members, sleeper } => {
            let along = match members {
                0 | 1 => String::new(),
                2 => ", with its child".to_owned(),
                _ => format!(", with its {} descendants", members - 1),
            };
            let line = match sleeper {
                None => format!("{pid} can move{along}; {}", by_itself(&ask::agent()?.settings)),
                Some(sleeper) => format!("{pid} can move{along}, but only by hand: {}", waits(sleeper)),
            };
            writeln!(std::io::stdout(), "{line}").context("printing")?;
            Ok(ExitCode::SUCCESS)
        }
        UserAnswer::Stayed(refused) | UserAnswer::Denied(refused) => Ok(ask::refuse(&refused)),
        other => bail!("migrationd answered something else: {other:?}"),
    }
}

/// When it moves without anybody asking.
fn by_itself(settings: &Settings) -> String {
    if settings.balances() {
        let after = settings.value(Key::BalanceAfter);
        format!("the balancer moves it once it has computed for {after} s and another node is idler")
    } else {
        "but only by hand: the cluster's balancer is off (`brant set balance on`)".to_owned()
    }
}

/// What a move does to a process that waits until a time.
pub(crate) fn waits(sleeper: i32) -> String {
    format!(
        "process {sleeper} waits until a time (sleep, poll), and a move ends that wait early or begins it anew"
    )
}
