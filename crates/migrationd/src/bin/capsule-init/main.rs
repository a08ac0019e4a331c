//! `capsule-init`: PID 1 of a capsule. Its first argument says which part it plays:
//!
//! - `outer`: makes the namespaces, starts the inner part as PID 1 of them, and waits;
//! - `inner`: builds the capsule's root, restores the process, holds it until the home node has committed, and then
//!   relays its terminal, its signals and its end.

mod control;
mod departure;
mod inner;
mod members;
mod numbers;
mod offsets;
mod restore;
mod root;
mod streams;
mod terminal;

use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_sys::namespace;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("outer") => outer(),
        Some("inner") => inner::run(),
        _ => {
            eprintln!("capsule-init is started by migrationd, and does nothing for others");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capsule-init: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn outer() -> Result<()> {
    namespace::unshare_for_capsule().context("making the capsule's namespaces")?;
    let listener = rustix::io::dup(rustix::stdio::stdin()).context("taking the control socket")?;
    let inner = Tool::new("/proc/self/exe")
        .arg("inner")
        .stdin(listener)
        .spawn()
        .context("starting the capsule's PID 1")?;
    inner.wait().context("waiting for the capsule's PID 1")
}
