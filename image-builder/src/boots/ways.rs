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
    /// What there is on its network, where that matters.
    pub(super) network: Option<Network>,
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
    /// The same on a stick that the image was made into.
    VerifiedStick,
    /// There is a second network card without a cable.
    SpareNetwork,
    /// A second stick with the same image is there: the node joins.
    TwoMedia,
    /// The same, and the first one is damaged: the node takes the other, and joins.
    DamagedBeside,
    /// The medium is a stick with the image in a file among others, as Ventoy's: the node finds it there, and joins.
    InAFile,
    /// The DHCP server names what it can, goes, and comes back with other addresses.
    DhcpChanges,
    /// A kernel argument makes one link of two, of which one has no cable: the node has an address there, and on neither of them.
    Bond,
    /// A kernel argument gives its link an address: the node has that, and joins.
    FixedAddress,
    /// The menu shows its entries; one is chosen by keys, and starts.
    Menu,
    /// The image is made into one for a stick, and its settings are edited: the node has the name and the VLAN that were written
    /// there.
    EditedStick,
    /// The stick keeps what is written, also over a restart, on all the room that it has; and the address, where there is DHCP.
    Kept,
    /// The same, encrypted.
    KeptEncrypted,
}

/// What the machine's network has. This host serves there, which needs root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// By PXE; this host gives the addresses, too.
    Pxe,
    /// By PXE; another server gives the addresses.
    PxeBesideDhcp,
    /// From the URL of the ISO.
    Url,
    /// It does not; there is a DHCP server, and nothing else.
    Dhcp,
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
    network: None,
    images: Images::All,
    quick: false,
};

const STICK: Way = Way { name: "edited-stick-bios", boot: BootMedium::Usb, twist: Twist::EditedStick, ..CD };

const PXE: Way = Way { name: "pxe-bios", boot: BootMedium::Network, network: Some(Network::Pxe), ..CD };

/// All of them.
pub(super) const WAYS: [Way; 34] = [
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
    Way { name: "menu-bios", twist: Twist::Menu, quick: true, ..CD },
    Way { name: "menu-uefi", firmware: FirmwareKind::Uefi, twist: Twist::Menu, ..CD },
    Way { name: "two-sticks", boot: BootMedium::Usb, twist: Twist::TwoMedia, ..CD },
    Way { name: "fixed-address", twist: Twist::FixedAddress, ..CD },
    Way { name: "bond", twist: Twist::Bond, network: Some(Network::Dhcp), ..CD },
    Way { name: "dhcp-changes", twist: Twist::DhcpChanges, network: Some(Network::Dhcp), ..CD },
    Way {
        name: "one-of-two-damaged",
        boot: BootMedium::Usb,
        twist: Twist::DamagedBeside,
        images: Images::OnMedium,
        ..CD
    },
    Way {
        name: "in-a-file",
        boot: BootMedium::Kernel,
        twist: Twist::InAFile,
        images: Images::OnMedium,
        ..CD
    },
    Way { name: "little-memory", memory: Some(512), images: Images::InMemory, quick: true, ..CD },
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
    STICK,
    Way { name: "checked-stick", twist: Twist::VerifiedStick, ..STICK },
    Way { name: "edited-stick-uefi", firmware: FirmwareKind::Uefi, ..STICK },
    Way { name: "edited-stick-uefi-secure-boot", firmware: FirmwareKind::UefiSecureBoot, ..STICK },
    Way { name: "keeping-stick", twist: Twist::Kept, ..STICK },
    Way { name: "keeping-stick-with-dhcp", twist: Twist::Kept, network: Some(Network::Dhcp), ..STICK },
    Way {
        name: "encrypted-stick",
        firmware: FirmwareKind::Uefi,
        memory: Some(2048),
        twist: Twist::KeptEncrypted,
        ..STICK
    },
    PXE,
    Way { name: "pxe-uefi", firmware: FirmwareKind::Uefi, ..PXE },
    Way {
        name: "pxe-uefi-secure-boot",
        firmware: FirmwareKind::UefiSecureBoot,
        twist: Twist::SecureBoot,
        ..PXE
    },
    Way { name: "pxe-bios-beside-dhcp", network: Some(Network::PxeBesideDhcp), ..PXE },
    Way {
        name: "pxe-uefi-beside-dhcp",
        firmware: FirmwareKind::Uefi,
        network: Some(Network::PxeBesideDhcp),
        ..PXE
    },
    Way {
        name: "url-uefi",
        firmware: FirmwareKind::Uefi,
        boot: BootMedium::NetworkUrl,
        // What is on the ISO beside the initramfs cannot be reached then.
        images: Images::InMemory,
        network: Some(Network::Url),
        ..PXE
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
