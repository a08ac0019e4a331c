//! How a node without a secret gets in: by the code that it shows, and not otherwise.

use super::{AGREEING, Run};
use crate::cluster::node::{Node, ROOT, USER, runs_on};
use anyhow::{Context, Result, bail, ensure};
use brant_types::agent::ClusterView;

/// What the stranger says of itself; its members say who it is.
pub(super) fn asks(run: &mut Run) -> Result<String> {
    run.patience.wait(AGREEING, || run.lists(&run.both(), run.members.len()))?;
    let name = run.patience.wait(AGREEING, || is_listed(run))?;
    run.lists(&run.both(), run.members.len())?;
    let console = run.stranger.shell(ROOT, "dmesg | grep 'waits to be admitted'")?;
    ensure!(console.contains(&format!("sudo brant admit {name}")), "the console says: {}", console.trim());
    Ok(format!("{name} asks"))
}

/// Every member says that it asks, and it shows a code; gives its name.
pub(super) fn is_listed(run: &Run) -> Result<String> {
    let name = run.stranger.host_name()?;
    for member in &run.members {
        let view: ClusterView = member.nodes()?;
        let known = view.applicants.iter().any(|applicant| applicant.name == name);
        ensure!(known, "{} does not say that {name} asks", member.name);
    }
    code(&run.stranger).map(|_| name)
}

/// A code that it does not show, and somebody who may not admit.
pub(super) fn wrong_code(run: &mut Run) -> Result<String> {
    let name = run.stranger.host_name()?;
    let member = run.members.first().context("finding a member")?;
    let not_root = admit(member, USER, &name, "1234-5678")?;
    ensure!(not_root.contains("only root"), "an ordinary user is told: {}", not_root.trim());
    let shown = code(&run.stranger)?;
    let wrong: String = shown
        .chars()
        .map(|c| {
            if c == '7' {
                '3'
            } else if c.is_ascii_digit() {
                '7'
            } else {
                c
            }
        })
        .collect();
    let said = admit(member, ROOT, &name, &wrong)?;
    ensure!(said.contains("not the code"), "a wrong code is: {}", said.trim());
    let another = run.patience.wait(AGREEING, || {
        let now = code(&run.stranger)?;
        ensure!(now != shown, "it still shows the code that somebody has guessed at");
        Ok(now)
    })?;
    ensure!(another != wrong, "it shows the very code that was guessed");
    run.lists(&run.both(), run.members.len())?;
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// The code that it shows now.
pub(super) fn right_code(run: &mut Run) -> Result<String> {
    let name = run.stranger.host_name()?;
    let member = run.members.first().context("finding a member")?;
    let said = admit(member, ROOT, &name, &code(&run.stranger)?)?;
    ensure!(said.contains("has been admitted"), "the right code is: {}", said.trim());
    let all: Vec<&Node> = run.members.iter().chain([&run.stranger]).collect();
    run.patience.wait(AGREEING, || {
        run.lists(&all, all.len())?;
        let mut files = all.iter().map(|node| node.shell(ROOT, "sha256sum < /etc/brant/cluster.toml"));
        let first = files.next().context("finding a node")??;
        for other in files {
            ensure!(other? == first, "the configurations are not one");
        }
        Ok(())
    })?;
    // Processes move there as to any other.
    let home = run.members.first().context("finding a member")?;
    let script = format!(
        "perl -e '1 while 1' & pid=$!; for try in $(seq 60); do brant migrate $pid {name} > /dev/null 2>&1 && break; sleep 1; done; \
         {} && echo there; kill $pid",
        runs_on(&name)
    );
    let moved = home.shell_within(USER, &script, b"", run.patience.of(4 * AGREEING))?;
    if moved.trim() != "there" {
        bail!("a process does not move to {name}: {}", moved.trim());
    }
    Ok(said.trim().to_owned())
}

/// What the node's agent says when it is asked: the code is in there.
fn code(stranger: &Node) -> Result<String> {
    let said = stranger.shell(USER, "brant nodes 2>&1 || true")?;
    let code = said.split("its code is ").nth(1).and_then(|rest| rest.split_whitespace().next());
    code.map(str::to_owned).with_context(|| format!("the stranger says: {}", said.trim()))
}

fn admit(member: &Node, user: &str, name: &str, code: &str) -> Result<String> {
    member.shell(user, &format!("echo {code} | brant admit {name} 2>&1 || true"))
}
