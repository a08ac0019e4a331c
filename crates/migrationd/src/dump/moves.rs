//! Whether a process moves its memory about in its address space (mremap(2)) while it is being copied.
//!
//! CRIU learns from the kernel's soft-dirty bits which pages were written to since the round before. Where a whole page
//! table is moved at once, which is what mremap does with each 2 MiB that begin and end on such a boundary, Linux 6.12
//! leaves those bits as they were: the pages count as unchanged, and what was sent for that address before, if anything,
//! is something else. Nothing tells afterwards which ones they are. So the calls are counted, and where there was one,
//! what was copied while the process ran is of no use.

use crate::inspect;
use anyhow::{Context, Result};
use brant_sys::namespace;
use brant_sys::tracepoint::Counter;
use std::collections::BTreeSet;
use std::path::Path;

/// Where the kernel tells the numbers of its tracepoints.
const TRACING: &str = "/sys/kernel/tracing";
const EVENT: &str = "events/syscalls/sys_enter_mremap/id";
/// How often the threads are listed until none is new; those that come later are counted with those that start them.
const LOOKS: usize = 20;

/// Counts the calls of a process, its threads and its descendants.
#[derive(Debug)]
pub(super) struct Moves(Vec<Counter>);

impl Moves {
    /// Counts from now on.
    pub(super) fn watch(leader: i32) -> Result<Self> {
        let event = event()?;
        let (mut counters, mut seen) = (Vec::new(), BTreeSet::new());
        for _ in 0..LOOKS {
            let threads = inspect::members(leader).into_iter().flat_map(inspect::threads);
            let new: Vec<i32> = threads.filter(|thread| seen.insert(*thread)).collect();
            if new.is_empty() {
                return Ok(Self(counters));
            }
            for thread in new {
                match Counter::begin(event, thread) {
                    Ok(counter) => counters.push(counter),
                    // What has ended moves nothing about any more.
                    Err(error) if inspect::has_ended(thread) => {
                        tracing::debug!(%error, thread, "not counted");
                    }
                    Err(error) => return Err(error).context("counting how memory is moved about"),
                }
            }
        }
        anyhow::bail!("the process starts threads faster than they can be watched")
    }

    /// Whether there was any; where that is not known, there was.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|counter| counter.count().map_or(true, |count| count > 0))
    }
}

fn event() -> Result<u64> {
    let path = Path::new(TRACING).join(EVENT);
    if !path.exists() {
        namespace::mount("tracefs", Path::new(TRACING), "tracefs", "", true).context("mounting tracefs")?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    text.trim().parse().with_context(|| format!("understanding `{}`", path.display()))
}
