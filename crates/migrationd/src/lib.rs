//! The root daemon round CRIU, and the wire that it shares with the deputy and the capsule's init.
//!
//! ```text
//!            home node                                         target
//!  shell ── deputy ⇄ session (home/) ══ overlay, TCP ══ session (guest/) ⇄ capsule-init ── the process
//!                       │                                    │
//!            registry: what `brant ps` shows, candidates for the balancer
//! ```
//!
//! `home/` is one move and the life of a process away from home, as its home node sees it; `guest/` the same as the
//! target sees it. A session is one thread a direction, and the registry is the one owner of what is known of them.

#[cfg_attr(feature = "bench-plain-link", path = "plain.rs")]
mod address;
pub mod balance;
pub mod criu;
pub mod descriptors;
pub mod fault;
pub mod guest;
pub mod home;
pub mod inspect;
pub mod link;
pub mod node;
pub mod outbox;
pub mod registry;
pub mod streams;
pub mod users;
pub mod wire;
