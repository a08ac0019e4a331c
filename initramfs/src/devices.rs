//! Devices that come and go: the kernel's events, and a service that loads drivers for them on the running node.

use crate::buttons::Buttons;
use crate::command_line::CommandLine;
use crate::modules::Modules;
use crate::power::Ending;
use crate::report;
use anyhow::{Context, Result};
use brant_sys::signal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Where a root in the initramfs is mounted while that is the root.
const CARRIED: &str = crate::boot::LOWER;
/// The kernel's own events; group 2 would be those that udev passes on.
const KERNEL_GROUP: u32 = 1;

/// One event, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Uevent {
    /// The device's modalias, where it wants a driver.
    pub(crate) modalias: Option<String>,
    /// What dm-verity found changed: `KIND,BLOCK`, as the kernel has it.
    pub(crate) damaged: Option<String>,
}

/// A socket on which the kernel tells of devices.
#[derive(Debug)]
pub(crate) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Listens from now on.
    pub(crate) fn open() -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let doing = "listening for device events of the kernel";
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))
            .context(doing)?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP)).context(doing)?;
        Ok(Self { socket })
    }

    /// The next event that has come already.
    pub(crate) fn take(&mut self) -> Result<Option<Uevent>> {
        let mut buffer = [0_u8; 8192];
        match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((got, _)) => Ok(Some(parse(&buffer[..got.min(8192)]))),
            Err(Errno::AGAIN) => Ok(None),
            // Events were lost: the caller's next look at all devices makes up for it.
            Err(Errno::NOBUFS) => Ok(Some(Uevent::default())),
            Err(errno) => Err(errno).context("reading a device event of the kernel"),
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `add@/devices/…` and then `KEY=VALUE`, each ended by a zero byte.
fn parse(message: &[u8]) -> Uevent {
    let lines: Vec<_> = message.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let adds = lines.first().is_some_and(|head| head.starts_with("add@") || head.starts_with("change@"));
    let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    Uevent {
        modalias: value("MODALIAS=").filter(|_| adds),
        damaged: value("DM_VERITY_ERR_BLOCK_NR=").filter(|_| adds),
    }
}

/// Whether a device is on the way into the cluster: wired network, and random numbers for its keys.
pub(crate) fn comes_first(modalias: &str) -> bool {
    /// Base class 02 of PCI: network controllers.
    const PCI_NETWORK: &str = "bc02";
    /// Virtio's numbers for network and random numbers.
    const VIRTIO: [&str; 2] = ["virtio:d00000001", "virtio:d00000004"];
    (modalias.starts_with("pci:") && modalias.contains(PCI_NETWORK))
        || VIRTIO.iter().any(|kind| modalias.starts_with(kind))
}

/// Loads drivers for everything there is: before a rescue shell in the initramfs, whose keyboard may hang on USB.
pub(crate) fn load_all() -> Result<()> {
    let line =
        CommandLine::parse(&fs::read_to_string("/proc/cmdline").context("reading the kernel command line")?);
    // The initramfs has few where it carries a root that has all.
    let top = if Path::new(CARRIED).join("lib/modules").exists() { CARRIED } else { "/" };
    Modules::open(top, &line)?.load_for_devices(|_| true);
    Ok(())
}

/// The service `devices`: drivers for everything that the boot left alone and for what is plugged in later, and the
/// power button.
pub(crate) fn run() -> Result<()> {
    // The cluster comes first; a node that has joined can wait for its floppy drive.
    rustix::process::nice(10).context("stepping back behind the other services")?;
    let line =
        CommandLine::parse(&fs::read_to_string("/proc/cmdline").context("reading the kernel command line")?);
    let mut modules = Modules::open("/", &line)?;
    let mut uevents = Uevents::open()?;
    // Loaded with its client id before anybody mounts; a mount that comes first finds the id in modprobe.d.
    if let Err(error) = modules.load("nfs") {
        report::complain(&format!("{error:#}"));
    }
    let count = modules.load_for_devices(|_| true);
    report::say(&format!("{count} more driver modules loaded"));
    let mut buttons = Buttons::default();
    loop {
        buttons.look_for_more();
        wait(&uevents, &buttons)?;
        while let Some(event) = uevents.take()? {
            if let Some(modalias) = event.modalias {
                modules.load_for(&modalias);
            }
        }
        if buttons.pressed() {
            report::say("the power button was pressed");
            signal::send(1, Ending::PowerOff.signal()).context("asking PID 1 to end the node")?;
        }
    }
}

/// Waits for a device event or a button.
fn wait(uevents: &Uevents, buttons: &Buttons) -> Result<()> {
    let mut fds = vec![PollFd::new(&uevents.socket, PollFlags::IN)];
    fds.extend(buttons.files().map(|file| PollFd::new(file, PollFlags::IN)));
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).context("waiting for a device event of the kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_device_gives_its_modalias() {
        let message = b"add@/devices/pci0/usb1\0ACTION=add\0SUBSYSTEM=usb\0MODALIAS=usb:v1234\0SEQNUM=9\0";
        assert_eq!(parse(message).modalias.as_deref(), Some("usb:v1234"));
    }

    #[test]
    fn damage_to_a_checked_root_is_seen() {
        let message = b"change@/devices/virtual/block/dm-0\0ACTION=change\0DM_VERITY_ERR_BLOCK_NR=1,77\0";
        assert_eq!(parse(message).damaged.as_deref(), Some("1,77"));
    }

    #[test]
    fn only_network_and_random_numbers_come_first() {
        assert!(comes_first("pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"));
        assert!(comes_first("virtio:d00000001v00001AF4"));
        assert!(comes_first("virtio:d00000004v00001AF4"));
        assert!(!comes_first("pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80"));
        assert!(!comes_first("usb:v0BDAp8153d3000dcFFdsc00dp00icFFiscFFipFFin00"));
    }

    #[test]
    fn removals_and_noise_want_no_driver() {
        assert_eq!(parse(b"remove@/devices/x\0MODALIAS=usb:v1234\0"), Uevent::default());
        assert_eq!(parse(b"libudev\0\xfe\xed"), Uevent::default());
        assert_eq!(parse(b""), Uevent::default());
    }
}
