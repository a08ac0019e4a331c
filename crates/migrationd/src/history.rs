//! The moves that are over: one JSON line each, in a file in this node's memory that outlives the daemon.

use brant_types::migration::PastMove;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Only root may look; users ask the daemon for what is theirs.
const FILE: &str = "/run/brant/history";
/// How many are remembered at least; at twice as many, the older half is forgotten.
const REMEMBERED: usize = 1000;
/// One writer at a time, and how many lines there are.
static LINES: Mutex<Option<usize>> = Mutex::new(None);

/// Now, for [`PastMove::at`].
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whole milliseconds, as times are remembered.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the time of a move goes into, for [`PastMove::steps`].
#[derive(Debug)]
pub(crate) struct Steps {
    last: Instant,
    done: Vec<(String, u64)>,
}

impl Steps {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self { last: Instant::now(), done: Vec::new() }
    }

    /// A step is done; each is noted once.
    pub(crate) fn step(&mut self, name: &str) {
        if self.done.iter().all(|(done, _)| done != name) {
            let now = Instant::now();
            self.done.push((name.to_owned(), millis(now - self.last)));
            self.last = now;
        }
    }

    /// Each with its length in milliseconds.
    pub(crate) fn done(&self) -> &[(String, u64)] {
        &self.done
    }
}

/// Adds one. A move whose memory is lost was a move all the same.
pub(crate) fn add(past: &PastMove) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let count = lines.get_or_insert_with(|| read().len());
    let outcome = if *count >= 2 * REMEMBERED { forget(past, count) } else { append(past, count) };
    if let Err(error) = outcome {
        tracing::warn!(%error, "remembering a move");
    }
}

fn append(past: &PastMove, count: &mut usize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(past)?;
    line.push(b'\n');
    OpenOptions::new().append(true).create(true).mode(0o600).open(FILE)?.write_all(&line)?;
    *count += 1;
    Ok(())
}

fn forget(newest: &PastMove, count: &mut usize) -> std::io::Result<()> {
    let mut kept = read();
    kept.drain(..kept.len().saturating_sub(REMEMBERED - 1));
    kept.push(newest.clone());
    let new = format!("{FILE}.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    for past in &kept {
        serde_json::to_writer(&mut file, past)?;
        file.write_all(b"\n")?;
    }
    *count = kept.len();
    std::fs::rename(&new, FILE)
}

/// All that is remembered, the oldest first.
pub(crate) fn read() -> Vec<PastMove> {
    let Ok(file) = File::open(FILE) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}
