//! The steps about what people find on a cluster: each other's files, one time, and a way from node to node.

use super::Run;
use crate::cluster::node::{Node, ROOT, USER};
use anyhow::{Context, Result, bail, ensure};
use brant_types::settings::Key;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Until something follows the cluster, on a PC of today.
const FOLLOWING: Duration = Duration::from_secs(30);
/// How far clocks may be apart, seconds.
const APART: f64 = 0.1;

/// Writes on the last node, and reads it on the first as the same user, who is told no more than there.
pub(crate) fn files_of_others(run: &mut Run) -> Result<String> {
    let (home, last) = (run.home(), run.nodes.last().context("finding the last node")?);
    let (own, other) = (home.host_name()?, last.host_name()?);
    last.shell(USER, "echo from-afar > ~/note")?;
    run.patience.wait(FOLLOWING, || {
        for place in [&own, &other] {
            home.shell(USER, &format!("test -d /cluster/{place}/home/{USER}"))?;
        }
        Ok(())
    })?;
    let note = format!("/cluster/{other}/home/{USER}/note");
    let said = home.shell(USER, &format!("cat {note}; rm {note}"))?;
    ensure!(said == "from-afar\n", "the file of {} reads {said}", last.name);
    last.shell(USER, "test ! -e ~/note").context("looking for a file that was removed from afar")?;
    // What he may not read there, and what nobody may.
    for (user, path) in [(USER, "etc/shadow"), (ROOT, "run/brant/boot.toml")] {
        let script = format!("cat /cluster/{other}/{path} > /dev/null 2>&1 && echo read || echo refused");
        ensure!(home.shell(user, &script)?.trim() == "refused", "`{user}` reads `{path}` of another node");
    }
    let stranger = home.shell(USER, "ls /cluster/nobody-is-called-this 2>&1 || true")?;
    ensure!(stranger.contains("No such file"), "a node that is none is: {}", stranger.trim());
    Ok(format!("/cluster/{other}"))
}

/// Sets one node's clock two hours on, and asks each node's clock how far it is from the one that all follow.
pub(crate) fn clocks_agree(run: &mut Run) -> Result<String> {
    let reference = run.patience.wait(FOLLOWING, || {
        let view = run.home().nodes()?;
        let chosen = view.settings.value(Key::Clock).to_owned();
        let node = view.nodes.into_iter().find(|node| node.id.to_string() == chosen);
        node.with_context(|| format!("looking for the node whose clock is followed, `{chosen}`"))
    })?;
    let mut followers = Vec::new();
    for node in &run.nodes {
        if node.host_name()? != reference.name {
            followers.push(node);
        }
    }
    let wrong = followers.first().context("finding a node that follows")?;
    // In one go: it does not stay so for long.
    let set_wrong = format!("date --set '+2 hours' > /dev/null; {}", measure(reference.overlay));
    ensure!(
        distance_in(&wrong.shell(ROOT, &set_wrong)?)?.abs() > 7000.0,
        "a clock of {} cannot be set wrong",
        wrong.name
    );
    run.patience.wait(FOLLOWING, || {
        let mut most = 0_f64;
        for node in &followers {
            let apart = distance(node, reference.overlay)?.abs();
            ensure!(apart < APART, "the clocks of {} and {} are {apart} s apart", node.name, reference.name);
            most = most.max(apart);
        }
        Ok(format!(
            "{:.1} ms at most from that of {}, also where one was two hours off",
            most * 1000.0,
            reference.name
        ))
    })
}

/// How far a node's clock is from another's, seconds, as chronyd measures it without setting any.
fn distance(node: &Node, from: Ipv6Addr) -> Result<f64> {
    distance_in(&node.shell(ROOT, &measure(from))?)
}

fn measure(from: Ipv6Addr) -> String {
    format!("chronyd -Q -t 10 'server {from} iburst maxsamples 1' 2>&1 || true")
}

fn distance_in(said: &str) -> Result<f64> {
    let wrong = said.lines().find_map(|line| line.split_once("System clock wrong by ")?.1.split(' ').next());
    wrong.and_then(|text| text.parse().ok()).with_context(|| format!("measuring a clock: {}", said.trim()))
}

/// Goes from each node to another by ssh, and is asked nothing.
pub(crate) fn ssh_works(run: &mut Run) -> Result<String> {
    if run.home().shell(ROOT, "test -x /usr/sbin/sshd && echo yes || echo no")?.trim() == "no" {
        return Ok("not tried: this image has no ssh server".to_owned());
    }
    let names = run.nodes.iter().map(Node::host_name).collect::<Result<Vec<_>>>()?;
    for (at, node) in run.nodes.iter().enumerate() {
        let to = &names[(at + 1) % names.len()];
        for host in [to.clone(), format!("{to}.brant")] {
            run.patience.wait(FOLLOWING, || {
                let said = node.shell(
                    USER,
                    &format!("ssh -o BatchMode=yes {host} 'hostname; id -un' 2>&1 < /dev/null"),
                )?;
                ensure!(
                    said == format!("{to}\n{USER}\n"),
                    "ssh from {} to {host} says {}",
                    node.name,
                    said.trim()
                );
                Ok(())
            })?;
        }
    }
    // Its key is of no use from elsewhere: the own server is reached by the loopback here.
    let elsewhere = run.home().shell(
        USER,
        &format!("ssh -o BatchMode=yes -o StrictHostKeyChecking=no -i /run/brant/ssh/{USER}/id localhost true 2>&1 && echo in || true"),
    )?;
    if elsewhere.trim().ends_with("in") {
        bail!("a person's key of the cluster opens a node from outside of it");
    }
    Ok(format!("{} nodes, by both names", names.len()))
}
