//! The steps about the cluster itself.

use crate::cluster::joining;
use crate::cluster::node::{Node, ROOT, USER};
use crate::smoke::Run;
use anyhow::{Context, Result, bail, ensure};
use brant_types::agent::ClusterView;
use brant_types::ports;
use std::collections::BTreeSet;
use std::time::Duration;

/// The kernel's NFS server.
const NFS: u16 = 2049;
/// Until the last change is on all nodes, on a PC of today.
const AGREEING: Duration = Duration::from_secs(15);

/// Waits until each node's list is complete, and notes when each has joined.
pub(crate) fn nodes_list_each_other(run: &mut Run) -> Result<String> {
    let views = joining::lists(&run.nodes, run.patience)?;
    let own: BTreeSet<String> = views.iter().filter_map(own_name).collect();
    if own.len() != run.nodes.len() {
        bail!("the nodes are not {} different ones: {own:?}", run.nodes.len());
    }
    for (node, view) in run.nodes.iter().zip(&views) {
        let name = own_name(view).with_context(|| format!("finding {} in its own list", node.name))?;
        let joined = view.joined_at.with_context(|| format!("asking {} when it has joined", node.name))?;
        run.figures.joined.push((node.name, name, joined));
    }
    Ok(own.into_iter().collect::<Vec<_>>().join(", "))
}

fn own_name(view: &ClusterView) -> Option<String> {
    view.nodes.iter().find(|member| member.me).map(|member| member.name.clone())
}

/// Waits until the configuration that all nodes have written is one.
pub(crate) fn configuration_is_equal(run: &mut Run) -> Result<String> {
    run.patience.wait(AGREEING, || {
        let mut digests = Vec::new();
        for node in &run.nodes {
            let said =
                node.shell(ROOT, "sha256sum < /etc/brant/cluster.toml && grep -c . /etc/brant/cluster.toml")?;
            digests.push((node.name, said.trim_end().replace('\n', ", lines: ")));
        }
        let (_, first) = &digests[0];
        if let Some((node, other)) = digests.iter().find(|(_, digest)| digest != first) {
            bail!("{} has {first}, {node} has {other}", run.home().name);
        }
        Ok(first.chars().take(12).collect())
    })
}

/// Sets something on the last node, edits the file on the first, and breaks it there.
pub(crate) fn settings_hold(run: &mut Run) -> Result<String> {
    let (home, last) = (run.home(), run.nodes.last().context("finding the last node")?);
    let refused = last.shell(USER, "brant set balance-after 4 2>&1; echo $?")?;
    ensure!(
        refused.contains("only root") && refused.trim().ends_with('1'),
        "`{USER}` is told: {}",
        refused.trim()
    );
    let all_have = |value: &str| {
        run.patience.wait(AGREEING, || {
            for node in &run.nodes {
                let said = node.shell(USER, "brant set balance-after")?;
                ensure!(said.trim() == value, "on {} it is {}, not {value}", node.name, said.trim());
            }
            Ok(())
        })
    };
    last.shell(ROOT, "brant set balance-after 4")?;
    all_have("4")?;
    // Seen by the agent, and told to the others.
    home.shell(ROOT, "printf 'settings.balance-after = 5\\n' > /etc/brant/cluster.toml")?;
    all_have("5")?;
    home.shell(ROOT, "printf 'settings.balance-after = five\\n' > /etc/brant/cluster.toml")?;
    let why = run.patience.wait(AGREEING, || {
        let said = home.shell(USER, "brant set 2>&1 > /dev/null")?;
        ensure!(said.contains("line 1: "), "nothing is said of the broken file: {}", said.trim());
        Ok(said.trim().to_owned())
    })?;
    home.shell(ROOT, "grep -q five /etc/brant/cluster.toml.refused && brant set balance-after --default")?;
    all_have("3")?;
    configuration_is_equal(run)?;
    Ok(why)
}

/// Tries another node's daemons from this one: as root, which must work, and as an ordinary user, who must be refused; and
/// root from the LAN, where nothing may listen.
pub(crate) fn users_are_kept_off(run: &mut Run) -> Result<String> {
    let view = run.home().nodes()?;
    let other = view.nodes.iter().find(|node| !node.me).context("finding another node")?;
    let try_it = |user: &str, address: &str, port: u16| -> Result<bool> {
        let script = format!(
            "timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2> /dev/null && echo open || echo closed"
        );
        Ok(run.home().shell(user, &script)?.trim() == "open")
    };
    let me = view.nodes.iter().find(|node| node.me).context("finding this node")?;
    let (overlay, own) = (other.overlay.to_string(), me.overlay.to_string());
    for port in [NFS, ports::MIGRATION] {
        ensure!(!try_it(USER, &own, port)?, "`{USER}` reaches port {port} of the own node");
        run.patience.wait(AGREEING, || {
            ensure!(try_it(ROOT, &overlay, port)?, "root cannot reach port {port} of {}", other.name);
            Ok(())
        })?;
        ensure!(!try_it(USER, &overlay, port)?, "`{USER}` reaches port {port} of {}", other.name);
    }
    // The other node, by its address on the LAN: the link-local one, which no DHCP server's emulation answers for.
    let link_local = |node: &Node| -> Result<(String, String)> {
        let said = node.shell(ROOT, "ip -6 -o address show scope link")?;
        let mut words = said.split_whitespace().skip(1);
        let link = words.next().context("finding its link")?;
        let address =
            words.nth(1).and_then(|word| word.split('/').next()).context("finding its address on the LAN")?;
        Ok((link.to_owned(), address.to_owned()))
    };
    let (link, _) = link_local(run.home())?;
    let (_, lan) = link_local(run.nodes.get(1).context("finding another machine")?)?;
    for port in [NFS, ports::MIGRATION] {
        ensure!(!try_it(ROOT, &format!("{lan}%{link}"), port)?, "port {port} of a node is open on the LAN");
    }
    // It was there and could have answered: the network knows where it is.
    let neighbour = run.home().shell(ROOT, &format!("ip -6 neighbour show {lan} dev {link}"))?;
    ensure!(neighbour.contains("lladdr"), "the other node is not on the LAN at {lan}: {}", neighbour.trim());
    Ok(format!("ports {NFS} and {} by root only, none on the LAN", ports::MIGRATION))
}

/// Looks at what may be done by the process that hears the LAN.
pub(crate) fn agent_has_no_rights(run: &mut Run) -> Result<String> {
    let script = "for pid in $(pidof node-agent); do cat /proc/$pid/status; done";
    for node in &run.nodes {
        let said = node.shell(ROOT, script)?;
        let uids: BTreeSet<&str> = said.lines().filter_map(|line| line.strip_prefix("Uid:\t")).collect();
        ensure!(uids.len() == 2, "on {} node-agent is not an agent and its helper: {said}", node.name);
        for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            ensure!(said.contains(line), "on {} there is no `{line}` of node-agent: {said}", node.name);
        }
    }
    Ok("a user of its own, no capabilities, few system calls".to_owned())
}
