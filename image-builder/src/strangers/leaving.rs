//! A node is left out: all others get another secret, while a process is away.

use super::{AGREEING, Run, admission};
use crate::cluster::node::{ROOT, USER};
use anyhow::{Context, Result, ensure};
use brant_types::agent::NodeState;

/// A process that counts into a file at home, and its number; no leader of a session, which would stay.
const COUNTS: &str = r#"
cat > count.pl <<'EOF'
while (1) { next if ++$i % 2000000; open F, ">", "count.new"; print F $i; close F; rename "count.new", "count" }
EOF
setsid --wait sh -c 'perl count.pl > /dev/null 2>&1 < /dev/null & echo $!'
"#;

/// All members get another secret, by the one command.
pub(super) fn secret_is_changed(run: &mut Run) -> Result<String> {
    let home = &run.members[0];
    let old = home.shell(ROOT, "brant secret show")?;
    let said = home.shell_within(ROOT, "brant secret rotate 2>&1", b"", run.patience.of(AGREEING))?;
    ensure!(said.contains("2 of 2 nodes have it"), "`brant secret rotate` says: {}", said.trim());
    for member in &run.members {
        let new = member.shell(ROOT, "brant secret show")?;
        ensure!(new != old && new.trim_end().ends_with(":1"), "{} has the secret before", member.name);
    }
    run.lists(&run.both(), run.members.len())?;
    let not_root = home.shell(USER, "brant secret rotate 2>&1 || true")?;
    ensure!(not_root.contains("only root"), "an ordinary user is told: {}", not_root.trim());
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

/// Leaves the stranger, which has become a member, out again.
pub(super) fn is_left_out(run: &mut Run) -> Result<String> {
    let (home, other) = (&run.members[0], &run.members[1]);
    let (left_out, target) = (run.stranger.host_name()?, other.host_name()?);
    let pid: u32 = home.shell(USER, COUNTS)?.trim().parse().context("starting a process that counts")?;
    let away = format!("brant why {pid} --json | grep -q '\"away\"' || brant migrate {pid} {target}");
    run.patience.wait(2 * AGREEING, || home.shell_within(USER, &away, b"", run.patience.of(2 * AGREEING)))?;
    // One change after the other.
    run.patience.wait(3 * AGREEING, || {
        ensure!(home.nodes()?.rotation.is_none(), "the change of the secret before is not over");
        Ok(())
    })?;
    let old = home.shell(ROOT, "brant secret show")?;
    let said =
        home.shell_within(ROOT, &format!("brant forget {left_out} 2>&1"), b"", run.patience.of(AGREEING))?;
    ensure!(said.contains("2 of 2 nodes have it"), "`brant forget` says: {}", said.trim());
    let new = home.shell(ROOT, "brant secret show")?;
    run.patience.wait(AGREEING, || {
        run.lists(&run.both(), run.members.len())?;
        ensure!(other.shell(ROOT, "brant secret show")? == new, "the two have different secrets");
        Ok(())
    })?;
    ensure!(new != old, "the secret is the one before");
    // It has nothing new, and finds nobody.
    run.patience.wait(2 * AGREEING, || {
        let alive = run.stranger.nodes()?.nodes;
        let alive = alive.iter().filter(|node| node.state == NodeState::Alive).count();
        ensure!(alive == 1, "the node that was left out still lists {alive}");
        Ok(())
    })?;
    ensure!(
        run.stranger.shell(ROOT, "brant secret show")? == old,
        "the node that was left out has another secret"
    );
    for member in &run.members {
        let peers = member.shell(ROOT, "wg show brant0 peers | wc -l")?;
        ensure!(peers.trim() == "1", "{} has {} peers", member.name, peers.trim());
    }
    // What was away is, and comes home by connections that prove the new secret.
    let counted = |what: &str| -> Result<u64> {
        let said = home.shell(USER, "cat ~/count")?;
        said.trim().parse().with_context(|| format!("reading the count {what}: {said}"))
    };
    let before = counted("before")?;
    let script = format!("brant migrate {pid} home");
    run.patience
        .wait(2 * AGREEING, || home.shell_within(USER, &script, b"", run.patience.of(2 * AGREEING)))?;
    run.patience.wait(AGREEING, || {
        let now = counted("after")?;
        ensure!(now > before, "it does not count any more: {now}");
        Ok(())
    })?;
    home.shell(USER, &format!("kill {pid}"))?;
    Ok(format!("{left_out} is out; a process went on, and came home with the new secret"))
}

/// What was left out asks by itself once it is told to forget the secret of before.
pub(super) fn drops_its_secret(run: &mut Run) -> Result<String> {
    let said = run.stranger.shell(ROOT, "brant secret drop 2>&1")?;
    ensure!(said.contains("asks to be admitted"), "`brant secret drop` says: {}", said.trim());
    // Nor is it anybody's by its overlay, its ssh or its clock.
    let shows = || {
        run.stranger.shell(
            ROOT,
            "! ip link show brant0 2> /dev/null && ! brant secret show 2> /dev/null && \
             ! grep '^server fd' /run/brant/clock/cluster.sources && [ ! -e /run/brant/ssh/authority.pub ]",
        )
    };
    run.patience.wait(AGREEING, || shows().map(drop))?;
    // For as long as the change of the secret lasts it is not heard.
    run.patience.wait(3 * AGREEING, || {
        ensure!(run.members[0].nodes()?.rotation.is_none(), "the change of the secret is not over");
        Ok(())
    })?;
    run.patience.wait(AGREEING, || admission::is_listed(run))?;
    admission::right_code(run)
}
