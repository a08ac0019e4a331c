//! What a DHCP server may do to a node: name this and that, go, come back with other addresses, and be asked for more time.

use super::lan::{Lan, NAME};
use crate::cluster::node::{Node, ROOT};
use crate::cluster::patience::Patience;
use anyhow::{Context, Result, ensure};
use brant_qemu::qmp::Qmp;
use std::time::Duration;

/// Until a node has done what a server or a cable makes it do, on a PC of today.
const FOLLOWING: Duration = Duration::from_secs(20);
/// Longer than it takes until a client that nobody answers has asked twice.
const SILENCE: Duration = Duration::from_secs(12);
/// What the server has first, and what it has later; the beginnings of addresses.
const FIRST: &str = "10.88.0.1";
const LATER: &str = "10.88.0.2";

/// Goes through it.
pub(super) fn changes(node: &Node, patience: Patience, lan: &mut Lan) -> Result<String> {
    let begins_with = |start: &'static str| move || has_address(node, start);
    let first = patience.wait(FOLLOWING, begins_with(FIRST))?;
    patience.wait(FOLLOWING, || {
        let said = node.shell(ROOT, "cat /etc/resolv.conf /run/brant/clock/cluster.sources; ip -4 route")?;
        let wanted = ["search lab.example x.example", "server 10.88.0.5 iburst", "default via 10.88.0.1"];
        wanted.iter().try_for_each(|wanted| {
            ensure!(said.contains(wanted), "there is no `{wanted}` in: {said}");
            Ok(())
        })
    })?;
    // Its name, for the kernel, for itself and for the cluster.
    patience.wait(FOLLOWING, || {
        let said =
            node.shell(ROOT, "hostname; getent hosts \"$(hostname)\"; grep name /etc/brant/cluster.toml")?;
        ensure!(said.matches(NAME).count() >= 3, "its names are: {said}");
        let me = node.nodes()?.nodes.into_iter().find(|member| member.me).map(|me| me.name);
        ensure!(me.as_deref() == Some(NAME), "for the cluster it is {me:?}");
        Ok(())
    })?;
    // Asked of the server itself, when half of the time is over.
    let granted = lan.count("DHCPACK")?;
    patience.wait(4 * FOLLOWING, || {
        ensure!(lan.count("DHCPACK")? > granted, "it has not asked for more time");
        Ok(())
    })?;
    // A service that starts anew asks for what it had, and for nothing else.
    let discovered = lan.count("DHCPDISCOVER")?;
    let before = lan.count("DHCPACK")?;
    let again = "systemctl restart brant-network 2> /dev/null || pkill -f '[i]nit network'";
    node.shell(ROOT, again)?;
    patience.wait(FOLLOWING, || {
        ensure!(lan.count("DHCPACK")? > before, "a service that has started anew has not asked");
        ensure!(has_address(node, FIRST)? == first, "it has another address");
        Ok(())
    })?;
    ensure!(lan.count("DHCPDISCOVER")? == discovered, "it has forgotten its address");
    // The server is gone, and the cable is pulled: silence means that the address is still good.
    lan.stop_dhcp();
    replug(node, patience)?;
    std::thread::sleep(SILENCE);
    ensure!(has_address(node, FIRST)? == first, "an address was given up because nobody answered");
    // It comes back, and the addresses of before are not its own any more.
    lan.start_dhcp("10.88.0.200,10.88.0.220")?;
    replug(node, patience)?;
    let later = patience.wait(2 * FOLLOWING, begins_with(LATER))?;
    ensure!(lan.count("DHCPNAK")? > 0, "the address of before was not refused");
    Ok(format!(
        "joined as {NAME}; {first}, renewed, kept while the server was away; then refused, and {later}"
    ))
}

/// Its one address from a server.
fn has_address(node: &Node, start: &str) -> Result<String> {
    let said = node.shell(ROOT, "ip -4 -o address show scope global | awk '{ print $4 }'")?;
    let address = said.trim();
    ensure!(address.starts_with(start) && !address.contains('\n'), "its addresses are: {address}");
    Ok(address.to_owned())
}

/// Pulls the cable, and plugs it in again.
fn replug(node: &Node, patience: Patience) -> Result<()> {
    for (plugged, carrier) in [(false, "0"), (true, "1")] {
        let mut qmp = Qmp::connect(&node.folder).context("reaching the machine")?;
        qmp.plug_network(plugged).context("moving the cable")?;
        patience.wait(FOLLOWING, || {
            let said = node.shell(ROOT, "cat /sys/class/net/e*/carrier")?;
            ensure!(said.trim() == carrier, "the cable is {}", said.trim());
            Ok(())
        })?;
    }
    Ok(())
}
