//! What local programs want changed: one at a time, answered by the task that owns the membership core.

use brant_membership::core::{Membership, Output};
use brant_types::agent::SetAnswer;
use brant_types::migration::Refused;
use brant_types::settings::{BadValue, Key, NoSuchKey};
use tokio::sync::oneshot;

/// A setting that is to be changed, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) answer: oneshot::Sender<SetAnswer>,
}

#[derive(Debug, thiserror::Error)]
enum Unfulfilled {
    #[error(transparent)]
    Key(#[from] NoSuchKey),
    #[error(transparent)]
    Value(#[from] BadValue),
}

impl Wish {
    /// Changes it, and answers.
    pub(crate) fn fulfil(self, core: &mut Membership) -> Vec<Output> {
        let (answer, out) = match change(core, &self.key, self.value) {
            Ok(out) => (SetAnswer::Set, out),
            Err(why) => (SetAnswer::Refused(refused("not_a_setting", &why.to_string(), None)), Vec::new()),
        };
        let _gone_away = self.answer.send(answer);
        out
    }
}

fn change(core: &mut Membership, key: &str, value: Option<String>) -> Result<Vec<Output>, Unfulfilled> {
    Ok(core.set(key.parse::<Key>()?, value)?)
}

/// A refusal for whoever has asked.
pub(crate) fn refused(reason: &str, message: &str, hint: Option<&str>) -> Refused {
    Refused { reason: reason.to_owned(), message: message.to_owned(), hint: hint.map(str::to_owned) }
}
