//! One file a verb.

pub(crate) mod admit;
pub(crate) mod history;
pub(crate) mod join;
pub(crate) mod migrate;
pub(crate) mod nodes;
pub(crate) mod page;
pub(crate) mod ps;
pub(crate) mod secret;
pub(crate) mod set;
pub(crate) mod why;
