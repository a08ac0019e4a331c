//! The hand-over from `init` to the services of a node: one file, `/run/brant/boot.toml`.

use crate::node::ClusterId;
use crate::secret::ClusterSecret;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// Where the hand-over file lives (mode 0600, root).
pub const BOOT_FACTS: &str = "/run/brant/boot.toml";

/// What is written to the root lies below this folder: in memory, or on the stick that keeps it.
pub const CHANGES: &str = "/run/brant/rw";

/// The overlay's upper folder of an image's root; each image has one of its own.
pub fn upper_folder(image_id: &str) -> String {
    format!("{CHANGES}/{image_id}/upper")
}

/// What `init` found out about this PC and its image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFacts {
    /// This node's name: one RFC 1123 label, already set as the host name.
    pub host_name: String,
    /// Whether somebody has chosen it; else the first name that a DHCP server gives counts (option 12).
    #[serde(default)]
    pub is_named: bool,
    /// 32 hexadecimal digits, fresh at this boot, unless a stick has kept those of the boot before.
    pub machine_id: String,
    /// What the image was built from; equal on all nodes booted from the same image.
    pub image_id: String,
    /// The cluster's name, for people.
    pub cluster: String,
    /// The cluster's secret; an image without one cannot join.
    pub secret: Option<ClusterSecret>,
    /// Seconds of kernel uptime when the root was mounted.
    pub root_mounted_at: f64,
    /// Addresses to try besides the beacon (`brant.seed=`, DHCP option 224).
    #[serde(default)]
    pub seeds: Vec<IpAddr>,
    /// Who tells the time, as DHCP says (option 42).
    #[serde(default)]
    pub time_servers: Vec<Ipv4Addr>,
    /// How long a home node and a host may be cut off from each other, seconds (`brant.lease=`); none says the usual.
    #[serde(default)]
    pub migration_lease: Option<u16>,
    /// Where what is written goes.
    #[serde(default)]
    pub changes: Changes,
    /// Addresses that somebody has given to links (`ip=`); those ask no DHCP server.
    #[serde(default)]
    pub addresses: Vec<FixedAddress>,
    /// VLANs that somebody has asked for (`vlan=`).
    #[serde(default)]
    pub vlans: Vec<Vlan>,
    /// Bonds that somebody has asked for (`bond=`).
    #[serde(default)]
    pub bonds: Vec<Bond>,
    /// Every wired link, with its lease where DHCP has answered so far.
    #[serde(default)]
    pub links: Vec<LinkFacts>,
}

/// What this node has learned of clusters since it was handed over: [`KEPT`] (mode 0600, root).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The mark ([`ClusterSecret::mark`]) of the medium's secret, where somebody has had this node drop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
    /// The cluster that it was admitted to, or its newer secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Admitted>,
}

/// A cluster, and its secret, as it is told to whom it lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admitted {
    /// The cluster's name, for people.
    pub cluster: String,
    /// Its secret.
    pub secret: ClusterSecret,
}

/// Where [`Kept`] is; on a stick that keeps what is written it outlives the boot.
pub const KEPT: &str = "/run/brant/rw/admitted.toml";

/// What a node was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoFacts {
    /// A file cannot be read.
    #[error("reading `{path}`")]
    Unreadable {
        /// Which.
        path: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be. The parser's own message could quote the secret.
    #[error("`{BOOT_FACTS}` or `{KEPT}` is damaged")]
    Damaged,
}

impl BootFacts {
    /// Has both files read, which only root can, and understands them.
    ///
    /// # Errors
    /// [`NoFacts`].
    pub fn read(file: impl Fn(&str) -> io::Result<String>) -> Result<Self, NoFacts> {
        let unreadable = |path, source| NoFacts::Unreadable { path, source };
        let handed_over = file(BOOT_FACTS).map_err(|error| unreadable(BOOT_FACTS, error))?;
        let kept = match file(KEPT) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(KEPT, error)),
        };
        Self::understand(&handed_over, kept.as_deref()).map_err(|_| NoFacts::Damaged)
    }

    /// Understands the hand-over; the cluster that this node was admitted to since is its own, unless the image has one that
    /// it has not dropped, and a newer secret of the image's cluster counts.
    ///
    /// # Errors
    /// What the parser said; its message may quote the text, which may hold the secret.
    fn understand(handed_over: &str, kept: Option<&str>) -> Result<Self, toml::de::Error> {
        let mut facts: Self = toml::from_str(handed_over)?;
        let Some(kept) = kept else { return Ok(facts) };
        let Kept { dropped, admitted } = toml::from_str(kept)?;
        facts.secret = facts.secret.filter(|own| dropped.as_ref() != Some(&own.mark()));
        let Some(Admitted { cluster, secret }) = admitted else { return Ok(facts) };
        let counts = facts.secret.as_ref().is_none_or(|own| {
            ClusterId::of(own) == ClusterId::of(&secret) && secret.generation() > own.generation()
        });
        if counts {
            facts.cluster = cluster;
            facts.secret = Some(secret);
        }
        Ok(facts)
    }
}

/// What becomes of what is written on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changes {
    /// It is gone with the power, as is usual.
    #[default]
    InMemory,
    /// The stick keeps it.
    OnTheStick,
    /// The stick should have kept it, and could not be used: it is gone with the power.
    NotOnTheStick,
}

/// An address that somebody has given to a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedAddress {
    /// The link's name; the first one, where none is said.
    pub link: Option<String>,
    /// The address.
    pub address: Ipv4Addr,
    /// Its network's length, bits.
    pub prefix: u8,
    /// The way to everywhere else, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    #[serde(default)]
    pub name_servers: Vec<Ipv4Addr>,
}

/// A virtual LAN of a link (IEEE 802.1Q).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// What its link is called.
    pub name: String,
    /// The link that its packets go through.
    pub link: String,
    /// Its number, 1 to 4094.
    pub id: u16,
}

/// Several links as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// What its link is called.
    pub name: String,
    /// What is in it.
    pub links: Vec<String>,
    /// As in `/sys/class/net/NAME/bonding`, in the order in which they are set; the mode is the first.
    pub options: Vec<(String, String)>,
}

/// One wired network link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkFacts {
    /// Interface name.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// The IPv4 address in use and its prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Whether that address came from a DHCP server (else it is link-local, RFC 3927).
    pub from_dhcp: bool,
}

/// What the builder says of an image, on its root.
pub const IMAGE_FACTS: &str = "/usr/lib/brant/image.toml";

/// What the builder says of an image, `/brant/image.toml` in the initramfs and [`IMAGE_FACTS`] on the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// A digest of everything that went in, the secret excepted.
    pub image_id: String,
    /// The profile's name.
    pub profile: String,
    /// Brant's version.
    pub version: String,
    /// What runs the node once the root is there.
    pub system: SystemKind,
    /// Whom a console logs in.
    pub console_user: String,
}

/// The first process of a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemKind {
    /// `init supervise`.
    Brant,
    /// systemd, which starts Brant's services from units.
    Systemd,
}

/// The sums of a medium's files, on the medium: lines of XXH64 in hexadecimal, how many bytes of the file count, and its
/// path.
pub const MEDIUM_SUMS: &str = "/brant/checksums";

/// The file by which a medium with this image is told from all others.
pub fn marker(image_id: &str) -> String {
    format!("/.disk/brant-{image_id}")
}

/// The same for a stick with settings that a person can edit; no copy of its ISO has it.
pub fn stick_marker(image_id: &str) -> String {
    format!("{}-stick", marker(image_id))
}

/// The name of the partition of a stick that keeps what is written.
pub const PERSISTENCE: &str = "brant-persistence";
/// The same, encrypted.
pub const PERSISTENCE_ENCRYPTED: &str = "brant-persistence-encrypted";

/// Where an image has its root file system (a squashfs), `/brant/root.toml` in the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "lowercase", deny_unknown_fields)]
pub enum RootFacts {
    /// The file `/root.squashfs` of the initramfs itself.
    Initramfs {
        /// Its length in bytes.
        size: u64,
        /// XXH64 of all of it, in hexadecimal: against damage; an attack could change this file as well.
        checksum: String,
    },
    /// A file on the medium, checked block by block while it is read.
    Medium {
        /// Its path there, with a name that only this image has.
        file: String,
        /// How it is checked.
        verity: Verity,
    },
}

/// A tree of SHA-256 digests behind the data of a file, as dm-verity reads it (format 1, blocks of 4096 bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verity {
    /// How many blocks of data there are; the tree begins behind them.
    pub data_blocks: u64,
    /// How many blocks the tree has.
    pub tree_blocks: u64,
    /// The digest at the top, in hexadecimal.
    pub root_digest: String,
    /// What each digest begins with, in hexadecimal.
    pub salt: String,
}

impl Verity {
    /// The length of a block, bytes.
    pub const BLOCK: u64 = 4096;

    /// The length of the whole file, bytes.
    pub fn file_length(&self) -> u64 {
        (self.data_blocks + self.tree_blocks) * Self::BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_was_admitted_to_counts_unless_its_image_knows_better() {
        let own = ClusterSecret::from_bytes([1; 32]);
        let other = ClusterSecret::from_bytes([2; 32]);
        let facts = |secret: Option<&ClusterSecret>,
                     kept: &ClusterSecret,
                     dropped: Option<&ClusterSecret>| {
            let secret = secret.map_or(String::new(), |secret| format!("secret = \"{}\"", secret.reveal()));
            let text = format!(
                "host_name = \"a\"\nmachine_id = \"1\"\nimage_id = \"2\"\ncluster = \"x\"\nroot_mounted_at = 4.0\n{secret}"
            );
            let admitted = Admitted { cluster: "kept".to_owned(), secret: kept.clone() };
            let kept = Kept { dropped: dropped.map(ClusterSecret::mark), admitted: Some(admitted) };
            let facts = BootFacts::understand(&text, Some(&toml::to_string(&kept).unwrap())).unwrap();
            (facts.cluster, facts.secret.unwrap())
        };
        let later = own.successor([3; 32]);
        assert_eq!(facts(None, &other, None), ("kept".to_owned(), other.clone()));
        assert_eq!(facts(Some(&own), &later, None), ("kept".to_owned(), later.clone()));
        assert_eq!(facts(Some(&own), &other, None), ("x".to_owned(), own.clone()));
        assert_eq!(facts(Some(&later), &own, None), ("x".to_owned(), later.clone()));
        // What was dropped does not count, and what somebody has written onto the stick since does.
        assert_eq!(facts(Some(&own), &other, Some(&own)), ("kept".to_owned(), other.clone()));
        assert_eq!(facts(Some(&later), &other, Some(&own)), ("x".to_owned(), later));
    }
}
