//! Wired links and their addresses.

pub(crate) mod links;
mod netlink;
