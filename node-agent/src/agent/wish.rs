//! What local programs want changed: one at a time, answered by the task that owns the membership core.

use brant_membership::core::{Instant, Membership, NoRotation, Output};
use brant_types::agent::AgentAnswer;
use brant_types::migration::Refused;
use brant_types::node::NodeId;
use brant_types::settings::{BadValue, Key, NoSuchKey};
use std::net::IpAddr;
use tokio::sync::oneshot;

/// A wish, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) what: What,
    pub(super) answer: oneshot::Sender<AgentAnswer>,
}

/// What is wanted.
#[derive(Debug)]
pub(super) enum What {
    /// A setting's value; none is what holds by itself.
    Set { key: String, value: Option<String> },
    /// A node to be looked for at this address.
    Join(IpAddr),
    /// Another secret, and who is not to have it.
    Rotate { without: Vec<String> },
    /// Out of the cluster.
    Drop,
    /// A node to be admitted, by the code that it shows.
    Admit { node: String, code: String },
}

#[derive(Debug, thiserror::Error)]
enum Unfulfilled {
    #[error(transparent)]
    Key(#[from] NoSuchKey),
    #[error(transparent)]
    Value(#[from] BadValue),
}

/// Changes a setting, and answers.
pub(super) fn set(
    core: &mut Membership,
    (key, value): (&str, Option<String>),
    now: Instant,
) -> (AgentAnswer, Vec<Output>) {
    let change = || Ok::<_, Unfulfilled>(core.set(now, key.parse::<Key>()?, value)?);
    match change() {
        Ok(out) => (AgentAnswer::Done, out),
        Err(why) => (AgentAnswer::Refused(refused("not_a_setting", &why.to_string(), None)), Vec::new()),
    }
}

/// Gives the cluster another secret, and answers.
pub(super) fn rotate(core: &mut Membership, without: &[String], now: Instant) -> (AgentAnswer, Vec<Output>) {
    let view = core.view(None);
    let named = |name: &String| {
        let found = view.nodes.iter().find(|node| node.name == *name || node.id.to_string() == *name);
        found.map(|node| node.id).ok_or(NoRotation::NoSuchNode)
    };
    let without: Result<Vec<NodeId>, NoRotation> = without.iter().map(named).collect();
    match without.and_then(|without| core.rotate(now, super::random(), &without)) {
        Ok(out) => (AgentAnswer::Done, out),
        Err(why) => (AgentAnswer::Refused(refused("no_rotation", &why.to_string(), None)), Vec::new()),
    }
}

/// A refusal for whoever has asked.
pub(super) fn refused(reason: &str, message: &str, hint: Option<&str>) -> Refused {
    Refused { reason: reason.to_owned(), message: message.to_owned(), hint: hint.map(str::to_owned) }
}
