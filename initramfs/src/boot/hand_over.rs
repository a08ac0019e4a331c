//! What the booted node finds: the hand-over file, its name, its ids and the kernel's settings.

use super::identity::Identity;
use super::root::{LOWER, NewRoot};
use crate::command_line::CommandLine;
use crate::naming::{self, keep};
use crate::net::links;
use crate::report;
use anyhow::{Context, Result};
use brant_types::account::Account;
use brant_types::boot::{BOOT_FACTS, BootFacts, ImageFacts};
use brant_types::site::Site;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::Path;

/// The kernel draws it at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Collects the facts of this boot.
pub(super) fn gather(
    line: &CommandLine,
    image: &ImageFacts,
    identity: &Identity,
    root: &NewRoot,
    site: Site,
) -> Result<BootFacts> {
    if site.secret.is_none() {
        report::complain(
            "this node has no cluster secret; it will ask to be admitted (`brant admit` on a node of the cluster)",
        );
    }
    if let Err(error) = admit(root, &image.console_user, &site.ssh_keys) {
        report::complain(&format!("{error:#}"));
    }
    let seeds = line.seeds.iter().chain(&site.seeds).copied().collect();
    Ok(BootFacts {
        host_name: identity.host_name.clone(),
        is_named: identity.is_named,
        machine_id: identity.machine_id.clone(),
        image_id: image.image_id.clone(),
        cluster: site.cluster.unwrap_or_else(|| "brant".to_owned()),
        secret: site.secret,
        root_mounted_at: uptime()?,
        seeds,
        time_servers: Vec::new(),
        migration_lease: line.migration_lease,
        changes: root.changes(),
        addresses: line.addresses.clone(),
        vlans: line.vlans.clone(),
        bonds: line.bonds.clone(),
        links: links::wired()?.iter().map(links::Link::facts).collect(),
    })
}

/// Writes them, and what other programs read under other names.
pub(super) fn write(root: &NewRoot, facts: &BootFacts) -> Result<()> {
    let (etc, name) = (root.path().join("etc"), &facts.host_name);
    naming::set(&etc, name)?;
    crate::facts::write(Path::new(BOOT_FACTS), facts)?;
    keep(&etc.join("machine-id"), &format!("{}\n", facts.machine_id))?;
    // Two clients with one id are taken for one that restarted; so the id is there before any NFS mount, and is this
    // boot's own: copies of a stick that keeps things have the machine id in common.
    fs::create_dir_all(etc.join("modprobe.d")).context("making `/etc/modprobe.d`")?;
    let boot_id = fs::read_to_string(BOOT_ID).with_context(|| format!("reading `{BOOT_ID}`"))?;
    keep(
        &etc.join("modprobe.d/brant-nfs.conf"),
        &format!("options nfs nfs4_unique_id={}\n", boot_id.trim().replace('-', "")),
    )?;
    // The same, and large, on every node, so that a process keeps its PID wherever it moves.
    put(Path::new("/proc/sys/kernel/pid_max"), "4194304")?;
    // Debian's ping has no capability; this lets every user send echo requests.
    put(Path::new("/proc/sys/net/ipv4/ping_group_range"), "0 2147483647")?;
    // An NFS server that lends files to its clients (delegations) has them open for a while after their writer has closed
    // them: a program that was linked away from home could not be started at home ("text file busy").
    put(Path::new("/proc/sys/fs/leases-enable"), "0")?;
    // A node whose kernel has panicked comes back by itself, after its screen could be read.
    put(Path::new("/proc/sys/kernel/panic"), "30")?;
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

/// Lets those in who have these keys, and those of the image; no others that a stick has kept, so that keys can be taken back.
fn admit(root: &NewRoot, user: &str, keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let admitting = || format!("admitting {} ssh keys of `{user}`", keys.len());
    let read = |name: &str| fs::read_to_string(root.path().join(name)).with_context(admitting);
    let account = Account::find(&read("etc/passwd")?, &read("etc/group")?, user).with_context(admitting)?;
    let folder = root.path().join(account.home.strip_prefix("/").unwrap_or(&account.home)).join(".ssh");
    let file = folder.join("authorized_keys");
    // The user may have put links there, which nobody with more rights may follow.
    match fs::symlink_metadata(&folder) {
        Ok(about) if !about.is_dir() => anyhow::bail!("`{}` is not a folder", folder.display()),
        Ok(_) => {}
        Err(_) => fs::create_dir(&folder).with_context(admitting)?,
    }
    let place = account.home.strip_prefix("/").unwrap_or(&account.home).join(".ssh/authorized_keys");
    let of_the_image = fs::read_to_string(Path::new(LOWER).join(place)).unwrap_or_default();
    let half = folder.join(".authorized_keys.new");
    let _left_by_an_earlier_boot = fs::remove_file(&half);
    let mut options = File::options();
    let mut new = options.write(true).create_new(true).mode(0o600).open(&half).with_context(admitting)?;
    new.write_all(format!("{of_the_image}{}\n", keys.join("\n")).as_bytes()).with_context(admitting)?;
    fchown(&new, Some(account.uid), Some(account.gid)).with_context(admitting)?;
    fs::rename(&half, &file).with_context(admitting)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).with_context(admitting)?;
    chown(&folder, Some(account.uid), Some(account.gid)).with_context(admitting)
}

fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime").context("reading the kernel's uptime")?;
    text.split(' ').next().unwrap_or_default().parse().context("reading the kernel's uptime")
}
