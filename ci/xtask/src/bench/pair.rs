//! Two virtual machines with this tree's migrationd, and a link between them beside the overlay.

use super::figures::Moved;
use crate::root;
use anyhow::{Context, Result, bail};
use brant_sys::child::Tool;
use std::fs::File;
use std::path::{Path, PathBuf};

const NAME: &str = "bench";
const NODES: [&str; 2] = ["node1", "node2"];
/// What runs on the nodes, and comes from `ci/bench`.
const SCRIPTS: [&str; 5] = ["worker.pl", "stream.pl", "move.sh", "home.sh", "target.sh"];
const PROGRAMS: [(&str, &str); 4] = [
    ("brant", "/usr/bin/brant"),
    ("migrationd", "/usr/lib/brant/migrationd"),
    ("deputy", "/usr/lib/brant/deputy"),
    ("capsule-init", "/usr/lib/brant/capsule-init"),
];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The pair; it is gone when this is dropped.
pub(super) struct Pair {
    brant_image: PathBuf,
    /// Each node's address beside the overlay.
    plain: Vec<String>,
    /// The second node's name.
    target: String,
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Err(error) = Tool::new(&self.brant_image).args(["cluster", "destroy", NAME]).cwd(root()).run()
        {
            eprintln!("destroying the pair: {error}");
        }
    }
}

impl Pair {
    /// Boots it, and replaces its migrationd by one with a plain link.
    pub(super) fn boot(brant_image: &Path, iso: &Path) -> Result<Self> {
        let programs = build()?;
        let brant_image = root().join(brant_image);
        let mut pair = Self { brant_image, plain: Vec::new(), target: String::new() };
        Tool::new(&pair.brant_image)
            .args(["cluster", "create", NAME, "--nodes", "2", "--iso"])
            .arg(root().join(iso))
            .cwd(root())
            .run()
            .context("booting two machines")?;
        let mut links = String::new();
        for node in NODES {
            let line = pair.sh(node, "brant nodes | grep 'this one'")?;
            let (name, overlay) = (line.split(' ').next(), line.split_whitespace().last());
            // Addresses come late where there is no DHCP.
            let address = "until ip -4 -o addr show dev eth0 | grep -q inet; do sleep 0.5; done; \
                           ip -4 -o addr show dev eth0 | head -n 1 | sed 's/.*inet //; s,/.*,,'";
            let plain = pair.sh(node, address)?;
            let (Some(name), Some(overlay)) = (name, overlay) else { bail!("{node} does not know itself") };
            links += &format!("{overlay} {}\n", plain.trim());
            pair.plain.push(plain.trim().to_owned());
            name.clone_into(&mut pair.target);
        }
        for node in NODES {
            pair.install(node, &programs, &links)?;
        }
        Ok(pair)
    }

    /// Programs are bound over those of the image, so that nothing under `/usr` counts as changed.
    fn install(&self, node: &str, programs: &Path, links: &str) -> Result<()> {
        self.sh(node, "mkdir -p /run/bench")?;
        for name in SCRIPTS {
            self.copy(node, &root().join("ci/bench"), name)?;
        }
        for (name, at) in PROGRAMS {
            self.copy(node, programs, name)?;
            self.sh(node, &format!("mount --bind /run/bench/{name} {at}"))?;
        }
        self.sh(node, &format!("printf '%s' '{links}' > /run/brant/bench-links; pkill -x migrationd; true"))?;
        self.sh(node, "sleep 3; until brant ps > /dev/null 2>&1; do sleep 0.5; done")?;
        Ok(())
    }

    fn copy(&self, node: &str, folder: &Path, name: &str) -> Result<()> {
        let file = File::open(folder.join(name)).with_context(|| format!("opening `{name}`"))?;
        let save = format!("cat > /run/bench/{name} && chmod 755 /run/bench/{name}");
        let copying = self.exec(node, &["sh", "-c", &save]).stdin(file);
        copying.run().with_context(|| format!("copying `{name}`"))
    }

    fn exec(&self, node: &str, command: &[&str]) -> Tool {
        let exec = Tool::new(&self.brant_image).args(["cluster", "exec", "--name", NAME]).cwd(root());
        exec.arg(node).arg("--").args(command)
    }

    fn sh(&self, node: &str, script: &str) -> Result<String> {
        let said = self.exec(node, &["sh", "-c", script]).output();
        let said = said.with_context(|| format!("running `{script}` on {node}"))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Moves a worker; it is left to run for some seconds afterwards.
    pub(super) fn moved(&self, mib: &str, pages: &str, seconds: u32) -> Result<Moved> {
        let said = Tool::new(&self.brant_image)
            .args(["cluster", "exec", "--name", NAME, "-u", "brant", NODES[0], "--"])
            .args(["sh", "/run/bench/move.sh", mib, pages, &self.target, &seconds.to_string()])
            .cwd(root())
            .output()
            .context("moving a worker")?;
        Moved::parse(&String::from_utf8_lossy(&said))
    }

    /// What an engineer does by hand; milliseconds.
    pub(super) fn by_hand(&self, verb: &str, args: &[&str]) -> Result<f64> {
        let target = match verb {
            "floor" => None,
            _ => Some(
                self.exec(NODES[1], &["sh", "/run/bench/target.sh", verb, &self.plain[0]])
                    .spawn()
                    .context("starting the other side")?,
            ),
        };
        // A side that fails leaves the other waiting.
        let home = ["timeout", "600", "sh", "/run/bench/home.sh", verb, &self.plain[1]];
        let home = self.exec(NODES[0], &home).args(args);
        let said = home.output().with_context(|| format!("measuring `{verb}` by hand"))?;
        if let Some(target) = target {
            target.wait().context("waiting for the other side")?;
        }
        let said = String::from_utf8_lossy(&said);
        said.trim().parse().with_context(|| format!("understanding `{}`", said.trim()))
    }

    /// Bytes a second of one TCP stream over the same link.
    pub(super) fn stream_rate(&self) -> Result<f64> {
        let take = ["sh", "-c", "perl /run/bench/stream.pl take 9100 > /dev/null"];
        let taking = self.exec(NODES[1], &take).spawn().context("listening for a stream")?;
        let give = ["perl", "/run/bench/stream.pl", "rate", &self.plain[1], "9100", "128"];
        let said = self.exec(NODES[0], &give).output().context("sending a stream")?;
        taking.wait().context("taking a stream")?;
        let said = String::from_utf8_lossy(&said);
        said.trim().parse().with_context(|| format!("understanding `{}`", said.trim()))
    }

    /// KiB that a deputy, and an idle migrationd, have for themselves.
    pub(super) fn private_memory(&self) -> Result<(f64, f64)> {
        // Two of them: what they have in common, their program, is private to neither.
        let worker = "for n in 1 2; do perl /run/bench/worker.pl 1 -1 > /tmp/bench-deputy$n 2>&1 & pids=\"$pids $!\"; done; \
                      sleep 3; for pid in $pids; do brant migrate $pid \"$0\" > /dev/null 2>&1; done; \
                      echo $! > /tmp/bench-pid; sleep 20; kill $pids";
        let moving = Tool::new(&self.brant_image)
            .args(["cluster", "exec", "--name", NAME, "-u", "brant", NODES[0], "--", "sh", "-c", worker])
            .arg(&self.target)
            .cwd(root())
            .spawn()
            .context("moving a worker")?;
        let private = "awk '/^Private/ { sum += $2 } END { print sum }' /proc/$P/smaps_rollup";
        let deputy = self.sh(
            NODES[0],
            &format!("until [ -s /tmp/bench-pid ]; do sleep 0.5; done; P=$(cat /tmp/bench-pid); {private}"),
        );
        moving.wait().context("waiting for the worker")?;
        let daemon = self.sh(NODES[0], &format!("P=$(pgrep -x migrationd); {private}"))?;
        let number = |text: &str| text.trim().parse().context("reading how much memory is private");
        Ok((number(&deputy?)?, number(&daemon)?))
    }
}

/// Builds the node's programs; gives their folder.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Tool::new(cargo)
        .args(["build", "--quiet", "--locked", "--profile", "node", "--target", TARGET])
        .args(["--target-dir", "target/node", "-p", "brant-migrationd", "-p", "brant-cli", "--bins"])
        .args(["--features", "brant-migrationd/bench-plain-link"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .cwd(root())
        .run()
        .context("building migrationd")?;
    Ok(root().join("target/node").join(TARGET).join("node"))
}
