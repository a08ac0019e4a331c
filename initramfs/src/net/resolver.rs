//! `/etc/resolv.conf` from the leases of all links. Pure.

use super::dhcp::Lease;
use std::fmt::Write as _;

/// The C library reads no more name servers than these.
const MOST: usize = 3;

/// The file's text; with no name server anywhere (which is normal) it only says so.
pub(super) fn render<'a>(leases: impl Iterator<Item = &'a Lease>) -> String {
    let (mut servers, mut domains) = (Vec::new(), Vec::new());
    for lease in leases {
        for server in &lease.name_servers {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        for domain in &lease.domains {
            if !domains.contains(&domain.as_str()) {
                domains.push(domain.as_str());
            }
        }
    }
    if servers.is_empty() {
        return "# No DHCP server has named a name server.\n".to_owned();
    }
    let mut text = "# From DHCP.\n".to_owned();
    if !domains.is_empty() {
        let _infallible = writeln!(text, "search {}", domains.join(" "));
    }
    for server in servers.iter().take(MOST) {
        let _infallible = writeln!(text, "nameserver {server}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn lease(servers: &[u8], domain: Option<&str>) -> Lease {
        Lease {
            address: Ipv4Addr::new(10, 0, 0, 9),
            prefix: 24,
            server: Ipv4Addr::new(10, 0, 0, 1),
            renew_after: Duration::ZERO,
            rebind_after: Duration::ZERO,
            expires_after: Duration::ZERO,
            routes: Vec::new(),
            name_servers: servers.iter().map(|last| Ipv4Addr::new(10, 0, 0, *last)).collect(),
            domains: domain.map(str::to_owned).into_iter().collect(),
            time_servers: Vec::new(),
            host_name: None,
            mtu: None,
            seeds: Vec::new(),
        }
    }

    #[test]
    fn the_leases_of_all_links_are_merged_without_doubles() {
        let leases = [lease(&[1, 2], Some("a.example")), lease(&[2, 3, 4], Some("b.example"))];
        assert_eq!(
            render(leases.iter()),
            "# From DHCP.\nsearch a.example b.example\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
        );
    }

    #[test]
    fn no_name_server_is_normal() {
        assert!(render([lease(&[], Some("a.example"))].iter()).starts_with('#'));
        assert!(!render(std::iter::empty()).contains("nameserver "));
    }
}
