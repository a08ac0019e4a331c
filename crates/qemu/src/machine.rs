//! What a machine is made of, as QEMU's command line.
//!
//! All names of sockets and logs are relative to the machine's folder, which is QEMU's working folder: a socket's
//! path may have 108 bytes at most, and the folder may lie deep.

use crate::accelerator::Accelerator;
use crate::exec::PORTS;
use crate::segment::Segment;
use brant_sys::child::Tool;
use brant_types::exec::PORT_PREFIX;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// What the machine's serial line has said, from power-on.
pub const CONSOLE_LOG: &str = "console.log";
/// The machine's serial line, for one client at a time.
pub const CONSOLE_SOCKET: &str = "console.sock";
/// The machine's own copy of the UEFI variables.
pub const UEFI_VARIABLES: &str = "vars.fd";
/// What QEMU calls the machine's network.
pub(crate) const NETWORK: &str = "net";
pub(crate) const QMP_SOCKET: &str = "qmp.sock";

/// What starts the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// QEMU's own SeaBIOS.
    Bios,
    /// UEFI with this code, which is only read; its variables are [`UEFI_VARIABLES`] in the machine's folder.
    Uefi {
        /// The firmware's code.
        code: PathBuf,
    },
    /// The same, with Secure Boot: only code that the keys among its variables have signed is started.
    UefiSecureBoot {
        /// The firmware's code.
        code: PathBuf,
    },
}

/// How the machine meets its medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// As a CD in an AHCI drive.
    Cdrom,
    /// As a disk on an AHCI port.
    Disk,
    /// As a stick on a USB 3 port, which can be pulled.
    Usb,
    /// Not at all: the image is a folder with `vmlinuz` and `initrd.img`, which QEMU itself starts.
    Kernel,
    /// It boots over the network, by its firmware's PXE.
    Network,
    /// It boots over the network, from a URL: UEFI only.
    NetworkUrl,
}

/// What QEMU calls the stick.
pub(crate) const STICK: &str = "stick";
/// What QEMU calls a second network card.
pub(crate) const SPARE_NETWORK: &str = "spare";
/// What a kernel that QEMU starts is told.
const KERNEL_ARGUMENTS: &str = "console=tty0 console=ttyS0,115200";

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name, for people.
    pub name: String,
    /// What runs it.
    pub accelerator: Accelerator,
    /// Its virtual processors.
    pub cpus: u32,
    /// Their model, in QEMU's words, where it is to be another than usual.
    pub cpu_model: Option<String>,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// What starts it.
    pub firmware: Firmware,
    /// How it meets its medium.
    pub drive: Drive,
    /// The image on the medium.
    pub image: PathBuf,
    /// The network it is on.
    pub segment: Segment,
    /// Its hardware address there.
    pub mac: String,
    /// What it has besides.
    pub extras: Extras,
}

/// What a machine has that few have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extras {
    /// A second network card, whose cable can be pulled like the first one's.
    pub spare_network: bool,
    /// The image of a second stick.
    pub second_stick: Option<PathBuf>,
    /// What is written to its medium, where that is a stick, stays there.
    pub writable: bool,
}

impl Machine {
    /// QEMU, ready to be started in the machine's folder.
    pub fn tool(&self, folder: &Path) -> Tool {
        Tool::new(PROGRAM).args(self.arguments()).cwd(folder)
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = Arguments(Vec::new());
        arguments.add(["-name", &escaped(&self.name)]);
        arguments.add(["-nodefaults", "-no-user-config", "-display", "none"]);
        // Who runs the system must not write to the firmware's variables but through the firmware.
        let secure = matches!(self.firmware, Firmware::UefiSecureBoot { .. });
        arguments.add(["-machine", if secure { "q35,usb=off,smm=on" } else { "q35,usb=off" }]);
        if secure {
            arguments.add(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
        }
        arguments.add(self.accelerator.arguments(self.cpus, self.cpu_model.as_deref()));
        arguments.add(["-smp", &self.cpus.to_string(), "-m", &format!("{}M", self.memory_mib)]);
        self.add_firmware(&mut arguments);
        self.add_drive(&mut arguments);
        arguments.add(["-device", "VGA"]);
        arguments.add([
            "-object",
            "rng-random,id=rng,filename=/dev/urandom",
            "-device",
            "virtio-rng-pci,rng=rng",
        ]);
        arguments.add(["-netdev", &self.segment.netdev(NETWORK)]);
        arguments.add(["-device", &self.network_card()]);
        if self.extras.spare_network {
            arguments.add(["-netdev", &format!("user,id={SPARE_NETWORK},restrict=on")]);
            arguments.add(["-device", &format!("e1000,netdev={SPARE_NETWORK},romfile=")]);
        }
        arguments.socket("console", CONSOLE_SOCKET, &format!(",logfile={CONSOLE_LOG},logappend=off"));
        arguments.add(["-serial", "chardev:console"]);
        arguments.socket("qmp", QMP_SOCKET, "");
        arguments.add(["-mon", "chardev=qmp,mode=control"]);
        arguments.add(["-device", "virtio-serial-pci,max_ports=16"]);
        for number in 0..PORTS {
            arguments.socket(&format!("exec{number}"), &format!("exec.{number}"), "");
            arguments
                .add(["-device", &format!("virtserialport,chardev=exec{number},name={PORT_PREFIX}{number}")]);
        }
        arguments.0
    }

    fn network_card(&self) -> String {
        let from_network = matches!(self.drive, Drive::Network | Drive::NetworkUrl);
        let boot = if from_network { ",bootindex=0" } else { "" };
        // UEFI has a driver of its own; the old BIOS boots over the network by the card's ROM.
        let rom = if from_network && self.firmware == Firmware::Bios { "" } else { ",romfile=" };
        format!("virtio-net-pci,netdev={NETWORK},mac={}{boot}{rom}", self.mac)
    }

    fn add_firmware(&self, arguments: &mut Arguments) {
        if let Firmware::Uefi { code } | Firmware::UefiSecureBoot { code } = &self.firmware {
            let code = escaped(&code.to_string_lossy());
            arguments.add(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={code}")]);
            arguments.add(["-drive", &format!("if=pflash,unit=1,format=raw,file={UEFI_VARIABLES}")]);
        }
    }

    fn add_drive(&self, arguments: &mut Arguments) {
        let image = escaped(&self.image.to_string_lossy());
        if self.drive == Drive::NetworkUrl {
            for kind in ["IPv4PXESupport", "IPv6PXESupport"] {
                arguments.add(["-fw_cfg", &format!("name=opt/org.tianocore/{kind},string=no")]);
            }
        }
        if matches!(self.drive, Drive::Network | Drive::NetworkUrl) {
            arguments.add(["-boot", "strict=on"]);
            return;
        }
        if self.drive == Drive::Kernel {
            let file = |name: &str| self.image.join(name).to_string_lossy().into_owned();
            arguments.add(["-kernel", &file("vmlinuz"), "-initrd", &file("initrd.img")]);
            arguments.add(["-append", KERNEL_ARGUMENTS]);
            if self.extras.second_stick.is_some() {
                arguments.add(["-device", "qemu-xhci,id=usb"]);
                self.add_second_stick(arguments);
            }
            return;
        }
        let how = match self.drive {
            // A disk that cannot be written to is none; what is written goes to a file without a name.
            Drive::Disk => "snapshot=on",
            Drive::Usb if self.extras.writable => "cache=writeback",
            _ => "readonly=on",
        };
        let drive = format!("id=medium,if=none,format=raw,{how},file={image}");
        arguments.add(["-boot", "strict=on", "-drive", &drive]);
        arguments.add(match self.drive {
            Drive::Cdrom | Drive::Kernel | Drive::Network | Drive::NetworkUrl => {
                &["-device", "ide-cd,bus=ide.0,drive=medium,bootindex=0"][..]
            }
            Drive::Disk => &["-device", "ide-hd,bus=ide.0,drive=medium,bootindex=0"],
            Drive::Usb => &[
                "-device",
                "qemu-xhci,id=usb",
                "-device",
                "usb-storage,id=stick,bus=usb.0,drive=medium,removable=on,bootindex=0",
            ],
        });
        if self.drive == Drive::Usb {
            self.add_second_stick(arguments);
        }
    }

    fn add_second_stick(&self, arguments: &mut Arguments) {
        let Some(image) = &self.extras.second_stick else { return };
        let image = escaped(&image.to_string_lossy());
        arguments.add(["-drive", &format!("id=second,if=none,format=raw,readonly=on,file={image}")]);
        arguments.add(["-device", "usb-storage,bus=usb.0,drive=second,removable=on"]);
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add<'text>(&mut self, words: impl IntoIterator<Item = impl AsRef<str> + 'text>) {
        self.0.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
    }

    /// A character device that listens on a socket and does not wait for a client.
    fn socket(&mut self, id: &str, path: &str, more: &str) {
        self.add(["-chardev", &format!("socket,id={id},path={path},server=on,wait=off{more}")]);
    }
}

/// In QEMU's lists of options a comma ends a value, two are one.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn machine() -> Machine {
        Machine {
            name: "test-node1".to_owned(),
            accelerator: Accelerator::Tcg,
            cpus: 1,
            cpu_model: None,
            memory_mib: 1024,
            firmware: Firmware::Bios,
            drive: Drive::Cdrom,
            image: PathBuf::from("/tmp/a,b.iso"),
            segment: Segment { group: Ipv4Addr::new(230, 1, 2, 3), port: 12345 },
            mac: "52:54:00:01:02:03".to_owned(),
            extras: Extras::default(),
        }
    }

    #[test]
    fn a_bios_machine_with_a_cd_is_this_command_line() {
        let line = machine().arguments().join(" ");
        let (line, ports) = line.split_once(" -chardev socket,id=exec0").unwrap();
        assert_eq!(
            line,
            "-name test-node1 -nodefaults -no-user-config -display none -machine q35,usb=off \
             -accel tcg,thread=multi -cpu qemu64 -smp 1 -m 1024M -boot strict=on \
             -drive id=medium,if=none,format=raw,readonly=on,file=/tmp/a,,b.iso \
             -device ide-cd,bus=ide.0,drive=medium,bootindex=0 -device VGA \
             -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
             -netdev dgram,id=net,remote.type=inet,remote.host=230.1.2.3,remote.port=12345,\
             local.type=inet,local.host=127.0.0.1,local.port=12345 \
             -device virtio-net-pci,netdev=net,mac=52:54:00:01:02:03,romfile= \
             -chardev socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log,logappend=off \
             -serial chardev:console -chardev socket,id=qmp,path=qmp.sock,server=on,wait=off \
             -mon chardev=qmp,mode=control -device virtio-serial-pci,max_ports=16"
        );
        assert_eq!(ports.matches("virtserialport,chardev=exec").count(), PORTS);
        assert!(ports.ends_with("name=brant.exec.7"));
    }

    #[test]
    fn secure_boot_needs_a_machine_that_guards_its_variables() {
        let firmware = Firmware::UefiSecureBoot { code: PathBuf::from("/fw/code.fd") };
        let line = Machine { firmware, drive: Drive::Disk, ..machine() }.arguments().join(" ");
        assert!(line.contains("q35,usb=off,smm=on -global driver=cfi.pflash01,property=secure,value=on"));
        assert!(line.contains("file=/fw/code.fd") && line.contains("ide-hd,bus=ide.0,drive=medium"));
        assert!(line.contains("format=raw,snapshot=on,file=/tmp/a,,b.iso"));
    }

    #[test]
    fn a_machine_without_a_medium_is_given_its_kernel() {
        let image = PathBuf::from("/tmp/k");
        let second_stick = Some(PathBuf::from("/tmp/other"));
        let extras = Extras { spare_network: true, second_stick, writable: false };
        let line = Machine { drive: Drive::Kernel, image, extras, ..machine() }.arguments().join(" ");
        assert!(line.contains("-kernel /tmp/k/vmlinuz -initrd /tmp/k/initrd.img -append console=tty0"));
        assert!(!line.contains("drive=medium") && line.contains("e1000,netdev=spare"));
        assert!(
            line.contains("qemu-xhci,id=usb -drive id=second,if=none,format=raw,readonly=on,file=/tmp/other")
        );
    }

    #[test]
    fn a_uefi_machine_with_a_stick_has_flash_and_a_usb_controller() {
        let firmware = Firmware::Uefi { code: PathBuf::from("/fw/code.fd") };
        let line = Machine { firmware, drive: Drive::Usb, ..machine() }.arguments().join(" ");
        assert!(line.contains("if=pflash,unit=0,format=raw,readonly=on,file=/fw/code.fd"));
        assert!(line.contains("if=pflash,unit=1,format=raw,file=vars.fd"));
        assert!(
            line.contains("-device qemu-xhci,id=usb -device usb-storage,id=stick,bus=usb.0,drive=medium")
        );
        assert!(!line.contains("ide-cd"));
    }
}
