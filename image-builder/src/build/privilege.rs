//! What a build may do here: as root, or as an ordinary user who is root in a user namespace.
//!
//! ```text
//! root ──────────────────────────────────────▶ build
//! user ─▶ try a namespace ─▶ begin anew in it ─▶ build
//!                 └─▶ obstacle: what is missing, and what to type
//! ```
//!
//! In the namespace the user is root, and the numbers of `/etc/subuid` and `/etc/subgid` are everybody else, so that
//! packages can be installed with their owners. What the build makes belongs to the user.

use crate::failure::{Advice, Kind};
use crate::host;
use crate::invoker;
use anyhow::Context as _;
use brant_sys::child::{ChildError, Tool};
use std::ffi::{OsStr, OsString};

/// Tells the program that it has begun anew, and who began it.
const INSIDE: &str = "BRANT_IMAGE_USER";

/// Of util-linux 2.38: root is this user, the others are the numbers that belong to it.
const NAMESPACE: [&str; 4] = ["--user", "--map-root-user", "--map-auto", "--"];

/// As whom a build works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// As root.
    Root,
    /// As this user, who is root in a namespace.
    Namespace(String),
    /// As an ordinary user, outside.
    None,
}

/// Why there can be no such namespace.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error("this machine lacks {0}, which give a user's further numbers to a namespace")]
    NoHelpers(&'static str),
    #[error("`{file}` gives the user `{user}` no further numbers")]
    NoNumbers { file: &'static str, user: String },
    #[error("the kernel or `unshare` refuses a user namespace")]
    Refused(#[source] ChildError),
}

impl Privilege {
    /// Looks.
    pub(crate) fn of_this_process() -> Self {
        match (host::is_root(), std::env::var(INSIDE)) {
            (true, Ok(user)) => Self::Namespace(user),
            (true, Err(_)) => Self::Root,
            (false, _) => Self::None,
        }
    }

    /// A sentence about it; nothing for nobody.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::Root => Some("building as root".to_owned()),
            Self::Namespace(user) => {
                Some(format!("building as {user}: root only in a user namespace, which is enough"))
            }
            Self::None => None,
        }
    }
}

/// The command that begins this program anew, in a namespace, with these arguments.
///
/// # Errors
/// What the machine or the user lacks, with what to type.
pub(crate) fn inside(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Tool> {
    let user = invoker::own_name();
    let tried = Tool::new("unshare").args(NAMESPACE).arg("true").run();
    if let Err(error) = tried {
        let obstacle = obstacle(&user, error);
        let hints = [obstacle.remedy(), Some(format!("or as root: sudo {}", as_typed()))];
        let what = "building an image needs root, or a user namespace, to install packages with their owners";
        let advice = hints.into_iter().flatten().fold(Advice::new(Kind::Host, what), Advice::hint);
        return Err(anyhow::Error::new(obstacle).context(advice));
    }
    let program = std::env::current_exe().context("looking up this program")?;
    let tool = Tool::new("unshare").args(NAMESPACE).arg(program).args(arguments).env(INSIDE, user);
    // Whoever may have become this user by `sudo` has another number in there.
    Ok(tool.env("SUDO_UID", ""))
}

/// Begins this program anew in a namespace, as it was called.
///
/// # Errors
/// Likewise; it does not return otherwise.
pub(crate) fn begin_inside() -> anyhow::Result<std::convert::Infallible> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    Err(inside(arguments)?.exec()).context("beginning anew in a user namespace")
}

fn obstacle(user: &str, error: ChildError) -> Obstacle {
    if host::find("newuidmap").is_none() || host::find("newgidmap").is_none() {
        return Obstacle::NoHelpers("newuidmap and newgidmap");
    }
    let listed = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        has_numbers(&text, user, rustix::process::getuid().as_raw())
    };
    match ["/etc/subuid", "/etc/subgid"].into_iter().find(|file| !listed(file)) {
        Some(file) => Obstacle::NoNumbers { file, user: user.to_owned() },
        None => Obstacle::Refused(error),
    }
}

/// Whether a line gives the user, by name or number, as many numbers as Debian's packages may use.
fn has_numbers(text: &str, user: &str, uid: u32) -> bool {
    text.lines().map(|line| line.split(':').collect::<Vec<_>>()).any(|fields| {
        let [owner, _, count] = fields[..] else { return false };
        (owner == user || owner == uid.to_string()) && count.parse().is_ok_and(|count: u64| count >= 65_535)
    })
}

impl Obstacle {
    fn remedy(&self) -> Option<String> {
        match self {
            Self::NoHelpers(_) => Some("sudo apt-get install uidmap".to_owned()),
            Self::NoNumbers { user, .. } => {
                let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
                let first = free_numbers(&(read("/etc/subuid") + &read("/etc/subgid")));
                let range = format!("{first}-{}", first + 65_535);
                Some(format!("sudo usermod --add-subuids {range} --add-subgids {range} {user}"))
            }
            Self::Refused(_) => None,
        }
    }
}

/// The first number behind all that somebody has.
fn free_numbers(text: &str) -> u64 {
    let ends = text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1).map(str::parse::<u64>);
        Some(fields.next()?.ok()? + fields.next()?.ok()?)
    });
    ends.max().unwrap_or(0).max(100_000)
}

/// The command line of this process.
fn as_typed() -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "brant-image".into(), |path| path.display().to_string());
    let words = std::iter::once(program).chain(std::env::args().skip(1));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_a_name_or_a_number_and_have_to_be_enough() {
        let text = "ann:100000:65536\n1001:165536:65536\nfew:300000:1000\nbroken\n";
        assert!(has_numbers(text, "ann", 1000));
        assert!(has_numbers(text, "bob", 1001));
        assert!(!has_numbers(text, "few", 1002));
        assert!(!has_numbers(text, "eve", 1003));
        assert_eq!((free_numbers(text), free_numbers("")), (301_000, 100_000));
    }

    #[test]
    fn without_the_numbers_the_line_that_gives_them_is_named() {
        let obstacle = Obstacle::NoNumbers { file: "/etc/subuid", user: "ann".to_owned() };
        assert!(obstacle.remedy().unwrap().contains("--add-subuids"));
        assert_eq!(obstacle.to_string(), "`/etc/subuid` gives the user `ann` no further numbers");
    }
}
