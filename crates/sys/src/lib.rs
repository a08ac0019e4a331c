//! The only unsafe code of Brant, and its only way to start a child process.
//!
//! Everything here is a thin, safe face over one kernel interface. Policy lives in the callers.

#![expect(unsafe_code, reason = "this crate is the one place for it; each block carries its SAFETY comment")]

pub mod cgroup;
pub mod child;
pub mod device_mapper;
pub mod link;
pub mod loop_device;
pub mod memory;
pub mod namespace;
pub mod packet;
pub mod process;
pub mod ptrace;
pub mod pty;
pub mod signal;
pub mod tracepoint;
