//! A case at a terminal: what a person types and sees must go the same way, whether processes are moved or not.

use super::case::{Case, Step};
use super::files::FOLDER;
use super::outcome::Outcome;
use super::trial::{find, migrate};
use crate::cluster::node::{Node, USER};
use crate::cluster::patience::Patience;
use crate::cluster::terminal::Terminal;
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// How long an answer at the terminal may take on a PC of today.
const ANSWER: Duration = Duration::from_secs(10);

/// Runs it twice.
pub(super) fn run(case: &Case, home: &Node, others: &[String], patience: Patience) -> Result<Outcome> {
    if let Err(error) = go_through(case, home, &[], patience).context("left alone") {
        return Ok(Outcome::Wrong(format!("{error:#}")));
    }
    Ok(match go_through(case, home, others, patience) {
        Ok(frozen) => Outcome::Equal { frozen, wanted: None },
        Err(error) => Outcome::Wrong(format!("{error:#}")),
    })
}

/// Goes through the steps once; moves only where there is somewhere to move to.
fn go_through(case: &Case, home: &Node, others: &[String], patience: Patience) -> Result<Vec<u64>> {
    let folder = format!("{FOLDER}/{}", case.name);
    home.shell(USER, &format!("rm -rf {folder}; mkdir -p {folder}"))?;
    let (mut terminal, mut from) = open(case, home, patience)?;
    let mut frozen = Vec::new();
    for step in &case.dialogue {
        match step {
            Step::Type(line) => from = terminal.type_line(line)?,
            Step::Keys(keys) => from = terminal.type_keys(keys)?,
            Step::Resize(rows, columns) => from = terminal.resize(*rows, *columns)?,
            Step::Expect(text) => {
                let seen = terminal.wait_for(text, from, patience.of(ANSWER));
                seen.with_context(|| {
                    format!("the terminal shows: {}", terminal.text_from(0).replace('\n', " | "))
                })?;
            }
            Step::Move(pattern) => {
                let pid = find(home, pattern, patience, || false)?;
                let Some(to) = others.get(frozen.len() % others.len().max(1)) else { continue };
                match migrate(home, &pid, to, patience)? {
                    Ok(millis) => frozen.push(millis),
                    // The balancer has been quicker.
                    Err(refused) if refused.reason == "same_node" => {}
                    Err(refused) => bail!("`{pattern}` stays at home: {}", refused.message),
                }
            }
            Step::HangUp => {
                drop(terminal);
                (terminal, from) = open(case, home, patience)?;
            }
        }
    }
    Ok(frozen)
}

/// A terminal whose shell is in the case's folder; gives also where what it shows begins.
fn open(case: &Case, home: &Node, patience: Patience) -> Result<(Terminal, usize)> {
    let shell: Vec<&str> = case.shell.split(' ').collect();
    let terminal = Terminal::open(&home.folder, USER, &shell, patience.of(ANSWER))?;
    // The sign is typed in two parts, so that only the shell's answer has it whole.
    let begin = format!("cd {FOLDER}/{}; PS1='$ '; export LIB={FOLDER}/lib; echo 'rea''dy'", case.name);
    let from = terminal.type_line(&begin)?;
    terminal.wait_for("ready", from, patience.of(ANSWER))?;
    Ok((terminal, from))
}
