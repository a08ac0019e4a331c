//! The root daemon round CRIU, and the wire that it shares with the deputy and the capsule's init.
//!
//! ```text
//!            home node                                             target
//!  shell ── deputy ⇄ keeper (home/) ══ overlay, TCP ══ stay (guest/) ⇄ capsule-init ── the process
//!                      │                                  │
//!            registry: what `brant ps` shows, candidates for the balancer
//! ```
//!
//! `home/` is a process's home node, `guest/` a node that it stays on; `dump/` makes the image on either. On either side one thread owns one machine of
//! [`brant_migration::session`], tells it what happens and does what it says; the registry is the one owner of what
//! is known of all of them. Deputy and capsule outlive the daemons, and find them again.

#[cfg_attr(feature = "bench-plain-link", path = "plain.rs")]
mod address;
pub mod balance;
pub mod clock;
pub mod criu;
pub mod descriptors;
mod doorman;
pub mod dump;
pub mod fault;
mod groups;
pub mod guest;
mod history;
pub mod home;
mod image;
pub mod inspect;
pub mod link;
pub mod node;
pub mod outbox;
pub mod outlet;
pub mod registry;
mod secrets;
pub mod streams;
mod system;
pub mod users;
pub mod wire;
