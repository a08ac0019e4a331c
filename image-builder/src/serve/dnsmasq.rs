//! dnsmasq, as DHCP and TFTP server, or as TFTP server and DHCP proxy.

use super::Options;
use super::interface::Interface;
use crate::failure::{Advice, Kind};
use crate::{host, netboot};
use anyhow::{Context as _, Result};
use brant_sys::child::{Running, Tool};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// How long it may say nothing while it starts.
const STARTING: Duration = Duration::from_secs(10);

/// What it is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    pub(super) interface: &'a Interface,
    pub(super) options: Options,
    pub(super) tree: &'a Path,
    pub(super) web: SocketAddrV4,
    /// A private folder: it reads its configuration while it is still root.
    pub(super) work: &'a Path,
}

/// Whether it can be started at all.
///
/// # Errors
/// It is not installed, or this is not root.
pub(super) fn check() -> Result<()> {
    if !host::is_root() {
        let advice = Advice::new(Kind::Host, "only root may answer DHCP requests");
        return Err(advice.hint("run it with `sudo`").error());
    }
    if host::find("dnsmasq").is_none() {
        let advice = Advice::new(Kind::Host, "this machine lacks dnsmasq, which answers PCs that boot");
        return Err(advice.hint("apt-get install dnsmasq-base").error());
    }
    Ok(())
}

/// Starts it.
pub(super) fn start(service: &Service<'_>) -> Result<Running> {
    let configuration = service.work.join("dnsmasq.conf");
    std::fs::write(&configuration, render(service)).context("writing dnsmasq's configuration")?;
    let dnsmasq = Tool::new("dnsmasq")
        .args(["--keep-in-foreground", "--log-facility=-"])
        .arg(format!("--conf-file={}", configuration.display()))
        .own_group()
        .stderr(Stdio::piped())
        .spawn()
        .context("starting dnsmasq");
    dnsmasq.and_then(wait_until_it_serves)
}

/// It has read its configuration, and has the ports.
fn wait_until_it_serves(mut dnsmasq: Running) -> Result<Running> {
    let log = dnsmasq.child.stderr.take().context("listening to dnsmasq")?;
    let (line, lines) = std::sync::mpsc::channel();
    let listen = move || {
        for said in BufReader::new(log).lines().map_while(Result::ok) {
            tracing::info!("{said}");
            let _nobody_waits_any_more = line.send(said);
        }
    };
    std::thread::Builder::new().name("dnsmasq".to_owned()).spawn(listen).context("starting a thread")?;
    let mut last = String::new();
    while let Ok(said) = lines.recv_timeout(STARTING) {
        // "started, version 2.91 DNS disabled"
        if said.contains(": started") {
            return Ok(dnsmasq);
        }
        last = said;
    }
    dnsmasq.kill();
    Err(Advice::new(Kind::Host, format!("dnsmasq does not start; it says: {last}"))
        .hint("is there another DHCP or TFTP server on this machine?")
        .error())
}

fn render(service: &Service<'_>) -> String {
    let Service { interface, options, tree, web, .. } = service;
    let mut lines = vec![
        // No DNS.
        "port=0".to_owned(),
        format!("interface={}", interface.name),
        "except-interface=lo".to_owned(),
        // So that another one may run behind another card.
        "bind-interfaces".to_owned(),
        "log-dhcp".to_owned(),
        "dhcp-no-override".to_owned(),
        "enable-tftp".to_owned(),
        format!("tftp-root={}", tree.display()),
        // Nothing is kept: they are gone when this ends.
        "leasefile-ro".to_owned(),
        "pid-file".to_owned(),
        "dhcp-match=set:bios,option:client-arch,0".to_owned(),
        // The standard says 7, and many send 9.
        "dhcp-match=set:uefi,option:client-arch,7".to_owned(),
        "dhcp-match=set:uefi,option:client-arch,9".to_owned(),
    ];
    match options.range {
        Some((first, last)) => lines.extend([
            format!("dhcp-range={first},{last},1h"),
            "dhcp-authoritative".to_owned(),
            "dhcp-vendorclass=set:http,HTTPClient".to_owned(),
            "dhcp-option-force=tag:http,60,HTTPClient".to_owned(),
            // The ISO, as a disk in memory: Debian's shim does not find its boot loader by a URL.
            format!("dhcp-boot=tag:http,http://{web}/{}", netboot::ISO),
            "dhcp-boot=tag:uefi,tag:!http,bootx64.efi".to_owned(),
            "dhcp-boot=tag:bios,lpxelinux.0".to_owned(),
        ]),
        None => lines.extend([
            format!("dhcp-range={},proxy", interface.network()),
            "pxe-service=X86PC,\"Brant\",lpxelinux.0".to_owned(),
            "pxe-service=X86-64_EFI,\"Brant\",bootx64.efi".to_owned(),
            "pxe-service=BC_EFI,\"Brant\",bootx64.efi".to_owned(),
        ]),
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _infallible = writeln!(text, "{line}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn rendered(range: Option<(Ipv4Addr, Ipv4Addr)>) -> String {
        let interface =
            Interface { name: "eth0".to_owned(), address: Ipv4Addr::new(10, 1, 2, 3), prefix: 24 };
        let web = SocketAddrV4::new(interface.address, 80);
        let options = Options { range, port: 80, with_secret: false };
        render(&Service { interface: &interface, options, tree: Path::new("/t"), web, work: Path::new("/w") })
    }

    #[test]
    fn beside_another_server_it_gives_no_addresses() {
        let text = rendered(None);
        assert!(text.contains("dhcp-range=10.1.2.0,proxy\n") && !text.contains("dhcp-boot="));
    }

    #[test]
    fn alone_it_gives_addresses_and_urls() {
        let text = rendered(Some((Ipv4Addr::new(10, 1, 2, 50), Ipv4Addr::new(10, 1, 2, 60))));
        assert!(text.contains("dhcp-range=10.1.2.50,10.1.2.60,1h\n") && !text.contains("pxe-service"));
        assert!(text.contains("dhcp-boot=tag:http,http://10.1.2.3:80/brant.iso\n"));
    }
}
