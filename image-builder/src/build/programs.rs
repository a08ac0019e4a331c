//! The programs of a node: linked statically, built from this tree or taken from a folder.

use crate::failure::{Advice, Kind};
use crate::host;
use crate::invoker::Invoker;
use crate::job::Job;
use crate::progress::Stage;
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// Package, program, and where the program goes on the root.
const PROGRAMS: [(&str, &str, &str); 7] = [
    ("brant-init", "init", "usr/lib/brant/init"),
    ("brant-init", "exec-service", "usr/lib/brant/exec-service"),
    ("node-agent", "node-agent", "usr/lib/brant/node-agent"),
    ("brant-migrationd", "migrationd", "usr/lib/brant/migrationd"),
    ("brant-migrationd", "deputy", "usr/lib/brant/deputy"),
    ("brant-migrationd", "capsule-init", "usr/lib/brant/capsule-init"),
    ("brant-cli", "brant", "usr/bin/brant"),
];

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program of a node.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Where it is now.
    pub file: PathBuf,
    /// Where it goes, without a leading slash.
    pub place: &'static str,
}

/// All programs of a node.
#[derive(Debug, Clone)]
pub(crate) struct Programs(Vec<Program>);

impl Programs {
    /// Takes them from a folder that holds them side by side.
    ///
    /// # Errors
    /// One is missing.
    pub(crate) fn from_folder(folder: &Path) -> anyhow::Result<Self> {
        let programs: Vec<Program> =
            PROGRAMS.iter().map(|(_, name, place)| Program { file: folder.join(name), place }).collect();
        let missing: Vec<String> = programs
            .iter()
            .filter(|program| !program.file.is_file())
            .map(|program| program.file.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(Self(programs));
        }
        Err(Advice::new(Kind::Input, format!("a node's programs are missing: {}", missing.join(", ")))
            .error())
    }

    /// Builds them. Cargo is asked each time; it is quick when nothing has changed.
    ///
    /// # Errors
    /// They do not compile.
    pub(crate) fn build(workspace: &Workspace, stage: &Stage) -> anyhow::Result<Self> {
        let mut packages: Vec<&str> = PROGRAMS.iter().map(|(package, _, _)| *package).collect();
        packages.dedup();
        Self::from_folder(&compile(workspace, &packages, stage)?)
    }

    /// Every program.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Program> {
        self.0.iter()
    }

    /// PID 1 of the initramfs.
    pub(crate) fn init(&self) -> &Path {
        &self.0[0].file
    }
}

/// Builds the programs of these packages as those of a node are built, and returns the folder that they are in.
///
/// # Errors
/// They do not compile.
pub(crate) fn compile(workspace: &Workspace, packages: &[&str], stage: &Stage) -> anyhow::Result<PathBuf> {
    let folder = workspace.target().join("node");
    // Paths in panic messages must not tell where the image was built.
    let home = cargo_home().map(|home| format!("--remap-path-prefix={}=cargo", home.display()));
    let here = format!("--remap-path-prefix={}=brant", workspace.root().display());
    let flags: Vec<String> =
        ["-C".to_owned(), "target-feature=+crt-static".to_owned(), here].into_iter().chain(home).collect();
    let cargo = cargo().context("looking for cargo")?;
    let job = match Invoker::find() {
        // as the person behind `sudo`, whose toolchain and source tree it is
        Some(invoker) => Job::new("setpriv")
            .called("cargo")
            .args(invoker.setpriv())
            .env("HOME", invoker.home())
            .env("USER", invoker.name())
            .arg("--")
            .arg(cargo),
        None => Job::new(cargo),
    };
    job.cwd(workspace.root())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_TERM_COLOR", "never")
        .args(["build", "--locked", "--profile", "node", "--bins", "--target", TARGET, "--target-dir"])
        .arg(&folder)
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .watch(|line| stage.detail(line))
        .context("compiling the programs of a node")?;
    Ok(folder.join(TARGET).join("node"))
}

/// The cargo that runs us, else the one in the path, else rustup's in the home folder.
pub(crate) fn cargo() -> Option<PathBuf> {
    let home = || Invoker::find().map(|invoker| invoker.home().join(".cargo/bin/cargo"));
    let running = std::env::var_os("CARGO").map(PathBuf::from);
    running.or_else(|| host::find("cargo")).or_else(home).filter(|cargo| cargo.is_file())
}

/// Where cargo keeps the sources of crates.
fn cargo_home() -> Option<PathBuf> {
    let home = || Invoker::find().map(|invoker| invoker.home().to_owned()).or_else(std::env::home_dir);
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cargo")))
}
