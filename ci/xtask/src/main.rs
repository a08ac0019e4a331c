//! `cargo xtask`: the workspace's own checks and measurements. CI calls these and nothing else for style.

mod bench;
mod simulate;
mod simulate_cluster;
mod test;
mod tidy;

use anyhow::{Context, Result};
use brant_sys::child::Tool;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

/// Checks of the Brant workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Formatting, lints and tidiness; warnings are errors.
    Check,
    /// Only what neither the compiler nor clippy looks at.
    Tidy,
    /// The migration protocol under random schedules of everything that can go wrong.
    Simulate(simulate::Arguments),
    /// The membership of clusters of up to 1,000 nodes: how soon they agree, and what it costs.
    SimulateCluster(simulate_cluster::Arguments),
    /// Tests.
    #[command(subcommand)]
    Test(Test),
    /// Measures; takes its time, and two virtual machines.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// How long a process stands still when it moves, against CRIU by hand.
    Migrate(bench::BenchArgs),
    /// How long an image takes to be made and to join, and how large it is.
    Build(bench::build::BuildBenchArgs),
}

#[derive(Subcommand)]
enum Test {
    /// Everything: what every change has to pass, and what takes hours.
    Full(test::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Check => check(),
        Verb::Tidy => tidy::run(&root()),
        Verb::Simulate(arguments) => simulate::run(&arguments),
        Verb::SimulateCluster(arguments) => simulate_cluster::run(&arguments),
        Verb::Test(Test::Full(arguments)) => test::run(&arguments),
        Verb::Bench(Bench::Migrate(args)) => bench::run(&args),
        Verb::Bench(Bench::Build(args)) => bench::build::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run(&root())?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
}

fn cargo(args: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tool = Tool::new(cargo).args(args).cwd(root()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let line = tool.command_line();
    tool.spawn().and_then(brant_sys::child::Running::wait).with_context(|| format!("running {line}"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
