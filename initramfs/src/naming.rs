//! What the node is called: by the kernel, and in the files that say so.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Names the node; `etc` is that folder of its root.
pub(crate) fn set(etc: &Path, name: &str) -> Result<()> {
    tell_the_kernel(name)?;
    keep(&etc.join("hostname"), &format!("{name}\n"))?;
    keep(
        &etc.join("hosts"),
        &format!(
            "127.0.0.1 localhost\n{OWN}{name}\n::1 localhost ip6-localhost\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
        ),
    )
}

/// Where it is in `/etc/hosts` until the agent has written that.
const OWN: &str = "127.0.1.1 ";

/// Names the node for as long as it runs: what a stick keeps goes on to say what it is called otherwise.
pub(crate) fn set_for_now(etc: &Path, name: &str) -> Result<()> {
    tell_the_kernel(name)?;
    let hosts = etc.join("hosts");
    let text = fs::read_to_string(&hosts).with_context(|| format!("reading `{}`", hosts.display()))?;
    keep(&hosts, &renamed(&text, name))
}

/// The same file with another name for this node. What the agent has written has no such line, and the agent changes it.
fn renamed(hosts: &str, name: &str) -> String {
    let line =
        |line: &str| if line.starts_with(OWN) { format!("{OWN}{name}\n") } else { format!("{line}\n") };
    hosts.lines().map(line).collect()
}

fn tell_the_kernel(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).context("setting the host name")
}

/// A file of the root, which a stick may keep: where there is no room, what was there stays.
pub(crate) fn keep(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let half = path.with_extension("brant-new");
    fs::write(&half, text)
        .and_then(|()| fs::rename(&half, path))
        .with_context(|| format!("writing `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_line_changes() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 owl\n10.0.0.1 owl-house\n";
        assert_eq!(renamed(hosts, "lark"), "127.0.0.1 localhost\n127.0.1.1 lark\n10.0.0.1 owl-house\n");
        assert_eq!(renamed("fd00::1 owl owl.brant\n", "lark"), "fd00::1 owl owl.brant\n");
    }
}
