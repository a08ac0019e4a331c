//! A profile's lock file: the packages that its image is made of, with version and digest. Written on request; a build
//! that is told to keep to it refuses anything else.

use crate::failure::{Advice, Kind};
use crate::manifest::Package;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many differences are named one by one.
const NAMED: usize = 20;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    #[serde(rename = "package")]
    packages: Vec<Package>,
}

/// Writes the packages down.
///
/// # Errors
/// The file cannot be written; it is as it was.
pub(crate) fn write(path: &Path, packages: &[Package]) -> anyhow::Result<()> {
    let writing = || format!("writing the lock file `{}`", path.display());
    let text = toml::to_string(&LockFile { packages: packages.to_vec() }).with_context(writing)?;
    let half = path.with_extension("lock.part");
    let head =
        "# Written by `brant-image build --lock`; `--locked` builds from these packages and no others.\n\n";
    fs::write(&half, head.to_owned() + &text).and_then(|()| fs::rename(&half, path)).with_context(writing)?;
    crate::invoker::give(path);
    Ok(())
}

/// Compares the packages with those written down.
///
/// # Errors
/// There is no lock file, or they differ; each difference is named.
pub(crate) fn check(path: &Path, packages: &[Package]) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| {
        let advice = Advice::new(Kind::Input, format!("reading the lock file `{}`", path.display()));
        advice.hint("`brant-image build --lock` writes one")
    })?;
    let locked: LockFile =
        toml::from_str(&text).with_context(|| format!("reading the lock file `{}`", path.display()))?;
    let differences = differences(&locked.packages, packages);
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(NAMED);
    let mut what = format!("these packages are not those of `{}`:", path.display());
    for difference in differences.iter().take(NAMED) {
        what += &format!("\n  {difference}");
    }
    if more > 0 {
        what += &format!("\n  and {more} more");
    }
    let hint =
        "build from a mirror that still has them (`[debian] mirror`), or write a new lock file with `--lock`";
    Err(Advice::new(Kind::Input, what).hint(hint).error())
}

fn differences(locked: &[Package], found: &[Package]) -> Vec<String> {
    let by_name = |all: &[Package]| -> BTreeMap<String, (String, String)> {
        let entry = |it: &Package| {
            (format!("{}:{}", it.name, it.architecture), (it.version.clone(), it.sha256.clone()))
        };
        all.iter().map(entry).collect()
    };
    let (locked, found) = (by_name(locked), by_name(found));
    let mut all = Vec::new();
    for (name, (version, digest)) in &locked {
        match found.get(name) {
            None => all.push(format!("{name} {version} is locked, and is not there")),
            Some((other, _)) if other != version => {
                all.push(format!("{name} {version} is locked, and {other} is there"));
            }
            Some((_, other)) if other != digest => {
                all.push(format!("{name} {version} has another digest than the locked one"));
            }
            Some(_) => {}
        }
    }
    let new = found.iter().filter(|(name, _)| !locked.contains_key(*name));
    all.extend(new.map(|(name, (version, _))| format!("{name} {version} is there, and is not locked")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, sha256: &str) -> Package {
        let text = |text: &str| text.to_owned();
        Package { name: text(name), version: text(version), architecture: text("all"), sha256: text(sha256) }
    }

    #[test]
    fn what_was_written_is_kept_to_and_every_difference_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let packages = [package("a", "1", "aa"), package("b", "1", "bb"), package("c", "1", "cc")];
        assert!(check(&path, &packages).is_err());
        write(&path, &packages).unwrap();
        check(&path, &packages).unwrap();
        let others = [package("a", "2", "aa"), package("b", "1", "xx"), package("d", "1", "dd")];
        let said = check(&path, &others).unwrap_err().to_string();
        for wanted in [
            "a:all 1 is locked, and 2 is there",
            "b:all 1 has another",
            "c:all 1 is locked",
            "d:all 1 is there",
        ] {
            assert!(said.contains(wanted), "{said}");
        }
    }
}
