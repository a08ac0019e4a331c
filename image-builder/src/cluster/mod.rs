//! `brant-image cluster`: machines that boot from an image, on a network segment of their own.

pub(crate) mod args;
mod console;
mod console_log;
pub(crate) mod create;
mod destroy;
pub(crate) mod evidence;
mod exec;
mod firmware;
pub(crate) mod joining;
mod keeper;
mod kill;
mod list;
pub(crate) mod node;
pub(crate) mod patience;
pub(crate) mod stage;
pub(crate) mod state;
pub(crate) mod terminal;

use args::ClusterArgs;
use std::process::ExitCode;

/// Does what was asked.
///
/// # Errors
/// What failed, for the person who asked.
pub(crate) fn run(args: &ClusterArgs) -> anyhow::Result<ExitCode> {
    match args {
        ClusterArgs::Create(args) => create::run(args).map(|()| ExitCode::SUCCESS),
        ClusterArgs::List(args) => list::run(args).map(|()| ExitCode::SUCCESS),
        ClusterArgs::Exec(args) => exec::run(args),
        ClusterArgs::Console(args) => console::run(args).map(|()| ExitCode::SUCCESS),
        ClusterArgs::Kill(args) => kill::run(args).map(|()| ExitCode::SUCCESS),
        ClusterArgs::Destroy(args) => destroy::run(args).map(|()| ExitCode::SUCCESS),
        ClusterArgs::Keep => keeper::run().map(|()| ExitCode::SUCCESS),
    }
}
