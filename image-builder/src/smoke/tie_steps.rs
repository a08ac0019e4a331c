//! The steps about what ties a process that is away to its home: signals, its deputy, and its home node's life.

use crate::cluster::node::{Node, ROOT, USER};
use crate::smoke::Run;
use anyhow::{Context, Result, ensure};
use brant_qemu::qmp::Qmp;
use std::time::Duration;

/// How long two moves and two ends may take on a PC of today.
const TWO_MOVES: Duration = Duration::from_secs(60);
/// A guest outlives its home node by half a minute of silence at the most; this is twice that.
const SILENCE_TWICE: Duration = Duration::from_secs(60);
/// A computing process that is known by this name, on whichever node.
const MARK: &str = "tied-to-its-home";

/// Starts a process as an ordinary user's shell does, and moves it; `$pid` is the process then. The balancer may be
/// quicker than the hand: what counts is that it is away.
fn start_and_move(handler: &str, target: &str) -> String {
    format!(
        "perl -e '{handler} 1 while 1' {MARK} </dev/null >/dev/null 2>&1 & pid=$!\n\
         until brant why $pid --json | grep -q '\"away\"'; do brant migrate $pid {target} >/dev/null 2>&1; sleep 1; done\n"
    )
}

/// Ctrl-C's signal and `kill -9`, sent at home, reach processes that run elsewhere.
pub(crate) fn signals_reach_it(run: &mut Run) -> Result<String> {
    let target = another(run)?;
    let script = format!(
        "cd; {}kill -INT $pid; wait $pid; echo interrupted $?\n{}kill -9 $pid; wait $pid 2>/dev/null; echo killed $?\n",
        start_and_move("$SIG{INT} = sub { exit 42 };", &target),
        start_and_move("", &target),
    );
    let said = run.home().shell_within(USER, &script, b"", run.patience.of(TWO_MOVES))?;
    ensure!(
        said.lines().eq(["interrupted 42", "killed 137"]),
        "expected `interrupted 42` and `killed 137`, the statuses as at home, and read: {said}"
    );
    no_guest_is_left(run)?;
    Ok("42 from its handler, 137 from kill -9, and nothing of them is left".to_owned())
}

/// How long the files of a node that has gone may keep whoever looks at them.
const PATIENT: Duration = Duration::from_secs(10);

/// A home node without power takes its guests along.
pub(crate) fn home_takes_its_guests_along(run: &mut Run) -> Result<String> {
    if run.attached {
        return Ok("not tried: this cluster is somebody's, and keeps its power".to_owned());
    }
    let target = another(run)?;
    run.terminal()?.type_line(&format!("perl -e '1 while 1' {MARK} &"))?;
    let pid = format!("$(pgrep -nf '{}')", pattern());
    let script = format!("brant why {pid} --json | grep -q '\"away\"' || brant migrate {pid} {target}");
    run.patience
        .wait(TWO_MOVES, || run.home().shell_within(ROOT, &script, b"", run.patience.of(TWO_MOVES)))?;
    let there: usize = others(run).map(guests).sum::<Result<usize>>()?;
    ensure!(there == 1, "{there} guests of node1 run on the other nodes, instead of one");
    let (_, home, _) = run.figures.joined.first().context("looking for node1's name")?;
    let witness = others(run).next().context("looking for another node")?;
    witness.shell(USER, &format!("ls /cluster/{home}/home"))?;
    Qmp::connect(&run.home().folder).and_then(Qmp::cut_power).context("cutting the power of node1")?;
    // Who looks at its files is told, and waits for nothing.
    let looks = format!(
        "begin=$(date +%s%N); ls /cluster/{home}/home > /dev/null 2>&1 && exit 1; \
         echo $(( ($(date +%s%N) - begin) / 1000000 )); ls /cluster > /dev/null"
    );
    let said = witness.shell_within(USER, &looks, b"", run.patience.of(SILENCE_TWICE))?;
    let waited = Duration::from_millis(said.trim().parse().context("reading how long it took")?);
    ensure!(waited < run.patience.of(PATIENT), "files of a node that has gone kept a shell for {waited:?}");
    run.patience.wait(SILENCE_TWICE, || no_guest_is_left(run))?;
    Ok(format!("its guest is gone; its files gave an error after {:.1} s", waited.as_secs_f64()))
}

fn another(run: &Run) -> Result<String> {
    let (_, name, _) = run.figures.joined.last().context("looking for another node")?;
    Ok(name.clone())
}

fn others(run: &Run) -> impl Iterator<Item = &Node> {
    run.nodes.iter().skip(1)
}

fn no_guest_is_left(run: &Run) -> Result<()> {
    for node in others(run) {
        let left = guests(node)?;
        ensure!(left == 0, "{left} processes that should have ended run on {}", node.name);
    }
    Ok(())
}

/// Counts by name, in the node's own process table: no daemon's word is taken for it.
fn guests(node: &Node) -> Result<usize> {
    let said = node.shell(ROOT, &format!("pgrep -cf '{}' || true", pattern()))?;
    said.trim().parse().with_context(|| format!("counting guests on {}: {said}", node.name))
}

/// Finds the process by its mark, and not the shell that looks for it.
fn pattern() -> String {
    format!("[{}]{}", &MARK[..1], &MARK[1..])
}
