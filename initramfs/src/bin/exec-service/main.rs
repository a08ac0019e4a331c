//! The guest's side of the exec channel: runs commands for the workstation that this virtual machine runs on.
//!
//! It serves the virtio ports named `brant.exec.N`, one thread and one client at a time for each. A PC has no such
//! port, and then this program has nothing to do. Who can write to these ports owns the machine anyway, so there is
//! nothing to log in to.

mod hang_up;
mod port;
mod session;
mod sessions;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use brant_types::exec::PORT_PREFIX;
use sessions::Sessions;
use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

/// Where the kernel lists its virtio ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// The control group that holds the sessions.
const SESSIONS: &str = "/sys/fs/cgroup/brant/sessions";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exec-service: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let devices = find_ports(Path::new(PORTS)).context("looking for virtio ports")?;
    if devices.is_empty() {
        bail!("no virtio port is named `{PORT_PREFIX}*`: this is not one of Brant's virtual machines");
    }
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    // Where systemd runs, logind makes the groups of sessions.
    let groups = (!Path::new("/run/systemd/system").is_dir()).then(|| PathBuf::from(SESSIONS));
    let sessions = Arc::new(Sessions::new(groups));
    let threads: Vec<_> = devices
        .into_iter()
        .map(|device| {
            let sessions = Arc::clone(&sessions);
            thread::spawn(move || serve(&device, &sessions))
        })
        .collect();
    for served in threads {
        match served.join() {
            Ok(ended) => ended?,
            Err(_panicked) => bail!("a port's thread panicked"),
        }
    }
    Ok(())
}

fn serve(device: &Path, sessions: &Sessions) -> Result<()> {
    let port: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .with_context(|| format!("opening `{}`", device.display()))?
        .into();
    loop {
        port::wait_for_host(&port)
            .and_then(|()| port::talk(&port, sessions))
            .with_context(|| format!("talking through `{}`", device.display()))?;
    }
}

/// The device files of the exec ports.
fn find_ports(class: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(class)? {
        let entry = entry?;
        // A port that has no name yet has no such file, or an empty one.
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim_end().starts_with(PORT_PREFIX) {
            devices.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    devices.sort_unstable();
    Ok(devices)
}
