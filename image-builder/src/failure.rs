//! What a person sees when something failed: the kind (as exit status), the chain of causes, and hints.

use crate::interrupt;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// What sort of failure it is; each has an exit status of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that is not said more exactly below.
    Other,
    /// The profile or an argument is wrong.
    Input,
    /// The host lacks a tool, or a right.
    Host,
    /// The network or a mirror did not do its part.
    Network,
    /// No room on a disk.
    Space,
    /// The output cannot be written.
    Output,
}

impl Kind {
    fn status(self) -> u8 {
        match self {
            Self::Other => 1,
            // 2 is clap's, for a wrong command line.
            Self::Input => 3,
            Self::Host => 4,
            Self::Network => 5,
            Self::Space => 6,
            Self::Output => 7,
        }
    }
}

/// One link of an error chain that knows its kind and what to try next.
#[derive(Debug)]
pub(crate) struct Advice {
    kind: Kind,
    what: String,
    hints: Vec<String>,
}

impl Advice {
    /// A link that says `what` failed.
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hints: Vec::new() }
    }

    /// Adds something to try: a sentence that says what to type or to change.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The link as an error without a further cause.
    pub(crate) fn error(self) -> anyhow::Error {
        self.into()
    }
}

impl std::error::Error for Advice {}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Prints the chain and the hints on standard error and returns the exit status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(signal) = interrupt::received() {
        eprintln!("interrupted by {}; everything half done has been removed", signal.as_str());
        return ExitCode::from(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)));
    }
    eprintln!("error: {}", chain(error));
    let (kind, hints) = judge(error);
    for hint in &hints {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(kind.status())
}

/// The whole chain as one sentence.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What tools say when a disk is full.
const SAID_WHEN_FULL: [&str; 3] =
    ["No space left on device", "exceeds free space on media", "Disk quota exceeded"];

/// The kind and the hints of an error; a full disk is recognised wherever it happened.
fn judge(error: &anyhow::Error) -> (Kind, Vec<String>) {
    let full = error.chain().any(|link| {
        link.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::StorageFull)
            || SAID_WHEN_FULL.iter().any(|words| link.to_string().contains(words))
    });
    let advice = error.downcast_ref::<Advice>();
    if full {
        let hint = "free some room on that disk, or remove `target/cache`, and build again".to_owned();
        return (Kind::Space, vec![hint]);
    }
    advice.map_or((Kind::Other, Vec::new()), |advice| (advice.kind, advice.hints.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn advice_is_found_below_further_context() {
        let error =
            Advice::new(Kind::Network, "reaching the mirror").hint("plug it in").error().context("building");
        assert_eq!(chain(&error), "building: reaching the mirror");
        assert_eq!(judge(&error), (Kind::Network, vec!["plug it in".to_owned()]));
    }

    #[test]
    fn a_full_disk_is_recognised_in_an_error_and_in_what_a_tool_said() {
        let ours =
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull)).context("writing it").unwrap_err();
        let theirs =
            anyhow::anyhow!("`tar` ended with exit status 2, saying:\ntar: x: No space left on device");
        assert_eq!(judge(&ours).0, Kind::Space);
        assert_eq!(judge(&theirs).0, Kind::Space);
        assert_eq!(judge(&anyhow::anyhow!("else")).0, Kind::Other);
    }
}
