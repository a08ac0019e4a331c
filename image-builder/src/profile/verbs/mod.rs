//! What people do with profiles without building anything.

mod check;
mod list;
mod show;

use clap::Subcommand;
use std::path::PathBuf;

pub(crate) use list::run as list;

/// What `brant-image profile` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileVerb {
    /// Print a profile with all that it builds on, and where each value comes from.
    Show {
        /// One of `brant-image profiles`, or a file.
        profile: String,
    },
    /// Check a profile's file without building it.
    Check {
        /// The file, or one of `brant-image profiles`.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// No such profile, or it is wrong.
pub(crate) fn run(verb: &ProfileVerb) -> anyhow::Result<()> {
    match verb {
        ProfileVerb::Show { profile } => show::run(profile),
        ProfileVerb::Check { file } => check::run(file),
    }
}
