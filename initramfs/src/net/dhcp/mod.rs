//! DHCP for IPv4: the messages, and a client that knows no sockets and no clock.

mod client;
mod codec;
mod lease;

pub(super) use client::{Action, Client, Destination};
pub(super) use codec::{decode, encode};
pub(super) use lease::{Lease, Route, prefix_of};

/// The port of servers.
pub(super) const SERVER_PORT: u16 = 67;
/// The port of clients.
pub(super) const CLIENT_PORT: u16 = 68;
