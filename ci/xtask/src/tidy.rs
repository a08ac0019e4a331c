//! What reviewers should not have to see: long files, files that do not say what they are, impurity in pure crates.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, tests at its end not counted; a line `// long: reason` near the top allows more.
const MOST_LINES: usize = 400;
/// Crates that do no input or output.
const PURE: [&str; 3] = ["crates/types/", "crates/membership/", "crates/migration/"];
/// What pure code does not name.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "tokio",
];

/// Checks every Rust file of the workspace.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for folder in ["ci", "crates", "fuzz/fuzz_targets", "image-builder", "initramfs", "node-agent"] {
        for path in rust_files(&root.join(folder))? {
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            faults.extend(faults_of(&name, &text).into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    if !faults.is_empty() {
        bail!("{} places are untidy:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("listing `{}`", folder.display()))? {
            let path = entry.with_context(|| format!("listing `{}`", folder.display()))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn faults_of(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let lines = code.lines().count();
    let excused = text.lines().take(20).any(|line| line.starts_with("// long: "));
    if lines > MOST_LINES && !excused {
        faults.push(format!("{lines} lines; is it still one room with one purpose? (at most {MOST_LINES})"));
    }
    if !text.starts_with("//!") {
        faults.push("does not begin with `//!`, saying what it is for".to_owned());
    }
    if PURE.iter().any(|pure| name.starts_with(pure)) {
        let named = IMPURE.iter().filter(|word| {
            code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(*word))
        });
        faults.extend(named.map(|word| format!("names `{word}`, and pure crates do no input or output")));
    }
    let inlined = code
        .lines()
        .any(|line| line.contains("#[error(") && (line.contains("{source") || line.contains("{0}: {1}")));
    if inlined {
        faults.push("an error repeats its source inside its message".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_files_pass_and_each_fault_is_named() {
        assert!(faults_of("crates/types/src/a.rs", "//! Fine.\n").is_empty());
        assert_eq!(faults_of("crates/sys/src/a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(faults_of("crates/types/src/a.rs", "//! Reads.\nuse std::fs;\n").len(), 1);
        assert!(faults_of("crates/sys/src/a.rs", "//! Reads.\nuse std::fs;\n").is_empty());
        let long = format!("//! Long.\n{}", "x\n".repeat(401));
        assert_eq!(faults_of("a.rs", &long).len(), 1);
        assert!(faults_of("a.rs", &format!("//! Long.\n// long: a table\n{}", "x\n".repeat(401))).is_empty());
    }
}
