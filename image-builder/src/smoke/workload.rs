//! The four jobs and the ticker: what they are, where they write, and what their output says.

use anyhow::{Context, Result, bail};

/// How many jobs there are.
pub(crate) const JOBS: u32 = 4;
/// The size of each day's log in bytes; small, because it crosses an emulated network.
pub(crate) const DAY: u32 = 2_000_000;
/// Where it all happens, in the user's home.
pub(crate) const FOLDER: &str = "main-job";

/// Writes a day's log.
pub(crate) const ACCESS_LOG: &str = include_str!("../../../ci/workloads/access-log.awk");
/// Counts what is in it.
pub(crate) const CRUNCH: &str = include_str!("../../../ci/workloads/crunch.awk");
/// Prints a line a second.
pub(crate) const TICKER: &str = include_str!("../../../ci/workloads/ticker.pl");

/// The SHA-256 of each day's log: it is the same bytes on every machine.
pub(crate) const DIGESTS: [&str; JOBS as usize] = [
    "509c804689909b1b121f9ae6101ec9f231272a0cb52d61ead737de62fee5c9fa",
    "5a9590ba6f45a655bf52c383bda5a1b8f99c86bb6464e397cf0fddfadc8f799a",
    "045581e32ea0043a67f054213cc01c09cf028b5209a0ba11faba9bcc4bcf8b6e",
    "897d6da98c6e46f851a6d5b4758979749ac1ae3f0b37a960638395d3cc09a836",
];

/// The command that writes the log of a day, 1 to 4.
pub(crate) fn log_command(day: u32) -> String {
    format!("mawk -v seed={day} -v date=2025-03-0{day} -v bytes={DAY} -f access-log.awk > day{day}.log")
}

/// The jobs as they were started.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// How many times each job reads its day, so that it lasts.
    pub(crate) passes: u32,
    /// What each job of the unmoved run has counted.
    pub(crate) reference: Vec<String>,
    /// The process ids, as the shell told them.
    pub(crate) pids: Vec<i32>,
    /// The ticker's.
    pub(crate) ticker: i32,
}

impl Jobs {
    /// The command of a job, 1 to 4, writing to a file of this prefix.
    pub(crate) fn command(&self, day: u32, prefix: &str) -> String {
        format!("gawk -f crunch.awk $(yes day{day}.log | head -n {}) > {prefix}.{day}", self.passes)
    }
}

/// What a job has counted, without its token.
///
/// # Errors
/// The token is not first and last, or not the same: the job was not one process from its beginning to its end.
pub(crate) fn counts(output: &str) -> Result<(String, String)> {
    let lines: Vec<&str> = output.lines().collect();
    let [first, counted @ .., last] = &lines[..] else { bail!("a job has said only {} lines", lines.len()) };
    let token = first.strip_prefix("token ").context("looking for the token in a job's first line")?;
    let well_formed = token.len() == 32 && token.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !well_formed {
        bail!("a job's first line holds no token: {first}");
    }
    if first != last {
        bail!("a job began with `{first}` and ended with `{last}`: it was started again");
    }
    Ok((token.to_owned(), counted.join("\n")))
}

/// The ticker's numbers in the order in which they stand in the text, wherever in a line.
pub(crate) fn ticks(text: &str) -> Vec<u32> {
    text.lines()
        .filter_map(|line| {
            line.split_once("tick ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .collect()
}

/// The process ids that an interactive shell tells when it starts background jobs: `[1] 4711`.
pub(crate) fn background_pid(text: &str, number: u32) -> Option<i32> {
    let mark = format!("[{number}] ");
    text.lines().find_map(|line| line.split_once(&mark)?.1.trim().parse().ok())
}

/// The process ids and states in the output of `jobs -l`: `[1]-  4711 Running    gawk …`.
pub(crate) fn listed_jobs(text: &str) -> Vec<(i32, String)> {
    text.lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
            let _a_number: u32 = number.parse().ok()?;
            let mut words = rest.trim_start_matches(['+', '-', ' ']).split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_sys::child::Tool;
    use sha2::{Digest, Sha256};
    use std::fs;
    use tempfile::TempDir;

    const TOKEN: &str = "token 00112233445566778899aabbccddeeff";

    #[test]
    fn each_days_log_is_the_same_bytes_everywhere() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("access-log.awk"), ACCESS_LOG).unwrap();
        for (day, digest) in (1..).zip(DIGESTS) {
            // Whichever awk this host has.
            let command = log_command(day).replace("mawk ", "awk ");
            Tool::new("sh").args(["-c", &command]).cwd(folder.path()).run().unwrap();
            let log = fs::read(folder.path().join(format!("day{day}.log"))).unwrap();
            assert!((DAY as usize..DAY as usize + 1000).contains(&log.len()), "{}", log.len());
            let found: String = Sha256::digest(&log).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, digest, "day {day}");
        }
    }

    #[test]
    fn a_job_counts_what_is_there_and_frames_it_with_its_token() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("crunch.awk"), CRUNCH).unwrap();
        fs::write(
            folder.path().join("day1.log"),
            "1.2.3.4 - tide [01/Mar/2025:13:00:05 +0000] \"GET /static/a-1.png HTTP/1.1\" 503 700 \"-\" \"curl/8.8.0\"\n",
        )
        .unwrap();
        let command = Jobs { passes: 2, ..Jobs::default() }.command(1, "counts").replace("gawk ", "awk ");
        Tool::new("sh").args(["-c", &command]).cwd(folder.path()).run().unwrap();
        let (_, counted) = counts(&fs::read_to_string(folder.path().join("counts.1")).unwrap()).unwrap();
        for line in [
            "lines 2",
            "bytes 1400",
            "asset 2",
            "script 2",
            "robot 0",
            "known user 2",
            "status 503 2",
            "hour 13 2",
        ] {
            assert!(counted.lines().any(|found| found == line), "{line} is missing in:\n{counted}");
        }
    }

    #[test]
    fn a_job_that_was_started_again_is_caught() {
        let (_, counted) = counts(&format!("{TOKEN}\nlines 3\n{TOKEN}\n")).unwrap();
        assert_eq!(counted, "lines 3");
        let other = TOKEN.replace("00", "ff");
        assert!(counts(&format!("{TOKEN}\nlines 3\n{other}\n")).is_err());
        assert!(counts(&format!("{TOKEN}\nlines 3\n")).is_err());
        assert!(counts("token x\nlines 3\ntoken x\n").is_err());
        assert!(counts("").is_err());
    }

    #[test]
    fn ticks_are_found_between_a_shells_words() {
        assert_eq!(ticks("$ tick 1\ntick 2\n$ jobs tick 3 x\nticks 3\nnothing"), [1, 2, 3]);
    }

    #[test]
    fn jobs_are_found_in_what_a_shell_says() {
        let text = "$ gawk &\n[1] 4711\ntick 3\n$ [2] 12\n";
        assert_eq!(background_pid(text, 1), Some(4711));
        assert_eq!(background_pid(text, 2), Some(12));
        assert_eq!(background_pid(text, 3), None);
        let listed = "[1]   4711 Running                 gawk -f x &\n[2]-  12 Stopped   y\n[3]+  13 Done  z\ntick [9]";
        let state = |state: &str| state.to_owned();
        assert_eq!(
            listed_jobs(listed),
            [(4711, state("Running")), (12, state("Stopped")), (13, state("Done"))]
        );
    }
}
