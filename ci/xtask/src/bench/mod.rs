//! `cargo xtask bench migrate`: how long a process stands still when it moves, against what an engineer gets from CRIU
//! by hand, on a pair of virtual machines.
//!
//! Under emulation only ratios mean anything, and all figures of a ratio come from one run, on one link, with the same
//! worker (`ci/bench/worker.pl`), which writes the same number of pages a second whatever its size.

pub(crate) mod build;
mod figures;
mod pair;
mod peers;

use anyhow::Result;
use clap::Args;
use figures::{Figures, Moved};
use pair::Pair;
use std::path::PathBuf;

/// What the worker writes, pages a second.
const PAGES: &str = "100";

/// Arguments of `bench migrate`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// The program that makes virtual machines.
    #[arg(long, default_value = "target/release/brant-image")]
    brant_image: PathBuf,
    /// The image that they boot.
    #[arg(long, default_value = "target/brant-compute.iso")]
    iso: PathBuf,
    /// Measurements of each kind; the table shows their medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The large process, MiB.
    #[arg(long, default_value_t = 256)]
    large: u32,
}

/// Measures, and prints one table.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let pair = Pair::boot(&args.brant_image, &args.iso)?;
    let (large, small) = (args.large.to_string(), "16".to_owned());
    let mut figures = Figures::default();
    // A first move pays for what is cached from then on.
    pair.moved(&small, PAGES, 0)?;
    for run in 1..=args.runs {
        eprintln!("run {run} of {}", args.runs);
        figures.small.push(pair.moved(&small, PAGES, 0)?.frozen_ms);
        let Moved { frozen_ms, slowdown, .. } = pair.moved(&large, PAGES, 11)?;
        figures.large.push(frozen_ms);
        figures.slowdown.extend(slowdown);
        figures.floor.push(pair.by_hand("floor", &[])?);
        figures.plain.push(pair.by_hand("plain", &[&large, PAGES])?);
        figures.precopy.push(pair.by_hand("precopy", &[&large, PAGES])?);
        figures.idle_rate.push(pair.moved(&large, "-1", 0)?.first_rate);
        figures.stream_rate.push(pair.stream_rate()?);
    }
    (figures.deputy_kib, figures.daemon_kib) = pair.private_memory()?;
    println!("{figures}");
    Ok(())
}
