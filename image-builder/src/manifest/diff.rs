//! `brant-image diff A B`: what changed from one image to another.

use super::artefact::Artefact;
use super::{FileEntry, Manifest, Package};
use anyhow::{Context as _, Result};
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Say what changed from one image to another; exit status 1 when something did.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// An image.
    a: PathBuf,
    /// Another one.
    b: PathBuf,
}

/// Prints a line for each difference: `-` only in A, `+` only in B, `~` in both and not equal.
///
/// # Errors
/// One of them is not an image of ours.
pub(crate) fn run(args: &DiffArgs) -> Result<ExitCode> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let lines = differences(&a, &b);
    let mut out = std::io::stdout().lock();
    for line in &lines {
        writeln!(out, "{line}").context("printing differences")?;
    }
    Ok(if lines.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn read(path: &Path) -> Result<Manifest> {
    let reading = || format!("reading `{}`", path.display());
    Artefact::open(path).and_then(|artefact| artefact.manifest()).with_context(reading)
}

fn differences(a: &Manifest, b: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, a, b) in [
        ("image", &a.image.image_id, &b.image.image_id),
        ("profile", &a.image.profile, &b.image.profile),
        ("version", &a.image.version, &b.image.version),
        ("kernel", &a.kernel, &b.kernel),
        ("suite", &a.debian.suite, &b.debian.suite),
    ] {
        if a != b {
            lines.push(format!("~ {what}  {a} → {b}"));
        }
    }
    compare("tool", &a.tools, &b.tools, &mut lines);
    let packages = |all: &[Package]| {
        all.iter().map(|it| (it.name.clone(), format!("{} {}", it.version, it.architecture))).collect()
    };
    compare("package", &packages(&a.packages), &packages(&b.packages), &mut lines);
    let files = |all: &[FileEntry]| {
        all.iter()
            .map(|it| {
                (it.path.clone(), format!("{} bytes, {}", it.bytes, &it.sha256[..12.min(it.sha256.len())]))
            })
            .collect()
    };
    compare("medium", &files(&a.medium), &files(&b.medium), &mut lines);
    compare("root", &files(&a.root), &files(&b.root), &mut lines);
    lines
}

fn compare(what: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>, lines: &mut Vec<String>) {
    for (name, value) in a {
        match b.get(name) {
            None => lines.push(format!("- {what}  {name}  {value}")),
            Some(other) if other != value => lines.push(format!("~ {what}  {name}  {value} → {other}")),
            Some(_) => {}
        }
    }
    for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
        lines.push(format!("+ {what}  {name}  {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_has_a_line() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let mut lines = Vec::new();
        compare(
            "package",
            &map(&[("a", "1"), ("b", "1"), ("c", "1")]),
            &map(&[("a", "1"), ("b", "2"), ("d", "1")]),
            &mut lines,
        );
        assert_eq!(lines, ["~ package  b  1 → 2", "- package  c  1", "+ package  d  1"]);
    }
}
