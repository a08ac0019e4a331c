//! `brant-image serve`: boots PCs over the network from this one.
//!
//! DHCP (or only its answers about booting, beside a server that the network has) and TFTP are dnsmasq's; HTTP is served
//! here, because firmware and boot loaders fetch 150 MB ten times faster that way.

mod dnsmasq;
mod http;
mod interface;

use crate::netboot;
use crate::progress::Progress;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use brant_sys::child::Running;
use clap::Args;
use dnsmasq::Service;
pub(crate) use interface::Interface;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether somebody wants it to end.
const LOOK: Duration = Duration::from_millis(200);

/// Boot PCs over the network from this one; ends with Ctrl-C.
///
/// Needs root, for DHCP. Nothing of this PC is changed.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The ISO that they boot [default: what `build` made last].
    #[arg(value_name = "ISO")]
    iso: Option<PathBuf>,
    /// The network card of this PC that they are behind [default: the one with the default route].
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
    /// Give addresses, too: from the second one to the first, both included. Only where there is no other DHCP server.
    #[arg(long, value_name = "FIRST,LAST", value_parser = range)]
    dhcp: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The web server's port.
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// Give them the cluster's secret: whoever is on that network can read it, and join.
    #[arg(long)]
    with_secret: bool,
}

fn range(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let parts =
        text.split_once(',').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    parts.filter(|(first, last)| first <= last).ok_or_else(|| "two addresses, the lower one first".to_owned())
}

/// Does it.
///
/// # Errors
/// Something is missing or in the way; nothing is served then.
pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let workspace = Workspace::find()?;
    let iso = args.iso.clone().unwrap_or_else(|| workspace.image("compute"));
    let interface = Interface::find(args.interface.as_deref())?;
    let options = Options { range: args.dhcp, port: args.port, with_secret: args.with_secret };
    let served = Served::begin(&iso, &workspace.cache(), &interface, options)?;
    let mut out = std::io::stdout().lock();
    for line in served.says(&interface, args.dhcp) {
        writeln!(out, "{line}").context("saying what is served")?;
    }
    out.flush().context("saying what is served")?;
    drop(out);
    served.until_interrupted()
}

/// How it is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// The addresses that are given; without any, another server does.
    pub(crate) range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The web server's port.
    pub(crate) port: u16,
    /// Whether they get the cluster's secret.
    pub(crate) with_secret: bool,
}

/// What is being served; it ends when this is dropped, and its files go.
pub(crate) struct Served {
    dnsmasq: Option<Running>,
    web: http::Web,
    has_secret: bool,
    _folders: [tempfile::TempDir; 2],
}

impl Served {
    /// Begins to serve.
    ///
    /// # Errors
    /// Something is missing or in the way; nothing is served then.
    pub(crate) fn begin(iso: &Path, cache: &Path, interface: &Interface, options: Options) -> Result<Self> {
        dnsmasq::check()?;
        let progress = Progress::new();
        let stage = progress.stage("taking the ISO apart");
        fs::create_dir_all(cache).with_context(|| format!("making `{}`", cache.display()))?;
        remove_leftovers(cache);
        let prefix = format!("{FOLDERS}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache);
        let folder = folder.with_context(|| format!("making a folder in `{}`", cache.display()))?;
        let root = folder.path().join("tree");
        let at = SocketAddrV4::new(interface.address, options.port);
        let tree = netboot::make(iso, &root, options.with_secret, Some(at))?;
        // dnsmasq gives up being root: what it reads lies where everybody may read, and nothing else does.
        let public = tempfile::Builder::new().prefix("brant-tftp-").tempdir().context("making a folder")?;
        publish(&root, public.path()).context("copying the boot loaders")?;
        stage.done("");
        let web = http::Web::begin(at, &root)?;
        let service = Service { interface, options, tree: public.path(), web: at, work: folder.path() };
        let dnsmasq = Some(dnsmasq::start(&service)?);
        Ok(Self { dnsmasq, web, has_secret: tree.has_secret, _folders: [folder, public] })
    }

    fn says(&self, interface: &Interface, range: Option<(Ipv4Addr, Ipv4Addr)>) -> Vec<String> {
        let addresses = match range {
            Some((first, last)) => format!("addresses from {first} to {last}"),
            None => "the addresses come from the network's own DHCP server".to_owned(),
        };
        let joins = if self.has_secret {
            "they get the cluster's secret, and so does everybody on that network"
        } else {
            "they get no secret, and ask to be admitted, by `brant admit` on a node (`--with-secret` gives it to them, where the ISO has one)"
        };
        vec![
            format!("PCs behind {} boot from {}: {addresses}", interface.name, interface.address),
            joins.to_owned(),
            format!("for firmware that boots from a URL: http://{}/brant.iso", self.web.at()),
            "Ctrl-C ends it".to_owned(),
        ]
    }

    fn until_interrupted(mut self) -> Result<()> {
        loop {
            if crate::interrupt::check().is_err() {
                return Ok(());
            }
            let dnsmasq = self.dnsmasq.as_mut().context("dnsmasq has ended")?;
            if dnsmasq.child.try_wait().context("looking after dnsmasq")?.is_some() {
                let ended = self.dnsmasq.take().map(Running::wait).transpose();
                return ended.map(drop).context("dnsmasq has ended");
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(dnsmasq) = self.dnsmasq.take() {
            dnsmasq.kill();
        }
    }
}

/// How the names of the folders of files begin that are served; the number of the process follows.
const FOLDERS: &str = "serve-";

/// What those have left that were killed: it may hold the secret.
fn remove_leftovers(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDERS).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _somebody_else_was_faster = fs::remove_dir_all(entry.path());
        }
    }
}

/// What firmware fetches by TFTP: the boot loaders and their menus. All else comes by HTTP.
const BY_TFTP: [&str; 9] = [
    "lpxelinux.0",
    "ldlinux.c32",
    "libutil.c32",
    "menu.c32",
    "bootx64.efi",
    "grubx64.efi",
    "mmx64.efi",
    "pxelinux.cfg/default",
    "grub/grub.cfg",
];

fn publish(tree: &Path, public: &Path) -> Result<()> {
    let (folder, file) = (fs::Permissions::from_mode(0o755), fs::Permissions::from_mode(0o644));
    for part in ["", "pxelinux.cfg", "grub"] {
        let path = public.join(part);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, folder.clone())?;
    }
    for name in BY_TFTP {
        fs::copy(tree.join(name), public.join(name)).with_context(|| format!("copying `{name}`"))?;
        fs::set_permissions(public.join(name), file.clone())?;
    }
    Ok(())
}
