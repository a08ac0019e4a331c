//! Wired links and their IPv4 addresses. (IPv6 link-local addresses come from the kernel by themselves.)
//!
//! The machines (`dhcp`, `link_local`) and formats (`arp`, `datagram`) are pure; `interface`, `addresses` and
//! `service` do the input and output.

pub(crate) mod addresses;
mod arp;
pub(crate) mod bond;
mod datagram;
mod dhcp;
pub(crate) mod fixed;
mod interface;
mod jitter;
mod link_local;
pub(crate) mod links;
mod netlink;
pub(crate) mod remembered;
mod resolver;
mod service;
pub(crate) mod vlan;

pub(crate) use service::run;
