//! ssh between the nodes, without a question and without a shared key.
//!
//! One authority of the cluster, drawn from its secret, signs this node's host key, and for each person a key that is made
//! here and never leaves. So nothing is to be distributed: every node knows the authority. What it signs for people counts
//! only from the cluster's own network (`source-address`), and what it says of hosts only for the cluster's names and
//! addresses.
//!
//! ```text
//! secret ─HKDF─▶ authority ─┬─▶ ssh_host_ed25519_key-cert.pub     who this node is
//!                           ├─▶ /run/brant/ssh/USER/id-cert.pub   who its people are
//!                           └─▶ ssh_known_hosts, TrustedUserCAKeys on every node
//! ```
//!
//! Formats: OpenSSH's PROTOCOL.certkeys, ssh_config(5), sshd(8).

use super::files::replace;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use brant_types::cluster::{ClusterConfig, NodeEntry};
use brant_types::node::{ClusterId, NodeId};
use brant_types::secret::ClusterSecret;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use std::fs::{self, DirBuilder};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::Path;

const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
const HOST_CERTIFICATE: &str = "/etc/ssh/ssh_host_ed25519_key-cert.pub";
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";
const CLIENT: &str = "/etc/ssh/ssh_config.d/brant.conf";
/// Where sshd is told to look for it (`overlay/common/etc/ssh/sshd_config.d/brant.conf`).
const AUTHORITY: &str = "/run/brant/ssh/authority.pub";
const PEOPLES: &str = "/run/brant/ssh";
/// The numbers of people, as Debian gives them.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;
/// A certificate's first and last second; clocks of PCs may say anything.
const ALWAYS: (u64, u64) = (0, i64::MAX as u64);
/// What a person may do with a session.
const PERMITTED: [&str; 5] = [
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
];

/// What ssh on this node knows of the cluster.
pub(super) struct Ssh {
    authority: PrivateKey,
    cluster: ClusterId,
    me: NodeId,
    /// The names and the host key that the host's certificate is for.
    certified: Option<(Vec<String>, String)>,
    names: Vec<String>,
    /// What all nodes are called.
    hosts: Vec<String>,
}

impl Ssh {
    /// Makes people's keys; none where the image has no ssh.
    pub(super) fn begin(secret: &ClusterSecret, me: NodeId) -> Result<Option<Self>> {
        if !Path::new("/usr/bin/ssh").exists() {
            return Ok(None);
        }
        let authority = PrivateKey::from(Ed25519Keypair::from_seed(&secret.key("ssh authority")));
        let ssh = Self {
            authority,
            cluster: ClusterId::of(secret),
            me,
            certified: None,
            names: Vec::new(),
            hosts: Vec::new(),
        };
        let authority_line = format!("{}\n", ssh.authority_text()?);
        // What an earlier one has signed is of no use any more.
        if fs::read_to_string(AUTHORITY).is_ok_and(|known| known != authority_line) {
            fs::remove_dir_all(PEOPLES).with_context(|| format!("clearing `{PEOPLES}`"))?;
        }
        fs::create_dir_all(PEOPLES).with_context(|| format!("making `{PEOPLES}`"))?;
        replace(Path::new(AUTHORITY), &authority_line)?;
        let people = fs::read_to_string("/etc/passwd").context("reading `/etc/passwd`")?;
        for (name, uid, gid) in people.lines().filter_map(person) {
            if let Err(error) = ssh.equip(name, uid, gid) {
                tracing::error!("making an ssh key for `{name}`: {error:#}");
            }
        }
        Ok(Some(ssh))
    }

    /// Has the authority of a newer secret sign everything anew. What is open stays open.
    pub(super) fn renew(&mut self, secret: &ClusterSecret) -> Result<()> {
        let Some(mut anew) = Self::begin(secret, self.me)? else { return Ok(()) };
        anew.names.clone_from(&self.names);
        anew.hosts.clone_from(&self.hosts);
        *self = anew;
        replace(Path::new(KNOWN_HOSTS), &self.known_hosts()?)?;
        self.certify_host()
    }

    /// Lets names and trust follow the cluster.
    pub(super) fn follow(&mut self, config: &ClusterConfig) -> Result<()> {
        self.hosts = config.nodes.iter().flat_map(names).collect();
        replace(Path::new(KNOWN_HOSTS), &self.known_hosts()?)?;
        replace(Path::new(CLIENT), &client(config))?;
        if let Some(own) = config.nodes.iter().find(|node| node.id == self.me) {
            self.names = names(own);
        }
        self.certify_host()
    }

    /// Signs the host's key, once there is one, for the names that the node has now.
    pub(super) fn certify_host(&mut self) -> Result<()> {
        let Ok(key) = fs::read_to_string(HOST_KEY) else { return Ok(()) };
        let wanted = (self.names.clone(), key);
        if self.names.is_empty() || self.certified.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let key = PublicKey::from_openssh(&wanted.1).context("reading the host's key")?;
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let certificate = self.certificate(&key, CertType::Host, &names)?;
        replace(Path::new(HOST_CERTIFICATE), &certificate)?;
        self.certified = Some(wanted);
        reload_server().context("telling the ssh server of its certificate")
    }

    /// A key that only this person can read.
    fn equip(&self, name: &str, uid: u32, gid: u32) -> Result<()> {
        let folder = Path::new(PEOPLES).join(name);
        if folder.join("id-cert.pub").exists() {
            return Ok(());
        }
        let _left_half_made = fs::remove_dir_all(&folder);
        // Root's folder: its person reads what is in it, and cannot put anything there.
        DirBuilder::new().mode(0o711).create(&folder)?;
        let mut seed = [0; 32];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let certificate = self.certificate(key.public_key(), CertType::User, &[name])?;
        let text = key.to_openssh(LineEnding::LF)?;
        let path = folder.join("id");
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        let public = format!("{}\n", key.public_key().to_openssh()?);
        fs::write(folder.join("id.pub"), public)?;
        fs::write(folder.join("id-cert.pub"), certificate)?;
        for file in ["id", "id.pub", "id-cert.pub"] {
            chown(folder.join(file), Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn certificate(&self, key: &PublicKey, kind: CertType, names: &[&str]) -> Result<String> {
        let mut nonce = vec![0; 32];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())
            .context("asking for random bytes")?;
        let mut builder = Builder::new(nonce, key, ALWAYS.0, ALWAYS.1)?;
        builder.cert_type(kind)?.key_id(format!("{} of {}", names.join(" "), self.me))?;
        for name in names {
            builder.valid_principal(*name)?;
        }
        if kind == CertType::User {
            builder.critical_option("source-address", format!("{}/64", self.cluster.network()))?;
            for permission in PERMITTED {
                builder.extension(permission, "")?;
            }
        }
        let certificate = builder.sign(&self.authority).context("signing")?;
        Ok(format!("{}\n", certificate.to_openssh()?))
    }

    fn authority_text(&self) -> Result<String> {
        self.authority.public_key().to_openssh().context("writing the authority's key")
    }

    fn known_hosts(&self) -> Result<String> {
        Ok(format!(
            "# Written by node-agent: who vouches for the nodes of this cluster.\n@cert-authority {} {}\n",
            self.hosts.join(","),
            self.authority_text()?
        ))
    }
}

/// Lets nobody in by the word of an authority that this node does not follow any more, nor says who it is by it.
pub(super) fn forget() -> Result<()> {
    for place in [PEOPLES, HOST_CERTIFICATE, KNOWN_HOSTS, CLIENT] {
        let path = Path::new(place);
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match gone {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing `{place}`"));
            }
            _ => {}
        }
    }
    reload_server().context("telling the ssh server to forget its certificate")
}

/// A server that runs has read its certificates; one that does not yet will find what is there.
fn reload_server() -> Result<()> {
    if Path::new("/run/systemd/system").exists() {
        Tool::new("systemctl").args(["try-reload-or-restart", "--no-block", "ssh.service"]).run()?;
    }
    Ok(())
}

/// What a node is called: its name, the same with the cluster's domain, and its address on the overlay.
fn names(node: &NodeEntry) -> Vec<String> {
    vec![node.name.clone(), format!("{}.brant", node.name), node.overlay.to_string()]
}

/// For the nodes of the cluster the key that is made for that; for all else what people have said themselves.
fn client(config: &ClusterConfig) -> String {
    let hosts: Vec<String> = config.nodes.iter().flat_map(names).collect();
    format!(
        "# Written by node-agent: how people get from node to node.\nHost {}\n    IdentityFile {PEOPLES}/%u/id\n",
        hosts.join(" ")
    )
}

/// Name, number and group of a line of `/etc/passwd`, if it is a person's who can log in.
fn person(line: &str) -> Option<(&str, u32, u32)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, _, shell] = fields[..] else { return None };
    let uid = uid.parse().ok().filter(|uid| PEOPLE.contains(uid))?;
    let can_log_in = !shell.ends_with("/nologin") && !shell.ends_with("/false");
    (can_log_in && !name.contains('/') && !name.starts_with('.')).then_some((name, uid, gid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::node::{NodeFacts, WireGuardKey};

    use brant_types::settings::Settings;
    use ssh_key::{Certificate, Fingerprint, HashAlg};

    fn ssh() -> Ssh {
        let secret = ClusterSecret::from_bytes([5; 32]);
        let authority = PrivateKey::from(Ed25519Keypair::from_seed(&secret.key("ssh authority")));
        let me = NodeId::of(&WireGuardKey([1; 32]));
        Ssh {
            authority,
            cluster: ClusterId::of(&secret),
            me,
            certified: None,
            names: Vec::new(),
            hosts: Vec::new(),
        }
    }

    fn config(ssh: &Ssh) -> ClusterConfig {
        let facts = NodeFacts { name: "quiet-heron".to_owned(), ..NodeFacts::sample(1) };
        ClusterConfig::of("x", ssh.cluster, &Settings::default(), [&facts])
    }

    #[test]
    fn a_persons_key_counts_from_the_cluster_only_and_is_signed_by_its_authority() {
        let ssh = ssh();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[9; 32]));
        let text = ssh.certificate(key.public_key(), CertType::User, &["ann"]).unwrap();
        let certificate = Certificate::from_openssh(&text).unwrap();
        let authority: Fingerprint = ssh.authority.public_key().fingerprint(HashAlg::Sha256);
        certificate.validate_at(1 << 30, [&authority]).unwrap();
        assert_eq!(certificate.valid_principals(), ["ann"]);
        let from = certificate.critical_options().get("source-address").unwrap();
        assert_eq!(*from, format!("{}/64", ssh.cluster.network()));
    }

    #[test]
    fn the_authority_is_believed_of_the_clusters_names_alone() {
        let mut ssh = ssh();
        let config = config(&ssh);
        ssh.hosts = config.nodes.iter().flat_map(names).collect();
        let known = ssh.known_hosts().unwrap();
        let overlay = config.nodes[0].overlay;
        let line = format!("@cert-authority quiet-heron,quiet-heron.brant,{overlay} ssh-ed25519 ");
        assert!(known.lines().nth(1).unwrap().starts_with(&line), "{known}");
        assert!(client(&config).contains("Host quiet-heron quiet-heron.brant "));
    }

    #[test]
    fn people_are_those_who_can_log_in() {
        assert_eq!(person("ann:x:1000:1001:,,,:/home/ann:/bin/bash"), Some(("ann", 1000, 1001)));
        assert_eq!(person("root:x:0:0:root:/root:/bin/bash"), None);
        assert_eq!(person("nobody:x:65534:65534::/:/usr/sbin/nologin"), None);
        assert_eq!(person("a/b:x:1000:1000::/:/bin/sh"), None);
    }
}
