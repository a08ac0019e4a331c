//! What the booted node finds: the hand-over file, its name, its ids and the kernel's settings.

use super::identity::Identity;
use super::root::NewRoot;
use crate::command_line::CommandLine;
use crate::net::links;
use crate::report;
use anyhow::{Context, Result};
use brant_types::boot::{BOOT_FACTS, BootFacts, ImageFacts};
use brant_types::secret::SecretFile;
use std::fs;
use std::path::Path;

const SECRET: &str = "/brant/secret.toml";

/// Collects the facts of this boot.
pub(super) fn gather(line: &CommandLine, image: &ImageFacts, identity: &Identity) -> Result<BootFacts> {
    let secret = secret_file()?;
    Ok(BootFacts {
        host_name: identity.host_name.clone(),
        machine_id: identity.machine_id.clone(),
        image_id: image.image_id.clone(),
        cluster: secret.as_ref().map_or_else(|| "brant".to_owned(), |file| file.cluster.clone()),
        secret: secret.map(|file| file.secret),
        root_mounted_at: uptime()?,
        seeds: line.seeds.clone(),
        migration_lease: line.migration_lease,
        links: links::wired()?.iter().map(links::Link::facts).collect(),
    })
}

/// Writes them, and what other programs read under other names.
pub(super) fn write(root: &NewRoot, facts: &BootFacts) -> Result<()> {
    rustix::system::sethostname(facts.host_name.as_bytes()).context("setting the host name")?;
    crate::facts::write(Path::new(BOOT_FACTS), facts)?;
    let etc = root.path().join("etc");
    let name = &facts.host_name;
    put(&etc.join("hostname"), &format!("{name}\n"))?;
    put(&etc.join("machine-id"), &format!("{}\n", facts.machine_id))?;
    put(
        &etc.join("hosts"),
        &format!(
            "127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
        ),
    )?;
    // Two clients with one id are taken for one that restarted; so the id is there before any NFS mount.
    fs::create_dir_all(etc.join("modprobe.d")).context("making `/etc/modprobe.d`")?;
    put(
        &etc.join("modprobe.d/brant-nfs.conf"),
        &format!("options nfs nfs4_unique_id={}\n", facts.machine_id),
    )?;
    // The same, and large, on every node, so that a process keeps its PID wherever it moves.
    put(Path::new("/proc/sys/kernel/pid_max"), "4194304")?;
    // Debian's ping has no capability; this lets every user send echo requests.
    put(Path::new("/proc/sys/net/ipv4/ping_group_range"), "0 2147483647")?;
    // What a guest writes is seen at home within a few seconds, not after half a minute.
    put(Path::new("/proc/sys/vm/dirty_expire_centisecs"), "300")?;
    put(Path::new("/proc/sys/vm/dirty_writeback_centisecs"), "100")?;
    report::say(&format!(
        "this node is {name}, root mounted {:.1} s after the kernel's start",
        facts.root_mounted_at
    ));
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}

/// An image without a secret still boots; it only cannot join.
fn secret_file() -> Result<Option<SecretFile>> {
    match fs::read_to_string(SECRET) {
        Ok(text) => {
            // The parser's message could quote the secret.
            let parsed = toml::from_str(&text);
            parsed
                .ok()
                .with_context(|| format!("reading `{SECRET}` in the initramfs: it is damaged"))
                .map(Some)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            report::complain("this image carries no cluster secret, so this node cannot join a cluster");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("reading `{SECRET}` in the initramfs")),
    }
}

fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime").context("reading the kernel's uptime")?;
    text.split(' ').next().unwrap_or_default().parse().context("reading the kernel's uptime")
}
