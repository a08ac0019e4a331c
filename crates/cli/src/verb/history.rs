//! `brant history`.

use crate::ask;
use crate::table::render;
use anyhow::{Context, Result, bail};
use brant_types::migration::{Part, PastMove, UserAnswer, UserRequest};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `brant history`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only of this process.
    pid: Option<i32>,
    /// Print JSON: also each round of memory.
    #[arg(long)]
    json: bool,
}

/// Lists the moves.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut history = match ask::migrationd(&UserRequest::History)? {
        UserAnswer::History(history) => history,
        UserAnswer::Denied(refused) => return Ok(ask::refuse(&refused)),
        other => bail!("migrationd answered something else: {other:?}"),
    };
    history.moves.retain(|past| arguments.pid.is_none_or(|pid| past.pid == pid));
    if arguments.json {
        ask::print_json(&history)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout();
    if history.moves.is_empty() {
        writeln!(out, "No process has moved from here or to here.").context("printing")?;
    } else {
        let rows: Vec<Vec<String>> = history.moves.iter().map(row).collect();
        let heads = ["UTC", "PID", "COMMAND", "FROM", "TO", "STOOD STILL", "SENT", "MILLISECONDS"];
        write!(out, "{}", render(&heads, &[1, 5, 6], &rows)).context("printing")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(past: &PastMove) -> Vec<String> {
    let steps: Vec<String> = past.steps.iter().map(|(name, millis)| format!("{name} {millis}")).collect();
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        clock(past.at),
        past.pid.to_string(),
        past.comm.clone(),
        past.from.clone().unwrap_or_else(|| match past.part {
            Part::Host => format!("(home: {})", past.home),
            Part::Home => "-".to_owned(),
        }),
        past.to.clone(),
        known(past.frozen_ms.map(|millis| format!("{millis} ms"))),
        known(past.bytes.map(|bytes| format!("{} KiB", bytes >> 10))),
        past.stayed.as_ref().map_or_else(|| steps.join(", "), |why| format!("stayed: {why}")),
    ]
}

/// The time of day.
fn clock(at: u64) -> String {
    let of_day = at % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past() -> PastMove {
        PastMove {
            at: 86_400 + 3_661,
            pid: 7,
            comm: "job".to_owned(),
            uid: 1000,
            home: "heron".to_owned(),
            part: Part::Home,
            from: Some("heron".to_owned()),
            to: "crane".to_owned(),
            stayed: None,
            frozen_ms: Some(90),
            bytes: Some(4096),
            steps: vec![("frozen".to_owned(), 3), ("dumped".to_owned(), 40)],
            rounds: Vec::new(),
        }
    }

    #[test]
    fn a_move_is_one_line_with_what_its_time_went_into() {
        let line = row(&past()).join("|");
        assert_eq!(line, "01:01:01|7|job|heron|crane|90 ms|4 KiB|frozen 3, dumped 40");
    }

    #[test]
    fn what_stayed_says_why_and_what_came_says_where_it_is_at_home() {
        let stayed = PastMove { stayed: Some("it is busy".to_owned()), ..past() };
        assert!(row(&stayed).join("|").ends_with("stayed: it is busy"));
        let came = PastMove { part: Part::Host, from: None, frozen_ms: None, bytes: None, ..past() };
        assert_eq!(row(&came).join("|"), "01:01:01|7|job|(home: heron)|crane|-|-|frozen 3, dumped 40");
    }
}
