//! What a build needs of this machine, checked before any work is done.

use super::args::Plan;
use super::artefacts;
use super::base::{self, KEYRING};
use super::programs;
use crate::failure::{Advice, Kind};
use crate::host::{self, HostTool};
use crate::progress::Progress;

const TOOLS: [HostTool; 10] = [
    HostTool { file: "mmdebstrap", package: "mmdebstrap" },
    HostTool { file: KEYRING, package: "debian-archive-keyring" },
    HostTool { file: "apt-get", package: "apt" },
    HostTool { file: "dpkg-deb", package: "dpkg" },
    HostTool { file: "mksquashfs", package: "squashfs-tools" },
    HostTool { file: "xorriso", package: "xorriso" },
    HostTool { file: "tar", package: "tar" },
    HostTool { file: "chroot", package: "coreutils" },
    HostTool { file: "unshare", package: "util-linux" },
    HostTool { file: "setpriv", package: "util-linux" },
];

/// For linking a node's programs statically.
const COMPILER: [HostTool; 2] = [
    HostTool { file: "cc", package: "gcc" },
    HostTool { file: "/usr/lib/x86_64-linux-gnu/libc.a", package: "libc6-dev" },
];

/// Bytes on the disk of the source tree: the root unpacked, packed and in the initramfs.
const ROOM: u64 = 700_000_000;
/// The same when the packages have to be fetched first.
const ROOM_FOR_PACKAGES: u64 = 800_000_000;
/// The same when a node's programs have to be compiled from nothing.
const ROOM_FOR_PROGRAMS: u64 = 700_000_000;
/// On the disk of the image.
const ROOM_FOR_IMAGE: u64 = 250_000_000;

/// Checks the tools.
///
/// # Errors
/// What is missing, and what to type.
pub(crate) fn check(plan: &Plan, install: bool, progress: &Progress) -> anyhow::Result<()> {
    let compiles = plan.node_bins.is_none();
    let compiler = COMPILER.iter().filter(|_| compiles);
    let tools: Vec<HostTool> = TOOLS.iter().chain(compiler).chain(artefacts::tools(plan)).copied().collect();
    host::require(&tools, install, progress)?;
    if compiles && programs::cargo().is_none() {
        return Err(Advice::new(
            Kind::Host,
            "this machine lacks cargo, which compiles the programs of a node",
        )
        .hint(
            "install Rust 1.95 or newer from https://rustup.rs, or give built programs by `--node-bins DIR`",
        )
        .error());
    }
    Ok(())
}

/// Checks that the disks have room.
///
/// # Errors
/// One has not; how much it has and how much it needs.
pub(crate) fn check_room(plan: &Plan) -> anyhow::Result<()> {
    let fetches = !base::any_cached(&plan.profile, &plan.workspace.cache());
    let compiles_all = plan.node_bins.is_none() && !plan.workspace.target().join("node").is_dir();
    let room =
        ROOM + if fetches { ROOM_FOR_PACKAGES } else { 0 } + if compiles_all { ROOM_FOR_PROGRAMS } else { 0 };
    host::require_room(&plan.workspace.target(), room, "the build")?;
    host::require_room(plan.output.parent().unwrap_or(&plan.output), ROOM_FOR_IMAGE, "the image")
}
