//! The nouns and wire formats of Brant. Nothing in here reads, writes, or asks what time it is.

pub mod account;
pub mod agent;
pub mod boot;
pub mod cluster;
pub mod exec;
pub mod meminfo;
pub mod migration;
pub mod node;
pub mod ports;
pub mod processor;
pub mod secret;
pub mod settings;
pub mod site;
pub mod visitors;
