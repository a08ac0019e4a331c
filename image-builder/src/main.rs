//! `brant-image`: builds Brant images, and runs QEMU clusters from them.

mod boots;
mod build;
mod cli;
mod clock;
mod cluster;
mod failure;
mod host;
mod interrupt;
mod invoker;
mod iso9660;
mod job;
mod manifest;
mod meet;
mod netboot;
mod pieces;
mod profile;
mod progress;
mod prove;
mod serve;
mod site;
mod smoke;
mod strangers;
mod trial;
mod usb;
mod workspace;
mod write;

use clap::Parser;
use cli::{Cli, Verb};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    interrupt::watch();
    let outcome = match cli.verb {
        Verb::Build(args) => build::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Write(args) => write::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Inspect(args) => manifest::inspect(&args).map(|()| ExitCode::SUCCESS),
        Verb::Diff(args) => manifest::diff(&args),
        Verb::Customise(args) => site::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Netboot(args) => netboot::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Usb(args) => usb::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Serve(args) => serve::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Profiles => profile::verbs::list().map(|()| ExitCode::SUCCESS),
        Verb::Profile(verb) => profile::verbs::run(&verb).map(|()| ExitCode::SUCCESS),
        Verb::Cluster(args) => cluster::run(&args),
        Verb::Try(args) => trial::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Prove(args) => prove::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Boots(args) => boots::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Meet(args) => meet::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Strangers(args) => strangers::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::Smoke(args) => smoke::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(status) => status,
        Err(error) => failure::report(&error),
    }
}

/// Children are logged with their arguments at `-v`; `RUST_LOG` overrides it.
fn log_to_stderr(verbose: bool) {
    let default = if verbose { "debug" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
