//! CRIU's command lines that several programs use, and what it says when it fails.

use brant_sys::child::Tool;
use std::path::Path;

/// A dump of a frozen tree; it stays frozen in its group.
pub fn dump(pid: i32, folder: &Path, group: &Path) -> Tool {
    let criu = Tool::new("criu").args(["dump", "-t", &pid.to_string(), "-o", "dump.log", "-v2", "-D"]);
    frozen(criu.arg(folder), group)
}

/// What every dump of a frozen tree is told besides.
pub fn frozen(criu: Tool, group: &Path) -> Tool {
    criu.args(["--shell-job", "--manage-cgroups=ignore"])
        // As much as the judge lets pass.
        .args(["--ghost-limit", &(brant_migration::obstacle::MOST_NAMELESS_KIB << 10).to_string()])
        // Not --leave-stopped: it sends SIGSTOP, and the shell would see that. The freezer holds it instead.
        .args(["--leave-running", "--freeze-cgroup"])
        .arg(group)
}

/// What CRIU has written into its log about a failure.
pub fn errors(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("Error")).collect();
    errors.iter().rev().take(6).rev().copied().collect::<Vec<_>>().join("; ")
}
