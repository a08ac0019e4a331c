//! The cases, as their file says them.

use crate::failure::{Advice, Kind};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasesFile {
    /// A folder beside the file whose files every case finds in `$LIB`.
    lib: Option<PathBuf>,
    /// The cases, in their order.
    case: Vec<Case>,
}

/// The cases of one file, or of several.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// The folders whose files every case finds in `$LIB`.
    pub(super) libs: BTreeSet<PathBuf>,
    /// The cases, file by file, in their order.
    pub(super) list: Vec<Case>,
}

/// One program, or several that work together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Case {
    /// Its name.
    pub(super) name: String,
    /// What a shell runs, in an empty folder, as the ordinary user. It may wait for the file `$MARK`.
    #[serde(default)]
    pub(super) script: String,
    /// What a shell runs before, once for both runs, in the folder `$INPUT`; nothing of it is compared.
    #[serde(default)]
    pub(super) setup: String,
    /// Instead of a script: what a person does at an interactive shell's terminal, and sees there.
    #[serde(default)]
    pub(super) dialogue: Vec<Step>,
    /// The shell.
    #[serde(default = "dash")]
    pub(super) shell: String,
    /// What is moved: a pattern for `pgrep -f` each, every one to another node than the one before.
    #[serde(rename = "move", default)]
    pub(super) moved: Vec<String>,
    /// Before that, moves with a fault: at a place in between, the daemon of the node where the program is, or of the
    /// node where it would go, ends, or what it has just done fails: `home frozen`, `target received fails`. `run-full`
    /// is no place, but a node whose `/run` has no room.
    #[serde(default)]
    pub(super) faults: Vec<String>,
    /// What happens once it has moved.
    #[serde(default)]
    pub(super) then: Vec<Happening>,
    /// Instead of coming out equal, it is to be lost: it ends as if killed, and these words are on its standard error.
    #[serde(default)]
    pub(super) lost: Option<String>,
    /// How often each is moved.
    #[serde(default = "once")]
    pub(super) times: u32,
    /// The obstacle that keeps it at home by design.
    #[serde(default)]
    pub(super) obstacle: Option<String>,
    /// Whether it is among the few that every test run has time for.
    #[serde(default)]
    pub(super) quick: bool,
    /// Whether the moves happen at random moments of the time that it took when left alone; else the case waits for them
    /// at a place of its own.
    #[serde(default)]
    pub(super) at_random: bool,
}

/// Something that befalls a process that is away, or the nodes that it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Happening {
    /// The daemon of one node is killed, or of both at once.
    DaemonEnds(Whose),
    /// The network cable of the host is pulled, for so many seconds.
    CableOut(u64),
    /// The host loses its power, for good.
    PowerOut,
    /// The node where it was before loses its power, for good.
    FormerPowerOut,
    /// It is moved on to another node, with this fault in the move.
    MoveWithFault(String),
}

/// The nodes that a process is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Whose {
    /// Where it was started.
    Home,
    /// Where it runs.
    Host,
    /// One and the other.
    Both,
}

/// One step of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Step {
    /// A line is typed, and the return key.
    Type(String),
    /// Keys are typed.
    Keys(String),
    /// The terminal's window gets this many rows and columns.
    Resize(u16, u16),
    /// This text is awaited, after what was typed last. What is typed appears as well.
    Expect(String),
    /// The process that this pattern finds is moved; in the run that is left alone, nothing happens.
    Move(String),
    /// The window of the terminal is closed, and another opened in the same folder.
    HangUp,
}

fn dash() -> String {
    "sh".to_owned()
}

fn once() -> u32 {
    1
}

impl Cases {
    /// Reads them.
    ///
    /// # Errors
    /// The line that is wrong, or a name that two cases have.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut cases = Self::default();
        for path in paths {
            let reading = || Advice::new(Kind::Input, format!("reading the cases in `{}`", path.display()));
            let text = std::fs::read_to_string(path).with_context(reading)?;
            let file: CasesFile = toml::from_str(&text).with_context(reading)?;
            for case in file.case {
                if cases.list.iter().any(|other| other.name == case.name) {
                    let what = format!("`{}` has a second case called `{}`", path.display(), case.name);
                    return Err(Advice::new(Kind::Input, what).error());
                }
                cases.list.push(case);
            }
            cases.libs.extend(file.lib.map(|lib| path.parent().unwrap_or(Path::new(".")).join(lib)));
        }
        Ok(cases)
    }

    /// Those that are wanted.
    ///
    /// # Errors
    /// A name that is none of them.
    pub(super) fn choose(mut self, only: &[String], quick: bool) -> Result<Self> {
        if let Some(stranger) = only.iter().find(|name| self.list.iter().all(|case| case.name != **name)) {
            let names: Vec<&str> = self.list.iter().map(|case| case.name.as_str()).collect();
            let hint = format!("there are: {}", names.join(", "));
            return Err(Advice::new(Kind::Input, format!("choosing the case `{stranger}`"))
                .hint(hint)
                .error());
        }
        self.list.retain(|case| (only.is_empty() || only.contains(&case.name)) && (!quick || case.quick));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Cases {
        let case = |name: &str, quick: bool| {
            format!("[[case]]\nname = \"{name}\"\nscript = \"true\"\nmove = [\"x\"]\nquick = {quick}\n")
        };
        let file: CasesFile = toml::from_str(&(case("a", true) + &case("b", false))).unwrap();
        Cases { list: file.case, ..Cases::default() }
    }

    #[test]
    fn cases_are_chosen_by_name_and_by_how_quick_they_are() {
        let names = |cases: Cases| cases.list.into_iter().map(|case| case.name).collect::<Vec<_>>();
        assert_eq!(names(two().choose(&[], false).unwrap()), ["a", "b"]);
        assert_eq!(names(two().choose(&[], true).unwrap()), ["a"]);
        assert_eq!(names(two().choose(&["b".to_owned()], false).unwrap()), ["b"]);
        assert!(two().choose(&["c".to_owned()], false).is_err());
    }

    #[test]
    fn two_cases_of_one_name_are_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/workloads/faults.toml");
        assert!(Cases::read(&[path.clone(), path]).is_err());
    }

    #[test]
    fn the_cases_that_come_with_brant_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/workloads");
        let files = ["transparency.toml", "corpus.toml", "faults.toml"].map(|name| folder.join(name));
        let cases = Cases::read(&files).unwrap();
        assert_eq!(cases.libs.len(), 2, "{:?}", cases.libs);
        assert!(cases.list.iter().any(|case| case.quick));
        for case in &cases.list {
            assert!(
                case.script.is_empty() != case.dialogue.is_empty(),
                "{}: either script or dialogue",
                case.name
            );
        }
    }
}
