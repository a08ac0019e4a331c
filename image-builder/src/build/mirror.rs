//! Which Debian mirror to build from: the profile's, else the one the host's apt uses, else mmdebstrap's own default.

use crate::failure::{Advice, Kind};
use crate::interrupt;
use crate::job::Job;
use crate::progress::Stage;
use anyhow::Context as _;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

use super::release::{Release, hex};
use crate::profile::Debian;

/// How Debian labels its main archive.
const MAIN: &str = "Debian";
/// How Debian labels its security archive.
const SECURITY: &str = "Debian-Security";

/// apt's own downloader, which honours the host's proxy settings.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// What to build from, and in which state it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Mirror and suite, the main suite first; none when mmdebstrap is to choose, on a host whose apt knows no mirror.
    pub sources: Vec<(String, String)>,
    /// A digest of the package lists; whoever has the same has the same packages.
    pub state: String,
    /// When the newest of the suites was published, in seconds since 1970.
    pub date: u64,
}

/// Looks for mirrors and asks them what they have.
///
/// # Errors
/// No mirror of the main suite answered.
pub(crate) fn survey(debian: &Debian, work: &Path, stage: &Stage) -> anyhow::Result<Archive> {
    let host =
        if debian.mirror.is_some() && debian.security_mirror.is_some() { Vec::new() } else { host_mirrors() };
    let main = candidates(debian.mirror.as_ref(), &host, MAIN);
    let security = candidates(debian.security_mirror.as_ref(), &host, SECURITY);
    if main.is_empty() {
        return Ok(left_to_mmdebstrap());
    }
    let suite = debian.suite.as_str();
    let mut tried = Vec::new();
    let Some((main, release)) = first_that_has(&main, suite, MAIN, work, stage, &mut tried)? else {
        return Err(unreachable(suite, &tried));
    };
    let mut found = vec![((main.clone(), suite.to_owned()), release)];
    let updates = format!("{suite}-updates");
    if let Some((uri, release)) = first_that_has(&[main], &updates, MAIN, work, stage, &mut tried)? {
        found.push(((uri, updates), release));
    }
    let fixes = format!("{suite}-security");
    if let Some((uri, release)) = first_that_has(&security, &fixes, SECURITY, work, stage, &mut tried)? {
        found.push(((uri, fixes), release));
    }
    Ok(summed_up(found))
}

/// Nobody knows beforehand what mmdebstrap will find: what it found is good for a day.
fn left_to_mmdebstrap() -> Archive {
    const DAY: u64 = 24 * 60 * 60;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let date = now - now % DAY;
    Archive { sources: Vec::new(), state: hex(&Sha256::digest(date.to_be_bytes())), date }
}

fn summed_up(found: Vec<((String, String), Release)>) -> Archive {
    let mut state = Sha256::new();
    for ((_, suite), release) in &found {
        state.update(suite.as_bytes());
        state.update(release.packages.as_bytes());
    }
    Archive {
        date: found.iter().map(|(_, release)| release.date).max().unwrap_or(0),
        sources: found.into_iter().map(|(source, _)| source).collect(),
        state: hex(&state.finalize()),
    }
}

/// A mirror that somebody named is the only candidate; else the host's, in their order.
fn candidates(named: Option<&String>, host: &[HostMirror], label: &str) -> Vec<String> {
    if let Some(named) = named {
        return vec![named.clone()];
    }
    let fits = |mirror: &&HostMirror| mirror.label.is_empty() || mirror.label == label;
    let mut all: Vec<String> = host.iter().filter(fits).map(|mirror| mirror.uri.clone()).collect();
    let mut seen = BTreeSet::new();
    all.retain(|uri| seen.insert(uri.clone()));
    all
}

fn first_that_has(
    uris: &[String],
    suite: &str,
    label: &str,
    work: &Path,
    stage: &Stage,
    tried: &mut Vec<String>,
) -> anyhow::Result<Option<(String, Release)>> {
    for uri in uris {
        stage.detail(&format!("{uri} {suite}"));
        let file = work.join("InRelease");
        let fetched = Job::new(APT_HELPER)
            .args([
                "-o",
                "Acquire::Retries=2",
                "-o",
                "Acquire::http::Timeout=20",
                "-o",
                "Acquire::https::Timeout=20",
            ])
            .args(["-o", "APT::Sandbox::User=root", "download-file"])
            .arg(format!("{uri}/dists/{suite}/InRelease"))
            .arg(&file)
            .run();
        interrupt::check()?;
        match fetched {
            Err(error) => {
                tracing::debug!(%uri, %suite, %error, "not here");
                tried.push(uri.clone());
            }
            Ok(()) => {
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("reading `{}`", file.display()))?;
                std::fs::remove_file(&file).with_context(|| format!("removing `{}`", file.display()))?;
                match Release::parse(&text) {
                    Some(release)
                        if release.origin == "Debian"
                            && release.label == label
                            && release.codename == suite =>
                    {
                        return Ok(Some((uri.clone(), release)));
                    }
                    _ => tried.push(uri.clone()),
                }
            }
        }
    }
    Ok(None)
}

fn unreachable(suite: &str, tried: &[String]) -> anyhow::Error {
    Advice::new(Kind::Network, format!("no mirror of Debian {suite} answered; asked: {}", tried.join(", ")))
        .hint("check the network: is it up, does it need a proxy (`Acquire::http::Proxy` in apt's configuration)?")
        .hint("or name a mirror that can be reached, as `mirror` in the profile's `[debian]`")
        .error()
}

/// A mirror that the host's apt uses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostMirror {
    uri: String,
    /// "Debian" or "Debian-Security"; empty as long as apt has not asked it.
    label: String,
}

/// The mirrors in the host's apt configuration that hold Debian, or of which nobody knows yet what they hold.
fn host_mirrors() -> Vec<HostMirror> {
    let listed = Job::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(LABEL)", "Created-By: Packages"])
        .watch(|_| {});
    let Ok(listed) = listed else {
        return Vec::new(); // an apt with no configuration to speak of
    };
    let mirrors = of_debian(&String::from_utf8_lossy(&listed));
    let resolved = mirrors.into_iter().flat_map(|HostMirror { uri, label }| {
        resolve_list(&uri).into_iter().map(move |uri| HostMirror { uri, label: label.clone() })
    });
    resolved.collect()
}

fn of_debian(listed: &str) -> Vec<HostMirror> {
    let fields = listed.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let mirrors = fields.filter_map(|fields| match fields[..] {
        [uri, "" | "Debian", label] => {
            Some(HostMirror { uri: uri.trim_end_matches('/').to_owned(), label: label.to_owned() })
        }
        _ => None,
    });
    mirrors.collect()
}

/// Debian's cloud images name their mirrors in a file: `mirror+file:/etc/apt/mirrors/debian.list`.
fn resolve_list(uri: &str) -> Vec<String> {
    let Some(list) = uri.strip_prefix("mirror+file:") else {
        return vec![uri.to_owned()];
    };
    let path = format!("/{}", list.trim_start_matches('/'));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let first_word =
        |line: &str| line.split_whitespace().next().map(|word| word.trim_end_matches('/').to_owned());
    text.lines().filter(|line| !line.starts_with('#')).filter_map(first_word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "http://one.example/debian/|Debian|Debian\nhttps://packages.example/apt/|Example|Example\n\
        http://one.example/debian/|Debian|Debian\nhttp://host.example/security/|Debian|Debian-Security\n\
        http://new.example/debian/||\n";

    #[test]
    fn mirrors_of_others_are_left_alone_and_debians_are_asked_once() {
        let host = of_debian(LISTED);
        assert_eq!(candidates(None, &host, MAIN), ["http://one.example/debian", "http://new.example/debian"]);
        let security = candidates(None, &host, SECURITY);
        assert_eq!(security, ["http://host.example/security", "http://new.example/debian"]);
    }

    #[test]
    fn a_named_mirror_is_the_only_candidate() {
        let named = "http://mirror.example/debian".to_owned();
        assert_eq!(candidates(Some(&named), &of_debian(LISTED), MAIN), [named]);
    }

    #[test]
    fn a_list_of_mirrors_is_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "# comment\nhttps://a.example/debian/ priority:1\nhttps://b.example/debian\n",
        )
        .unwrap();
        let uri = format!("mirror+file:{}", file.path().display());
        assert_eq!(resolve_list(&uri), ["https://a.example/debian", "https://b.example/debian"]);
    }
}
