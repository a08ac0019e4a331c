//! This node's addresses and the networks that it is on, from `/proc/net`.

use brant_types::ports::OVERLAY_INTERFACE as INTERFACE;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where other networks may reach this node: its IPv4 addresses, and its global IPv6 ones.
pub(super) fn own() -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let four = own_ipv4(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let six = own_ipv6(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    four.chain(six).collect()
}

/// The broadcast address of each IPv4 network that this node is on.
pub(super) fn broadcasts() -> Vec<Ipv4Addr> {
    broadcasts_of(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// The routing table as a tree: an address, and below it what it is.
///
/// ```text
///            |-- 10.88.0.15
///               /32 host LOCAL
/// ```
fn own_ipv4(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut lines = trie.lines().map(str::trim).peekable();
    let mut found = BTreeSet::new();
    while let Some(line) = lines.next() {
        let address = line.strip_prefix("|-- ").and_then(|text| text.parse::<Ipv4Addr>().ok());
        let is_own = lines.peek().is_some_and(|next| *next == "/32 host LOCAL");
        found.extend(address.filter(|address| is_own && !address.is_loopback()));
    }
    found
}

/// `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, all but the name in hexadecimal; scope 0 is the whole world.
fn own_ipv6(table: &str) -> BTreeSet<Ipv6Addr> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, "00", _, name] = words[..] else { return None };
        let address = u128::from_str_radix(address, 16).ok()?;
        (name != INTERFACE).then_some(Ipv6Addr::from(address))
    };
    table.lines().filter_map(row).collect()
}

/// `INTERFACE DESTINATION GATEWAY FLAGS … … … MASK …`, addresses in hexadecimal as they lie in memory.
fn broadcasts_of(routes: &str) -> Vec<Ipv4Addr> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number =
            |at: usize| u32::from_str_radix(words.get(at)?, 16).ok().map(u32::from_le).map(u32::swap_bytes);
        let (network, gateway, mask) = (number(1)?, number(2)?, number(7)?);
        // Point-to-point links have none, and what lies behind a gateway is elsewhere.
        (gateway == 0 && mask != 0 && mask.leading_ones() <= 30).then(|| Ipv4Addr::from(network | !mask))
    };
    let found: BTreeSet<Ipv4Addr> = routes.lines().skip(1).filter_map(row).collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_found_in_the_tree() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 4\n     +-- 10.88.0.0/24 2 0 1\n        |-- 10.88.0.0\n           /24 link UNICAST\n        |-- 10.88.0.15\n           /32 host LOCAL\n        |-- 10.88.0.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(own_ipv4(trie), BTreeSet::from([Ipv4Addr::new(10, 88, 0, 15)]));
        assert!(own_ipv4("nonsense").is_empty());
    }

    #[test]
    fn only_global_addresses_of_links_count() {
        let table = "fe80000000000000505400fffe92c601 02 40 20 80     eth0\n\
                     20010db8000000000000000000000001 02 40 00 80     eth0\n\
                     fd45000000000000000000000000abcd 03 40 00 80   brant0\n\
                     00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(own_ipv6(table), BTreeSet::from(["2001:db8::1".parse().unwrap()]));
    }

    #[test]
    fn networks_have_broadcast_addresses() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                      eth0\t00000000\t0200580A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                      eth0\t0000580A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                      eth1\t0000FEA9\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                      ppp0\t01000A0A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";
        let expected = [Ipv4Addr::new(10, 88, 0, 255), Ipv4Addr::new(169, 254, 255, 255)];
        assert_eq!(broadcasts_of(routes), expected);
    }
}
