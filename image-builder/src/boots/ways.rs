//! The ways in which people start an image, and the mishaps that they meet; each with what must come of it.

use crate::cluster::args::{BootMedium, FirmwareKind};

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// What it is called.
    pub(super) name: &'static str,
    /// What starts the machine.
    pub(super) firmware: FirmwareKind,
    /// How it meets the image.
    pub(super) boot: BootMedium,
    /// Memory in MiB, where it is not what the image needs.
    pub(super) memory: Option<u32>,
    /// What is special.
    pub(super) twist: Twist,
    /// Which images it is for.
    pub(super) images: Images,
    /// Whether it is part of every test run.
    pub(super) quick: bool,
}

/// What is special about a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twist {
    /// Nothing: the node joins.
    None,
    /// The node joins, and its kernel knows that Secure Boot is on.
    SecureBoot,
    /// A bit of the root has changed: a sentence says so.
    FlippedBit,
    /// There is no medium: a sentence says what was looked at.
    NoMedium,
    /// The image is copied to memory, then the stick is pulled: the node goes on.
    Pulled,
    /// The menu entry that checks the medium finds it whole.
    Verified,
    /// There is a second network card without a cable.
    SpareNetwork,
}

/// Which images a way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// All.
    All,
    /// Those with their root in the initramfs.
    InMemory,
    /// Those that stay on their medium.
    OnMedium,
}

const CD: Way = Way {
    name: "cd-bios",
    firmware: FirmwareKind::Bios,
    boot: BootMedium::Cdrom,
    memory: None,
    twist: Twist::None,
    images: Images::All,
    quick: false,
};

/// All of them.
pub(super) const WAYS: [Way; 13] = [
    CD,
    Way { name: "cd-uefi", firmware: FirmwareKind::Uefi, ..CD },
    Way { name: "disk-bios", boot: BootMedium::Disk, ..CD },
    Way { name: "usb-bios", boot: BootMedium::Usb, quick: true, ..CD },
    Way { name: "usb-uefi", firmware: FirmwareKind::Uefi, boot: BootMedium::Usb, ..CD },
    Way {
        name: "usb-uefi-secure-boot",
        firmware: FirmwareKind::UefiSecureBoot,
        boot: BootMedium::Usb,
        twist: Twist::SecureBoot,
        quick: true,
        ..CD
    },
    Way {
        name: "cd-uefi-secure-boot",
        firmware: FirmwareKind::UefiSecureBoot,
        twist: Twist::SecureBoot,
        ..CD
    },
    Way { name: "little-memory", memory: Some(512), images: Images::InMemory, ..CD },
    Way { name: "two-network-cards", twist: Twist::SpareNetwork, ..CD },
    Way { name: "flipped-bit", twist: Twist::FlippedBit, quick: true, ..CD },
    Way { name: "checked-medium", twist: Twist::Verified, ..CD },
    Way {
        name: "no-medium",
        boot: BootMedium::Kernel,
        twist: Twist::NoMedium,
        images: Images::OnMedium,
        ..CD
    },
    Way {
        name: "to-memory-and-pulled",
        boot: BootMedium::Usb,
        memory: Some(2048),
        twist: Twist::Pulled,
        images: Images::OnMedium,
        ..CD
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut names: Vec<&str> = WAYS.iter().map(|way| way.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WAYS.len());
    }
}
