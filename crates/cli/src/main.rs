//! `brant`: the user's tool on a node of a cluster.

mod ask;
mod table;
mod verb;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Look at the cluster, and at the processes that move in it.
#[derive(Parser)]
#[command(name = "brant", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the nodes of the cluster.
    Nodes(verb::nodes::Arguments),
    /// List the processes that have moved: yours that are away, and guests here.
    Ps(verb::ps::Arguments),
    /// Write the nodes and processes as a page for a browser.
    Page(verb::page::Arguments),
    /// List the moves that this node had a part in, and what their time went into.
    History(verb::history::Arguments),
    /// Move a running process to another node.
    Migrate(verb::migrate::Arguments),
    /// Look for the cluster at an address that no beacon reaches.
    Join(verb::join::Arguments),
    /// Let a node in that has no secret, by the code that it shows.
    Admit(verb::admit::Arguments),
    /// Change the cluster's secret, or print it.
    #[command(subcommand)]
    Secret(verb::secret::Verb),
    /// Leave nodes out of the cluster for good.
    Forget(verb::secret::Forget),
    /// Show the settings of the cluster, or change one on all its nodes.
    Set(verb::set::Arguments),
    /// Say whether a process can move, and if not, why.
    Why(verb::why::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Nodes(arguments) => verb::nodes::run(&arguments),
        Verb::Ps(arguments) => verb::ps::run(&arguments),
        Verb::Page(arguments) => verb::page::run(&arguments),
        Verb::History(arguments) => verb::history::run(&arguments),
        Verb::Migrate(arguments) => verb::migrate::run(&arguments),
        Verb::Join(arguments) => verb::join::run(&arguments),
        Verb::Admit(arguments) => verb::admit::run(&arguments),
        Verb::Secret(verb) => verb::secret::run(&verb),
        Verb::Forget(arguments) => verb::secret::forget(&arguments),
        Verb::Set(arguments) => verb::set::run(&arguments),
        Verb::Why(arguments) => verb::why::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("brant: {error:#}");
        ExitCode::from(2)
    })
}
