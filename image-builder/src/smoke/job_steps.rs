//! The steps about the main job: four crunching jobs and a ticker in a shell on node 1.

use crate::cluster::node::{ROOT, USER};
use crate::cluster::terminal::Terminal;
use crate::smoke::Run;
use crate::smoke::figures::Makespan;
use crate::smoke::host_load::Ticks;
use crate::smoke::workload::{
    ACCESS_LOG, CRUNCH, DIGESTS, FOLDER, JOBS, Jobs, TICKER, background_pid, counts, listed_jobs,
    log_command, ticks,
};
use anyhow::{Context, Result, bail, ensure};
use brant_types::migration::{MovedBy, ProcessState, ProcessView};
use std::time::{Duration, Instant};

/// How many of the jobs must profit.
const MOVED_AT_LEAST: usize = 2;
/// What a line typed at a shell may take to be answered on a PC of today.
const ANSWER: Duration = Duration::from_secs(10);
/// How much longer than planned the jobs may take together before they count as hanging.
const PATIENCE_WITH_JOBS: u32 = 6;

/// Writes the logs and measures how fast one job is here.
pub(crate) fn write_logs(run: &mut Run) -> Result<String> {
    let home = run.home();
    home.shell(USER, &format!("rm -rf {FOLDER} && mkdir {FOLDER}"))?;
    for (name, content) in [("access-log.awk", ACCESS_LOG), ("crunch.awk", CRUNCH), ("ticker.pl", TICKER)] {
        home.put(USER, &format!("{FOLDER}/{name}"), content)?;
    }
    for (day, digest) in (1..=JOBS).zip(DIGESTS) {
        let script = format!("cd {FOLDER} && {} && sha256sum < day{day}.log", log_command(day));
        let found = home.shell(USER, &script)?;
        ensure!(
            found.starts_with(digest),
            "the log of day {day} has the digest {}, not {digest}",
            found.trim_end()
        );
    }
    let script = format!("cd {FOLDER} && TIMEFORMAT=%U && time gawk -f crunch.awk day1.log 2>&1 >/dev/null");
    let one_pass = seconds(&home.shell(ROOT, &format!("cd ~{USER} && {{ {script}; }} 2>&1"))?)?;
    let passes = (f64::from(run.job_seconds) / one_pass.max(0.01)).round().clamp(1.0, 2000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 2000")]
    let passes = passes as u32;
    run.jobs = Some(Jobs { passes, ..Jobs::default() });
    Ok(format!("a day takes {one_pass:.1} s, so each job reads its day {passes} times"))
}

fn seconds(said: &str) -> Result<f64> {
    said.trim().parse().with_context(|| format!("understanding `{}` as a number of seconds", said.trim()))
}

/// Runs the jobs as root, whose processes never move.
pub(crate) fn run_unmoved(run: &mut Run) -> Result<String> {
    let mut script = format!("cd ~{USER}/{FOLDER} && read begin rest < /proc/uptime\n");
    for day in 1..=JOBS {
        script.push_str(&format!("{} & pids=\"$pids $!\"\n", run.jobs()?.command(day, "unmoved")));
    }
    script.push_str(
        "for pid in $pids; do wait $pid || exit 1; done\nread end rest < /proc/uptime; echo $begin $end\n",
    );
    let began = Ticks::now(run.keeper);
    let said = run.home().shell_within(ROOT, &script, b"", makespan_limit(run))?;
    run.figures.unmoved = Makespan::new(difference(&said)?, began.others_until(Ticks::now(run.keeper)));
    let mut reference = Vec::new();
    for day in 1..=JOBS {
        let output = run.home().shell(ROOT, &format!("cat ~{USER}/{FOLDER}/unmoved.{day}"))?;
        reference.push(counts(&output).with_context(|| format!("reading what job {day} has counted"))?.1);
    }
    if let Some(jobs) = &mut run.jobs {
        jobs.reference = reference;
    }
    Ok(format!("{:.1} s", run.figures.unmoved.seconds))
}

/// How long the four jobs may take together.
fn makespan_limit(run: &Run) -> Duration {
    Duration::from_secs(u64::from(run.job_seconds * JOBS * PATIENCE_WITH_JOBS)) + run.patience.of(ANSWER)
}

fn difference(said: &str) -> Result<f64> {
    let mut words = said.split_whitespace().map(seconds);
    match (words.next(), words.next()) {
        (Some(begin), Some(end)) => Ok(end? - begin?),
        _ => bail!("understanding `{}` as two points in time", said.trim()),
    }
}

/// Types what a person would type.
pub(crate) fn start_in_a_shell(run: &mut Run) -> Result<String> {
    let answer = run.patience.of(ANSWER);
    let terminal = Terminal::open(&run.home().folder, USER, &["bash", "-l"], answer)?;
    let start = terminal.type_line(&format!("cd {FOLDER} && echo \"<\"\"here>\""))?;
    terminal.wait_for("<here>", start, answer)?;
    let mut jobs = run.jobs.take().unwrap_or_default();
    run.jobs_began = Ticks::now(run.keeper);
    terminal.type_line("read begin rest < /proc/uptime")?;
    for day in 1..=JOBS {
        terminal.type_line(&format!("{} &", jobs.command(day, "moved")))?;
    }
    terminal.type_line("perl ticker.pl &")?;
    terminal.type_line("echo \"<\"\"started>\"")?;
    let said = terminal.wait_for("<started>", start, answer)?;
    let pid = |number| {
        background_pid(&said, number)
            .with_context(|| format!("looking for job {number} in what the shell said:\n{said}"))
    };
    jobs.pids = (1..=JOBS).map(pid).collect::<Result<_>>()?;
    jobs.ticker = pid(JOBS + 1)?;
    let found = format!("processes {:?}, ticker {}", jobs.pids, jobs.ticker);
    (run.jobs, run.terminal) = (Some(jobs), Some(terminal));
    run.patience.wait(ANSWER, || {
        ensure!(!ticks(&run.terminal()?.text_from(0)).is_empty(), "the ticker has not said anything");
        Ok(())
    })?;
    Ok(found)
}

/// The jobs that Brant knows about.
fn moved_jobs(run: &Run) -> Result<Vec<ProcessView>> {
    let mut processes = run.home().processes()?.processes;
    let jobs = run.jobs()?;
    processes.retain(|process| jobs.pids.contains(&process.pid));
    Ok(processes)
}

/// Whether all jobs are there still, at home or as deputies.
fn still_run(run: &Run) -> Result<bool> {
    let pids: Vec<String> = run.jobs()?.pids.iter().map(|pid| format!("-d /proc/{pid}")).collect();
    let script = format!("if [ {} ]; then echo yes; else echo no; fi", pids.join(" -a "));
    Ok(run.home().shell(USER, &script)?.trim() == "yes")
}

/// Waits until enough jobs are away.
pub(crate) fn balancer_moves_jobs(run: &mut Run) -> Result<String> {
    // They must be away long before they end, or nothing is gained.
    let deadline = Duration::from_secs(u64::from(run.job_seconds * JOBS));
    let since = Instant::now();
    loop {
        crate::interrupt::check()?;
        let processes = moved_jobs(run)?;
        let away: Vec<&ProcessView> =
            processes.iter().filter(|process| process.state == ProcessState::Away).collect();
        if away.len() >= MOVED_AT_LEAST {
            let says = |process: &&ProcessView| format!("{} is on {}", process.pid, process.node);
            return Ok(away.iter().map(says).collect::<Vec<_>>().join(", "));
        }
        ensure!(still_run(run)?, "the jobs have ended, and only {} of them are on other nodes", away.len());
        ensure!(
            since.elapsed() < deadline,
            "after {} s only {} of the jobs are on other nodes",
            deadline.as_secs(),
            away.len()
        );
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Moves the ticker while it is writing to the terminal, and sees that it goes on.
pub(crate) fn move_the_ticker(run: &mut Run) -> Result<String> {
    let ticker = run.jobs()?.ticker;
    let (machine, target, _) =
        run.figures.joined.last().context("looking for a node to move the ticker to")?;
    let within = run.patience.of(Duration::from_secs(30));
    let said = run.home().shell_within(USER, &format!("brant migrate {ticker} {target}"), b"", within)?;
    let text = || Ok::<_, anyhow::Error>(ticks(&run.terminal()?.text_from(0)).len());
    let before = text()?;
    run.patience.wait(ANSWER, || {
        ensure!(text()? >= before + 3, "the ticker has said nothing since it was moved");
        Ok(())
    })?;
    // Programs and libraries come from the node where it is, not through the network.
    let host = run.nodes.iter().find(|node| node.name == *machine).context("finding where the ticker is")?;
    let guests = "for at in /proc/[0-9]*/mountinfo; do \
         awk '$5 == \"/\" && / - nfs4 / { nfs = 1 } $5 == \"/usr\" { usr = 1 } END { if (nfs) print usr + 0 }' $at; done";
    let guests = host.shell(ROOT, guests)?;
    ensure!(
        guests.contains('1') && !guests.contains('0'),
        "guests read `/usr` through the network: {guests}"
    );
    Ok(said.trim_end().to_owned())
}

/// Asks the shell for its jobs.
pub(crate) fn shell_sees_the_same_processes(run: &mut Run) -> Result<String> {
    let (terminal, jobs) = (run.terminal()?, run.jobs()?);
    let from = terminal.type_line("jobs -l; echo \"<\"\"listed>\"")?;
    let said = terminal.wait_for("<listed>", from, run.patience.of(ANSWER))?;
    let listed = listed_jobs(&said);
    let expected: Vec<i32> = jobs.pids.iter().copied().chain([jobs.ticker]).collect();
    ensure!(
        listed.iter().map(|(pid, _)| *pid).eq(expected.iter().copied()),
        "the shell was told of {expected:?} and now lists {listed:?}:\n{said}"
    );
    let odd = listed.iter().find(|(_, state)| state != "Running" && state != "Done");
    ensure!(odd.is_none(), "the shell says of a job that it is {odd:?}");
    Ok(format!("{} jobs", listed.len()))
}

/// Lets the shell wait for the jobs, ends the ticker, and reads all exit statuses.
pub(crate) fn jobs_end_well(run: &mut Run) -> Result<String> {
    let limit = makespan_limit(run);
    let (terminal, jobs) = (run.terminal()?, run.jobs()?);
    let pids: Vec<String> = jobs.pids.iter().map(ToString::to_string).collect();
    // The shell tells a job's status once, so it is asked of each in turn.
    let from = terminal.type_line(&format!(
        "for pid in {}; do wait $pid; echo \"<\"\"status $pid $?>\"; done; read end rest < /proc/uptime; \
         echo \"<\"\"end> $begin $end <\"\"/end>\"",
        pids.join(" ")
    ))?;
    let said = terminal.wait_for("</end>", from, limit)?;
    let others = run.jobs_began.others_until(Ticks::now(run.keeper));
    let times = said.split_once("<end>").and_then(|(_, rest)| rest.split_once("</end>"));
    let moved_seconds = difference(times.context("looking for the times in what the shell said")?.0)?;
    terminal.type_line(&format!(
        "touch ticker.stop; wait {ticker}; echo \"<\"\"status {ticker} $?>\"; wait; echo \"<\"\"waited>\"",
        ticker = jobs.ticker
    ))?;
    let said = terminal.wait_for("<waited>", from, run.patience.of(ANSWER))?;
    for pid in jobs.pids.iter().chain([&jobs.ticker]) {
        let well = format!("<status {pid} 0>");
        ensure!(said.contains(&well), "process {pid} did not end with exit status 0:\n{said}");
    }
    let all = terminal.text_from(0);
    ensure!(!all.contains("Stopped"), "the shell saw a stopped job:\n{all}");
    run.figures.moved = Makespan::new(moved_seconds, others);
    Ok(format!("after {moved_seconds:.1} s"))
}

/// Asks Brant where the jobs have spent their time.
pub(crate) fn jobs_computed_elsewhere(run: &mut Run) -> Result<String> {
    let processes = run.home().processes()?.processes;
    let jobs = run.jobs()?;
    let (mut found, mut by_the_balancer) = (Vec::new(), 0);
    let mut moves = Vec::new();
    for process in &processes {
        let what = match jobs.pids.iter().position(|pid| *pid == process.pid) {
            Some(index) => format!("job {}", index + 1),
            None if process.pid == jobs.ticker => "ticker".to_owned(),
            None => continue,
        };
        moves.extend(process.moves.iter().map(|record| (what.clone(), record.clone())));
        if process.pid == jobs.ticker {
            continue;
        }
        let (home, away) = (process.cpu_seconds_home, process.cpu_seconds_away);
        found.push(format!("{what}: {home:.0} s at home, {away:.0} s away"));
        let unaided = process.moves.iter().all(|record| record.by == MovedBy::Balancer);
        if away > home && unaided && !process.moves.is_empty() {
            by_the_balancer += 1;
        }
    }
    run.figures.moves = moves;
    let found = found.join("; ");
    ensure!(by_the_balancer >= MOVED_AT_LEAST, "only {by_the_balancer} jobs did: {found}");
    Ok(found)
}

/// Compares the counts with those of the unmoved run.
pub(crate) fn counts_are_equal(run: &mut Run) -> Result<String> {
    let jobs = run.jobs()?;
    let mut tokens = Vec::new();
    for (day, reference) in (1..=JOBS).zip(&jobs.reference) {
        let output = run.home().shell(USER, &format!("cat {FOLDER}/moved.{day}"))?;
        let (token, counted) =
            counts(&output).with_context(|| format!("reading what job {day} has counted"))?;
        ensure!(
            counted == *reference,
            "job {day} has counted\n{counted}\nand when nobody moved it\n{reference}"
        );
        tokens.push(token);
    }
    tokens.sort_unstable();
    tokens.dedup();
    ensure!(tokens.len() == jobs.reference.len(), "two jobs have the same token");
    Ok(format!("{} jobs", tokens.len()))
}

/// Reads the whole terminal again.
pub(crate) fn ticker_lost_nothing(run: &mut Run) -> Result<String> {
    let text = run.terminal()?.text_from(0);
    let seen = ticks(&text);
    let expected: Vec<u32> = (1..).take(seen.len()).collect();
    ensure!(seen == expected, "the ticker's numbers on the terminal are {seen:?}");
    let last = format!("ticks {}", seen.len());
    ensure!(text.contains(&last), "the ticker did not end with `{last}`");
    Ok(format!("{} lines", seen.len()))
}
