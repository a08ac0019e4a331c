//! One case: left alone, then moved, then compared.

use super::case::Case;
use super::dialogue;
use super::files::FOLDER;
use super::happening;
use super::moments::Moments;
use super::outcome::Outcome;
use crate::cluster::node::{Node, ROOT, USER};
use crate::cluster::patience::Patience;
use anyhow::{Context, Result, anyhow, bail, ensure};
use brant_types::agent::NodeState;
use brant_types::migration::{Refused, UserAnswer};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a case may take on a PC of today.
const CASE: Duration = Duration::from_secs(40);
/// How much longer for each thing that goes wrong: a lease that has to run out, and some.
const TROUBLE: Duration = Duration::from_secs(20);
/// How long the programs of a case may take to be there.
const STARTING: Duration = Duration::from_secs(10);
/// A move; of a program with much memory, too.
pub(super) const MOVE: Duration = Duration::from_secs(40);

/// Runs it.
///
/// # Errors
/// What kept it from being tried at all; an outcome that is not right is no error here.
pub(super) fn run(case: &Case, nodes: &[Node], patience: Patience, moments: &mut Moments) -> Result<Outcome> {
    // A case before may have cut the power of one.
    let nodes: Vec<Node> = nodes.iter().filter(|node| node.is_on()).cloned().collect();
    let home = nodes.first().context("finding a node that is on")?;
    let names = other_nodes(home, nodes.len() - 1, patience)?;
    if !case.dialogue.is_empty() {
        return dialogue::run(case, home, &names, patience);
    }
    let trouble = u32::try_from(case.faults.len() + case.then.len()).unwrap_or(u32::MAX);
    let within = patience.of(CASE + TROUBLE * trouble);
    set_up(case, home, within)?;
    let alone = leave_alone(case, home, within)?;
    tracing::debug!("left alone, it took {:.1} s", alone.as_secs_f64());
    // A case that takes long takes longer when it is moved, and other machines run on the host.
    let running = start(case, home, "moved", false, within + alone * 3);
    let mut pauses = || if case.at_random { moments.pauses(case.times, alone) } else { Vec::new() };
    let moved = moves(case, &nodes, &names, patience, &running, &mut pauses);
    home.shell(USER, &format!("touch {FOLDER}/{}/moved/moved", case.name))?;
    if let Err(error) = &moved {
        // It goes on where it is; its end is awaited all the same, so that the next case has the node for itself.
        tracing::debug!("{error:#}");
    }
    let ended = running.join().map_err(|_| anyhow!("a thread panicked"))?;
    let (frozen, wanted) = match (moved, ended) {
        (Err(error), _) | (_, Err(error)) => return Ok(Outcome::Wrong(format!("{error:#}"))),
        (Ok(Moves::Made(frozen)), Ok(())) => (frozen, None),
        (Ok(Moves::Fewer(frozen)), Ok(())) => (frozen, Some(case.times)),
        (Ok(Moves::Kept(obstacle)), Ok(())) => {
            return Ok(match difference(case, home)? {
                None => Outcome::Obstacle(obstacle),
                Some(difference) => Outcome::Wrong(difference),
            });
        }
    };
    let wrong = match &case.lost {
        Some(words) => not_lost(case, home, words)?,
        None => difference(case, home)?,
    };
    Ok(wrong.map_or(Outcome::Equal { frozen, wanted }, Outcome::Wrong))
}

/// Runs it without a move, not even by the balancer; gives the time that it took.
fn leave_alone(case: &Case, home: &Node, within: Duration) -> Result<Duration> {
    home.shell(ROOT, "pkill -STOP -x migrationd")?;
    let since = Instant::now();
    let ended = start(case, home, "plain", true, within).join().map_err(|_| anyhow!("a thread panicked"));
    let alone = since.elapsed();
    home.shell(ROOT, "pkill -CONT -x migrationd")?;
    ended?.map(|()| alone)
}

/// Makes what both runs read.
fn set_up(case: &Case, home: &Node, within: Duration) -> Result<()> {
    let Case { name, shell, .. } = case;
    let folder = format!("{FOLDER}/{name}");
    let script = format!(
        "export LIB={FOLDER}/lib; rm -rf {folder}; mkdir -p {folder}/input; cd {folder}/input; \
         if [ -e {FOLDER}/{name}.setup.sh ]; then {shell} {FOLDER}/{name}.setup.sh; fi"
    );
    home.shell_within(USER, &script, b"", within).map(drop).with_context(|| format!("setting {name} up"))
}

/// Starts the case in a folder of its own; what it says, and its status, are kept beside the folder.
fn start(case: &Case, home: &Node, run: &str, moved: bool, within: Duration) -> JoinHandle<Result<()>> {
    let folder = format!("{FOLDER}/{}/{run}", case.name);
    let Case { shell, name, .. } = case;
    let mark = if moved { "touch moved;" } else { "" };
    let shell = format!("{shell} {FOLDER}/{name}.sh");
    let script = format!(
        "export LIB={FOLDER}/lib INPUT={FOLDER}/{name}/input MARK={folder}/moved; rm -rf {folder}; \
         mkdir -p {folder}; cd {folder}; {mark} \
         {shell} < /dev/null > ../{run}.stdout 2> ../{run}.stderr; echo $? > ../{run}.status"
    );
    let home = home.clone();
    thread::spawn(move || home.shell_within(USER, &script, b"", within).map(drop))
}

enum Moves {
    Made(Vec<u64>),
    /// It had ended before all were made.
    Fewer(Vec<u64>),
    Kept(String),
}

fn moves(
    case: &Case,
    machines: &[Node],
    nodes: &[String],
    patience: Patience,
    running: &JoinHandle<Result<()>>,
    pauses: &mut dyn FnMut() -> Vec<Duration>,
) -> Result<Moves> {
    let home = &machines[0];
    let mut frozen = Vec::new();
    for (number, pattern) in case.moved.iter().enumerate() {
        let pid = find(home, pattern, patience, || running.is_finished())?;
        if !case.at_random && case.faults.is_empty() {
            // It says by a file that it has come to the place where it waits to be moved.
            let waits = format!("test -e {FOLDER}/{}/moved/moved.{pid}", case.name);
            let waited = patience.wait(STARTING, || home.shell(ROOT, &waits));
            waited.with_context(|| format!("waiting for `{pattern}` to be ready to be moved"))?;
        }
        for fault in &case.faults {
            happening::fail(machines, fault, &pid, &nodes[0], patience)?;
        }
        let pauses = pauses();
        for time in 0..case.times as usize {
            let stop = number + time;
            // Once away, it comes home in between.
            let to =
                if time == 0 { nodes.get(stop % nodes.len()) } else { nodes.get(stop % (nodes.len() + 1)) };
            thread::sleep(pauses.get(time).copied().unwrap_or_default());
            match migrate(home, &pid, to.map_or("home", String::as_str), patience)? {
                Ok(millis) => frozen.push(millis),
                // The balancer has been quicker.
                Err(obstacle) if obstacle.reason == "same_node" => frozen.extend(last_move(home, &pid)?),
                Err(obstacle) if Some(&obstacle.reason) == case.obstacle.as_ref() => {
                    return Ok(Moves::Kept(obstacle.reason));
                }
                // Some of the moves are enough to compare what comes out, and the table tells how many there were.
                Err(refused) if case.at_random && has_ended(home, &pid, &refused)? => {
                    if frozen.is_empty() {
                        bail!("`{pattern}` had ended before it could be moved: the case is too short");
                    }
                    return Ok(Moves::Fewer(frozen));
                }
                Err(refused) => bail!("`{pattern}` stays at home ({}): {}", refused.reason, refused.message),
            }
        }
    }
    for happening in &case.then {
        let pattern = case.moved.first().context("finding what it happens to")?;
        let pid = find(home, pattern, patience, || running.is_finished())?;
        happening::befall(machines, happening, &pid, patience)?;
    }
    match &case.obstacle {
        Some(obstacle) => bail!("it moved, though `{obstacle}` should have kept it"),
        None => Ok(Moves::Made(frozen)),
    }
}

/// How long the program stood still when it was moved last, by whomever.
fn last_move(home: &Node, pid: &str) -> Result<Option<u64>> {
    let processes = home.processes()?.processes;
    let view = processes.into_iter().rev().find(|view| view.pid.to_string() == pid);
    Ok(view.and_then(|view| view.moves.last().map(|record| record.frozen_ms)))
}

/// Whether a move has failed because the program had ended, or ended meanwhile.
fn has_ended(home: &Node, pid: &str, refused: &Refused) -> Result<bool> {
    let said = ["no_such_process", "zombie"].contains(&refused.reason.as_str());
    Ok(said || home.shell(ROOT, &format!("test -e /proc/{pid} || echo ended"))?.trim() == "ended")
}

/// Waits until the program is there.
pub(super) fn find(
    home: &Node,
    pattern: &str,
    patience: Patience,
    over: impl Fn() -> bool,
) -> Result<String> {
    let deadline = Instant::now() + patience.of(STARTING);
    loop {
        // In brackets, so that the shell that runs pgrep is not found itself.
        let (first, rest) = pattern.split_at(1);
        let said = home.shell(ROOT, &format!("pgrep -of '[{first}]{rest}' || true"))?;
        if let Some(pid) = said.split_ascii_whitespace().next() {
            return Ok(pid.to_owned());
        }
        if over() || Instant::now() > deadline {
            bail!("no process is called `{pattern}`");
        }
    }
}

/// Moves it by hand; gives the time that it stood still, or why it stayed.
pub(super) fn migrate(home: &Node, pid: &str, to: &str, patience: Patience) -> Result<Result<u64, Refused>> {
    let command = format!("brant migrate --json {pid} {to} || true");
    let said = home.shell_within(ROOT, &command, b"", patience.of(MOVE))?;
    let answer: UserAnswer =
        serde_json::from_str(&said).with_context(|| format!("understanding `{}`", said.trim_end()))?;
    match answer {
        UserAnswer::Moved(record) => Ok(Ok(record.frozen_ms)),
        UserAnswer::Stayed(refused) | UserAnswer::Denied(refused) => Ok(Err(refused)),
        other => bail!("did not expect the answer {other:?}"),
    }
}

/// The names of the others, once the cluster knows which of them are left.
fn other_nodes(home: &Node, count: usize, patience: Patience) -> Result<Vec<String>> {
    if count == 0 {
        bail!("there is no other node to move to");
    }
    patience.wait(MOVE, || {
        let view = home.nodes()?;
        let others = view.nodes.iter().filter(|node| !node.me && node.state == NodeState::Alive);
        let names: Vec<String> = others.map(|node| node.name.clone()).collect();
        ensure!(names.len() == count, "{} lists {} other living nodes, not {count}", home.name, names.len());
        Ok(names)
    })
}

/// What is amiss with a process that is to be lost.
fn not_lost(case: &Case, home: &Node, words: &str) -> Result<Option<String>> {
    let folder = format!("{FOLDER}/{}", case.name);
    let status = home.shell(USER, &format!("cat {folder}/moved.status"))?;
    let said = home.shell(USER, &format!("cat {folder}/moved.stderr"))?;
    let right = status.trim() == "137" && said.contains(words);
    Ok((!right).then(|| format!("it should be lost: status {}, and it said: {}", status.trim(), said.trim())))
}

/// What differs between the two runs: output, errors, status, and every file left behind.
fn difference(case: &Case, home: &Node) -> Result<Option<String>> {
    let folder = format!("{FOLDER}/{}", case.name);
    let script = format!(
        "cd {folder}; rm -f plain/moved* moved/moved*; for f in stdout stderr status; do cmp plain.$f moved.$f || \
         {{ echo \"$f:\"; tail -n 3 plain.$f; echo ...; tail -n 5 moved.$f; }}; done; diff -r plain moved"
    );
    let said = home.shell(USER, &format!("{{ {script}; }} 2>&1 | head -c 2000; true"))?;
    let said = said.trim();
    Ok((!said.is_empty()).then(|| said.replace('\n', " | ")))
}
