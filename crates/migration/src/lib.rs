//! The rules of moving a process, without any input or output: what can move, when it should, in which order a move
//! goes, and what the nodes say to each other meanwhile.

pub mod balancer;
pub mod criu_request;
#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;
pub mod flat;
pub mod frame;
pub mod link_remaps;
pub mod obstacle;
pub mod page_server;
pub mod pagemap;
mod protobuf;
pub mod protocol;
pub mod rounds;
pub mod session;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod stream;
pub mod tty_info;
