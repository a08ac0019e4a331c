//! What a profile says, checked.

use std::path::PathBuf;

/// A checked profile; made only by [`super::load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    /// One line for people who choose.
    pub about: String,
    /// Where Debian comes from.
    pub debian: Debian,
    /// The kernel and its modules.
    pub kernel: Kernel,
    /// What network cards and other devices want to be given.
    pub firmware: Firmware,
    /// The system on the root.
    pub system: System,
    /// Who can log in, by number.
    pub users: Vec<User>,
    /// How the image is packed.
    pub image: Image,
    /// The boot menu and the medium.
    pub boot: Boot,
}

impl Profile {
    /// What makes an image of this profile what it is; where Debian's packages came from does not, nor what else is made.
    pub(crate) fn identity(&self) -> String {
        let debian = Debian { mirror: None, security_mirror: None, ..self.debian.clone() };
        let image = Image { artefacts: Vec::new(), ..self.image.clone() };
        format!("{:?}", Self { debian, image, about: String::new(), ..self.clone() })
    }

    /// The user whom a console logs in.
    pub(crate) fn console_user(&self) -> &str {
        &self.system.console_user
    }
}

/// Where Debian comes from, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Debian {
    /// The release's code name.
    pub suite: String,
    /// Parts of the archive.
    pub components: Vec<String>,
    /// Wins over the host's own mirror.
    pub mirror: Option<String>,
    /// The mirror of the security suite; wins likewise.
    pub security_mirror: Option<String>,
    /// Beside the essential ones; what they depend on comes along, what they recommend does not.
    pub packages: Vec<String>,
    /// Whether manual pages and the like are kept.
    pub documentation: bool,
}

/// The kernel and its modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// A metapackage that depends on the image of the day.
    pub package: String,
    /// What every menu entry passes to the kernel.
    pub arguments: Vec<String>,
    /// Files or folders below `kernel/` that go into the initramfs, with what they need.
    pub early_modules: Vec<String>,
    /// Files or folders below `kernel/` that go nowhere.
    pub unwanted_modules: Vec<String>,
}

/// What network cards and other devices want to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firmware {
    /// Packages it is taken from; nothing else of them is.
    pub packages: Vec<String>,
    /// Files or folders below `/usr/lib/firmware`, which go into the initramfs and onto the root.
    pub files: Vec<String>,
}

/// The first process of the running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// Our own: nothing but Brant's services, and a login on each console.
    Brant,
    /// systemd: a full Debian.
    Systemd,
}

/// The system on the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct System {
    /// What runs it.
    pub init: Init,
    /// Whom a console logs in.
    pub console_user: String,
    /// The value of `LANG`.
    pub locale: String,
    /// The layout of the keyboard.
    pub keyboard: Keyboard,
    /// Folders below `overlay/`, laid over the root one after the other.
    pub overlays: Vec<String>,
    /// Scripts below `profiles/`, run inside the root when everything is there.
    pub hooks: Vec<PathBuf>,
}

/// The layout of a keyboard, as XKB names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyboard {
    /// The layout: `us`, `de`.
    pub layout: String,
    /// One of its variants: `nodeadkeys`.
    pub variant: Option<String>,
}

impl Keyboard {
    /// Whether it is what the kernel has by itself.
    pub(crate) fn is_the_kernels(&self) -> bool {
        self.layout == "us" && self.variant.is_none()
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The login name, and the name of the first group.
    pub name: String,
    /// The number, and that of the first group.
    pub uid: u32,
    /// The full name.
    pub comment: String,
    /// The login shell.
    pub shell: String,
    /// Further groups, which the packages have to make.
    pub groups: Vec<String>,
    /// Whether `sudo` asks for nothing.
    pub sudo: bool,
    /// Lines of `authorized_keys`.
    pub ssh_keys: Vec<String>,
}

/// Where the root travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootPlace {
    /// In the initramfs: in memory as soon as the kernel starts, with no medium to be found.
    Initramfs,
    /// In a file of its own on the medium.
    Medium,
}

/// What is made of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Artefact {
    /// The ISO, from which the others are made.
    Iso,
    /// The image of a stick whose settings can be edited.
    Usb,
    /// The files that PCs boot from over the network.
    Netboot,
}

/// How the partition table of an ISO says what is where, for when it lies on a stick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartitionTable {
    /// Without a fault: strict firmware takes nothing else.
    Valid,
    /// With one partition within another, which keeps some old firmware from looking at it at all.
    Overlapping,
}

/// How the image is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Where the root travels.
    pub root: RootPlace,
    /// zstd's level for the root's squashfs.
    pub compression: u32,
    /// How large the image may be, in millions of bytes.
    pub budget: u32,
    /// What is made.
    pub artefacts: Vec<Artefact>,
    /// The partition table of the ISO.
    pub partition_table: PartitionTable,
}

/// The boot menu and the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    /// Seconds until the first entry starts.
    pub timeout: u32,
    /// The medium's label.
    pub volume: String,
    /// Whether the menu offers Memtest86+.
    pub memory_test: bool,
    /// Whether it offers to do without the desktop.
    pub console_only: bool,
}
