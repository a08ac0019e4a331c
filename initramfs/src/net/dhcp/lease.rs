//! What a server grants. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A route that came with a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Addr,
    pub(crate) prefix: u8,
    /// `None`: the destination is on the link itself.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// An address for a while, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) server: Ipv4Addr,
    /// Counted from the request that was granted.
    pub(crate) renew_after: Duration,
    pub(crate) rebind_after: Duration,
    pub(crate) expires_after: Duration,
    pub(crate) routes: Vec<Route>,
    pub(crate) name_servers: Vec<Ipv4Addr>,
    /// What names without a dot may end with.
    pub(crate) domains: Vec<String>,
    pub(crate) time_servers: Vec<Ipv4Addr>,
    /// What this host is to be called.
    pub(crate) host_name: Option<String>,
    pub(crate) mtu: Option<u16>,
    /// Nodes to try besides the beacon (option 224).
    pub(crate) seeds: Vec<IpAddr>,
}

/// Lease times as they must be for the client to work: T1 ≤ T2 ≤ end, and never a storm of renewals.
pub(super) fn times(lease: Option<u32>, t1: Option<u32>, t2: Option<u32>) -> (Duration, Duration, Duration) {
    /// RFC 2131 makes the time mandatory; an hour is a careful guess where it is missing.
    const GUESS: u32 = 3600;
    const SHORTEST: u32 = 20;
    let lease = lease.unwrap_or(GUESS).max(SHORTEST);
    let t2 = t2.filter(|t2| (1..=lease).contains(t2)).unwrap_or(lease / 8 * 7);
    let t1 = t1.filter(|t1| (1..=t2).contains(t1)).unwrap_or((lease / 2).min(t2));
    let seconds = |count: u32| Duration::from_secs(count.into());
    (seconds(t1), seconds(t2), seconds(lease))
}

/// The prefix length of a mask; one with holes has none.
pub(crate) fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then(|| u8::try_from(ones).unwrap_or(32))
}

/// The prefix length of the address's old class, for servers that send no mask.
pub(super) fn prefix_of_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

/// Option 224: addresses separated by commas or blanks; what is no address is passed over.
pub(super) fn seeds(text: &[u8]) -> Vec<IpAddr> {
    /// Nobody needs more to find a cluster, and a wrong option must not flood us.
    const MOST: usize = 16;
    let text = String::from_utf8_lossy(text);
    let words = text.split(|c: char| c == ',' || c.is_whitespace() || c == '\0');
    words.filter_map(|word| word.parse().ok()).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds((t1, t2, end): (Duration, Duration, Duration)) -> (u64, u64, u64) {
        (t1.as_secs(), t2.as_secs(), end.as_secs())
    }

    #[test]
    fn times_that_are_missing_or_absurd_are_made_up() {
        assert_eq!(seconds(times(Some(800), None, None)), (400, 700, 800));
        assert_eq!(seconds(times(Some(800), Some(100), Some(200))), (100, 200, 800));
        assert_eq!(seconds(times(Some(800), Some(700), Some(200))), (200, 200, 800));
        assert_eq!(seconds(times(Some(800), Some(0), Some(9000))), (400, 700, 800));
        assert_eq!(seconds(times(None, None, None)).2, 3600);
        assert_eq!(seconds(times(Some(0), None, None)).2, 20);
        // "For ever" must not overflow.
        assert_eq!(seconds(times(Some(u32::MAX), None, None)).2, u64::from(u32::MAX));
    }

    #[test]
    fn masks_with_holes_have_no_prefix() {
        assert_eq!(prefix_of(Ipv4Addr::new(255, 255, 255, 0)), Some(24));
        assert_eq!(prefix_of(Ipv4Addr::UNSPECIFIED), Some(0));
        assert_eq!(prefix_of(Ipv4Addr::BROADCAST), Some(32));
        assert_eq!(prefix_of(Ipv4Addr::new(255, 0, 255, 0)), None);
    }

    #[test]
    fn seeds_are_the_addresses_in_the_text() {
        let expected: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(seeds(b"10.0.0.1, fd00::1,nonsense\0"), expected);
        assert_eq!(seeds(&[0xff, 0xfe]), Vec::<IpAddr>::new());
    }
}
