//! The kernel's command line, as far as `init` cares. Pure.

use crate::net::{bond, fixed, vlan};
use brant_types::boot::{Bond, FixedAddress, Vlan};
use brant_types::node::is_node_name;
use brant_types::site::ARGUMENTS_FOLLOW;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};

/// What the command line asks of `init`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// `brant.seed=ADDR[,ADDR…]`: nodes to try besides the beacon.
    pub(crate) seeds: Vec<IpAddr>,
    /// `brant.name=LABEL`: this node's name.
    pub(crate) name: Option<String>,
    /// `brant.lease=SECONDS`: how long home and host of a process may be cut off from each other, 3 to 600.
    pub(crate) migration_lease: Option<u16>,
    /// `brant.rescue`: a shell instead of a boot.
    pub(crate) rescue: bool,
    /// `toram`, or `brant.toram`: copy the root to memory, so that the medium can be taken out.
    pub(crate) to_memory: bool,
    /// `findiso=PATH`, or `iso-scan/filename=PATH`: the ISO image that a boot loader has started, on its disk.
    pub(crate) image_file: Option<String>,
    /// `brant.server=ADDR[:PORT]`, or pxelinux's `ip=CLIENT:ADDR:…`: where a node has booted from over the network, and
    /// where it fetches its root from. It is a seed as well.
    pub(crate) server: Option<SocketAddrV4>,
    /// `ip=ADDRESS:::MASK::LINK:none`: addresses that somebody has given to links.
    pub(crate) addresses: Vec<FixedAddress>,
    /// `bond=NAME:LINK,LINK…`: links that are several as one, to be made.
    pub(crate) bonds: Vec<Bond>,
    /// `vlan=NAME:LINK`: links of VLANs, to be made.
    pub(crate) vlans: Vec<Vlan>,
    /// `brant.stick`: there is a `brant.toml` on the stick that this node was started from.
    pub(crate) stick: bool,
    /// `brant.persistence=off`: nothing is taken from what a stick keeps, and nothing is kept.
    pub(crate) forgetful: bool,
    /// `brant.verify`: compare the medium's files with their sums instead of a boot.
    pub(crate) verify: bool,
    /// `modprobe.blacklist=NAME[,NAME…]`, as modprobe takes it.
    pub(crate) forbidden_modules: Vec<String>,
    /// `MODULE.PARAMETER=VALUE`: parameters by module name ('-' written as '_').
    pub(crate) module_parameters: BTreeMap<String, String>,
    /// What begins with `brant.` and means nothing, for a complaint.
    pub(crate) unknown: Vec<String>,
}

impl CommandLine {
    /// Reads the text of `/proc/cmdline`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut line = Self::default();
        line.add(text);
        line
    }

    /// Reads more of it.
    pub(crate) fn add(&mut self, text: &str) {
        for word in words(text) {
            // Behind `--` the kernel passes words to init as arguments; none of those are ours.
            if word == "--" {
                break;
            }
            let (key, value) =
                word.split_once('=').map_or((word.as_str(), None), |(key, value)| (key, Some(value)));
            self.take(key, value, &word);
        }
    }

    fn set_server(&mut self, server: SocketAddrV4) {
        self.server = Some(server);
        self.seeds.push(IpAddr::V4(*server.ip()));
    }

    fn take(&mut self, key: &str, value: Option<&str>, word: &str) {
        match (key, value) {
            ("brant.rescue", None | Some("1")) => self.rescue = true,
            ("brant.verify", None | Some("1")) => self.verify = true,
            ("brant.stick", None) => self.stick = true,
            ("brant.persistence", Some("off")) => self.forgetful = true,
            // Room for what a site adds; see `brant_types::site`.
            (ARGUMENTS_FOLLOW, None) => {}
            ("brant.rescue", Some("0")) => self.rescue = false,
            ("toram" | "brant.toram", None | Some("1")) => self.to_memory = true,
            ("findiso" | "iso-scan/filename", Some(path)) => self.image_file = Some(path.to_owned()),
            ("brant.name", Some(name)) if node_name(name).is_some() => self.name = node_name(name),
            ("brant.lease", Some(seconds)) => match seconds.parse() {
                Ok(seconds @ 3..=600) => self.migration_lease = Some(seconds),
                _ => self.unknown.push(word.to_owned()),
            },
            ("brant.server", Some(text)) => match server(text) {
                Some(server) => self.set_server(server),
                None => self.unknown.push(word.to_owned()),
            },
            ("ip", Some(text)) => {
                match fixed::parse(text) {
                    Ok(None) => {}
                    Ok(Some(address)) => return self.addresses.push(address),
                    Err(()) => return self.unknown.push(word.to_owned()),
                }
                let told = text.split(':').nth(1).and_then(server);
                if let (None, Some(server)) = (self.server, told) {
                    self.set_server(server);
                }
            }
            ("vlan", Some(text)) => match vlan::parse(text) {
                Some(vlan) => self.vlans.push(vlan),
                None => self.unknown.push(word.to_owned()),
            },
            ("bond", Some(text)) => match bond::parse(text) {
                Some(bond) => self.bonds.push(bond),
                None => self.unknown.push(word.to_owned()),
            },
            ("brant.seed", Some(list)) => {
                for item in list.split(',').filter(|item| !item.is_empty()) {
                    match item.trim_matches(['[', ']']).parse() {
                        Ok(address) => self.seeds.push(address),
                        Err(_) => self.unknown.push(format!("brant.seed={item}")),
                    }
                }
            }
            ("modprobe.blacklist" | "module_blacklist", Some(list)) => {
                self.forbidden_modules
                    .extend(list.split(',').map(module_name).filter(|name| !name.is_empty()));
            }
            _ if key.starts_with("brant.") => self.unknown.push(word.to_owned()),
            _ => {
                if let Some((module, parameter)) = word.split_once('.')
                    && !module.contains('=')
                {
                    let parameters = self.module_parameters.entry(module_name(module)).or_default();
                    if !parameters.is_empty() {
                        parameters.push(' ');
                    }
                    parameters.push_str(parameter);
                }
            }
        }
    }
}

/// The web's port, where none is named.
const WEB: u16 = 80;

fn server(text: &str) -> Option<SocketAddrV4> {
    text.parse().ok().or_else(|| Some(SocketAddrV4::new(text.parse().ok()?, WEB)))
}

/// A node's name as somebody has written it; none where it cannot be one.
pub(crate) fn node_name(text: &str) -> Option<String> {
    Some(text.to_ascii_lowercase()).filter(|name| is_node_name(name))
}

/// A module's name with '_' for '-', the one spelling we compare.
pub(crate) fn module_name(text: &str) -> String {
    text.trim().replace('-', "_")
}

/// Splits at blanks that are not between double quotes; the quotes go away, as in the kernel.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_command_line_asks_for_nothing() {
        let line = CommandLine::parse("BOOT_IMAGE=/vmlinuz console=tty0 console=ttyS0,115200 quiet\n");
        assert_eq!(line, CommandLine::default());
    }

    #[test]
    fn seeds_are_addresses_and_others_are_complained_about() {
        let line = CommandLine::parse("brant.seed=10.0.0.1,[fe80::1],nonsense brant.seed=10.0.0.2");
        let expected: Vec<IpAddr> = ["10.0.0.1", "fe80::1", "10.0.0.2"].map(|a| a.parse().unwrap()).into();
        assert_eq!(line.seeds, expected);
        assert_eq!(line.unknown, ["brant.seed=nonsense"]);
    }

    #[test]
    fn a_lease_has_its_bounds() {
        assert_eq!(CommandLine::parse("brant.lease=30").migration_lease, Some(30));
        for word in ["brant.lease=2", "brant.lease=601", "brant.lease=ten"] {
            let line = CommandLine::parse(word);
            assert_eq!((line.migration_lease, line.unknown), (None, vec![word.to_owned()]));
        }
    }

    #[test]
    fn quotes_hold_blanks_together() {
        let line = CommandLine::parse("nfs.x=\"a b\" brant.rescue");
        assert_eq!(line.module_parameters["nfs"], "x=a b");
        assert!(line.rescue);
    }

    #[test]
    fn module_words_are_collected_in_one_spelling() {
        let line = CommandLine::parse(
            "usb-storage.quirks=1:2:u usb_storage.delay_use=0 modprobe.blacklist=e1000,b-c",
        );
        assert_eq!(line.module_parameters["usb_storage"], "quirks=1:2:u delay_use=0");
        assert_eq!(line.forbidden_modules, ["e1000", "b_c"]);
    }

    #[test]
    fn a_value_with_a_dot_is_no_module_parameter() {
        assert!(CommandLine::parse("BOOT_IMAGE=/boot/vmlinuz-6.12 ip=10.0.0.1").module_parameters.is_empty());
    }

    #[test]
    fn names_are_labels_and_nothing_behind_the_dashes_counts() {
        assert_eq!(CommandLine::parse("brant.name=Heron-1").name.as_deref(), Some("heron-1"));
        assert_eq!(CommandLine::parse("brant.name=-x").unknown, ["brant.name=-x"]);
        assert!(!CommandLine::parse("-- brant.rescue").rescue);
    }
}
