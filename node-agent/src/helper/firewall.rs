//! Who may use the overlay, and what it leads to: rules of nftables.
//!
//! WireGuard says which machine speaks, not which process; so ordinary users, and whatever else runs on a node, are kept off
//! the overlay where they would speak to another node's daemons. On a LAN those daemons are not to be heard at all.

use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::account::{AGENT_USER, Account};
use brant_types::ports::{self, OVERLAY_INTERFACE as INTERFACE};
use std::io::Write;
use std::net::Ipv6Addr;
use std::process::Stdio;

/// NFS, which the kernel serves.
const NFS: u16 = 2049;
/// What people use between nodes.
const SSH: u16 = 22;

/// What chronyd keeps the clocks equal by.
const NTP: u16 = 123;
/// Whose process it is.
const CHRONYD: &str = "_chrony";

/// Puts the rules in force, in one step; those of an earlier agent are replaced.
///
/// # Errors
/// `nft` is missing or refuses them; the rules are what they were before.
pub(super) fn raise(network: Ipv6Addr) -> Result<()> {
    let mut running = Tool::new("nft")
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting nft")?;
    if let Some(mut input) = running.child.stdin.take() {
        input
            .write_all(rules(network, number_of(CHRONYD), number_of(AGENT_USER)).as_bytes())
            .context("telling nft the rules")?;
    }
    running.wait().context("putting the rules of the overlay in force")
}

fn number_of(user: &str) -> Option<u32> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Account::find(&read("/etc/passwd"), &read("/etc/group"), user).map(|account| account.uid)
}

/// The kernel's own sockets (NFS, WireGuard) are root's or nobody's, so a rule about users does not meet them. What a node
/// says to its own address on the overlay goes by the loopback.
fn rules(network: Ipv6Addr, chronyd: Option<u32>, agent: Option<u32>) -> String {
    let migration = ports::MIGRATION;
    let time = chronyd.map_or(String::new(), |uid| format!("\t\tmeta skuid {uid} udp dport {NTP} accept\n"));
    let gossip = ports::GOSSIP;
    let agent =
        agent.map_or(String::new(), |uid| format!("\t\tmeta skuid {uid} udp dport {gossip} accept\n"));
    format!(
        "table inet brant\n\
         delete table inet brant\n\
         table inet brant {{\n\
         \tchain from-here {{\n\
         \t\ttype filter hook output priority filter; policy accept;\n\
         \t\toifname \"lo\" tcp dport {{ {NFS}, {migration} }} meta skuid > 0 reject\n\
         \t\toifname != \"{INTERFACE}\" accept\n\
         \t\tmeta l4proto ipv6-icmp accept\n\
         \t\ttcp dport {SSH} accept\n\
         {time}{agent}\
         \t\tct state established,related accept\n\
         \t\tmeta skuid > 0 reject with icmpx admin-prohibited\n\
         \t}}\n\
         \tchain to-here {{\n\
         \t\ttype filter hook input priority filter; policy accept;\n\
         \t\tiifname \"lo\" accept\n\
         \t\tiifname != \"{INTERFACE}\" ip6 saddr {network}/64 drop\n\
         \t\tiifname != \"{INTERFACE}\" tcp dport {{ {NFS}, {migration} }} drop\n\
         \t\tiifname != \"{INTERFACE}\" udp dport {NTP} drop\n\
         \t\tiifname != \"{INTERFACE}\" accept\n\
         \t\tmeta l4proto ipv6-icmp accept\n\
         \t\tct state established,related accept\n\
         \t\ttcp dport {{ {SSH}, {NFS}, {migration} }} accept\n\
         \t\tudp dport {{ {NTP}, {gossip} }} accept\n\
         \t\treject with icmpx admin-prohibited\n\
         \t}}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_rules_are_replaced_in_the_same_step() {
        let rules = rules(Ipv6Addr::LOCALHOST, Some(101), Some(400));
        let (before, after) = rules.split_once("delete table inet brant\n").unwrap();
        assert_eq!(before, "table inet brant\n");
        assert!(after.starts_with("table inet brant {\n"));
        assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    }

    #[test]
    fn the_daemons_ports_are_named_on_both_sides_of_the_interface() {
        let rules = rules(Ipv6Addr::LOCALHOST, None, None);
        assert_eq!(rules.matches(&ports::MIGRATION.to_string()).count(), 3);
        assert_eq!(rules.matches("meta skuid > 0 reject").count(), 2);
    }
}
