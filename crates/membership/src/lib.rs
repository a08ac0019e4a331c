//! Who is in the cluster, without any input or output: the shell (`node-agent`) hands in datagrams and the time,
//! and carries out what comes back.
//!
//! ```text
//!             beacon heard                 SWIM answers                 SWIM gives up
//! (unknown) ───────────────▶ pending ───────────────────▶ alive ───────────────────────▶ down
//!                              │ not heard for 30 s          ▲                             │
//!                              ▼                             └──────── heard again ────────┘
//!                          (forgotten)                                                (forgotten after 5 min)
//! ```
//!
//! A beacon is only a hint. It makes a node *pending*: it gets a WireGuard peer and a SWIM announcement, and what it
//! answers decides. Everything on the wire is sealed with a key drawn from the cluster's secret, and is opened before
//! it is parsed.

pub mod admission;
pub mod core;
pub mod load;
pub mod replay;
pub mod seal;
#[cfg(feature = "simulation")]
pub mod simulation;
mod swim;
pub mod wire;
