//! The boot menu: one list of entries, rendered for isolinux (BIOS) and for GRUB (UEFI).

use crate::profile::{Profile, RootPlace};
use crate::site::ARGUMENTS_ROOM;
use brant_types::boot::marker;
use brant_types::site::ARGUMENTS_FOLLOW;

/// Where the kernel is on the medium.
pub(crate) const KERNEL: &str = "/boot/vmlinuz";
/// The same for the initramfs.
pub(crate) const INITRAMFS: &str = "/boot/initrd.img";
/// The same for the menus, BIOS and UEFI.
pub(crate) const MENUS: [&str; 2] = ["/isolinux/isolinux.cfg", "/boot/grub/grub.cfg"];
/// Memtest86+ for BIOS, which is started like a kernel; the name ends with nothing that isolinux gives a meaning to.
pub(crate) const MEMORY_TEST: &str = "/boot/memtest";
/// The same for UEFI. It is not signed: where Secure Boot is on, it does not start.
pub(crate) const MEMORY_TEST_EFI: &str = "/boot/memtest.efi";

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// For machines: what isolinux calls it.
    pub label: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it starts.
    pub starts: Starts,
}

/// What an entry starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Starts {
    /// The kernel.
    Linux {
        /// Its whole command line.
        command_line: String,
    },
    /// Memtest86+.
    MemoryTest,
}

/// The entries of a profile, the one that starts by itself first.
pub(crate) fn entries(profile: &Profile) -> Vec<Entry> {
    let base = profile.kernel.arguments.join(" ");
    let entry = |label, title, more: &str| {
        let starts = Starts::Linux { command_line: format!("{base}{more}") };
        Entry { label, title, starts }
    };
    let in_memory = entry("toram", "Brant, copied to memory: the medium can be taken out", " toram");
    let memory_test = Entry { label: "memtest", title: "Test this PC's memory", starts: Starts::MemoryTest };
    let mut entries = vec![entry("brant", "Brant: join the cluster", "")];
    let console =
        entry("console", "Brant, without the desktop: for little memory", " systemd.unit=multi-user.target");
    entries.extend(Some(console).filter(|_| profile.boot.console_only));
    entries.extend(Some(in_memory).filter(|_| profile.image.root == RootPlace::Medium));
    entries.extend([
        entry("debug", "Brant, with every message of the kernel", " loglevel=7 ignore_loglevel"),
        entry("safe", "Brant, for troublesome hardware", " nomodeset acpi=noirq pci=nomsi"),
        entry("rescue", "A shell, and nothing else", " brant.rescue"),
        entry("verify", "Check this medium", " brant.verify"),
    ]);
    entries.extend(Some(memory_test).filter(|_| profile.boot.memory_test));
    entries
}

/// A template with its `@NAME@` places filled.
pub(crate) fn render(template: &str, profile: &Profile, image_id: &str, one: fn(&Entry) -> String) -> String {
    let all: Vec<String> = entries(profile).iter().map(one).collect();
    template
        .replace("@TENTHS@", &(profile.boot.timeout * 10).to_string())
        .replace("@SECONDS@", &profile.boot.timeout.to_string())
        .replace("@MARKER@", &marker(image_id))
        .replace("@ENTRIES@\n", &all.join("\n"))
}

/// The kernel command line with room behind it for what `customise` adds.
fn with_room(command_line: &str) -> String {
    format!("{command_line} {ARGUMENTS_FOLLOW}{:room$}", "", room = ARGUMENTS_ROOM)
}

/// An entry as isolinux reads it.
pub(crate) fn isolinux(entry: &Entry) -> String {
    let Entry { label, title, starts } = entry;
    let Starts::Linux { command_line } = starts else {
        return format!("LABEL {label}\n    MENU LABEL {title}\n    KERNEL {MEMORY_TEST}\n");
    };
    let command_line = with_room(command_line);
    format!(
        "LABEL {label}\n    MENU LABEL {title}\n    KERNEL {KERNEL}\n    INITRD {INITRAMFS}\n    APPEND {command_line}\n"
    )
}

/// An entry as GRUB reads it.
pub(crate) fn grub(entry: &Entry) -> String {
    let Entry { label, title, starts } = entry;
    let Starts::Linux { command_line } = starts else {
        return format!("menuentry \"{title}\" --id {label} {{\n    chainloader {MEMORY_TEST_EFI}\n}}\n");
    };
    let command_line = with_room(command_line);
    format!(
        "menuentry '{title}' --id {label} {{\n    linux {KERNEL} {command_line}\n    initrd {INITRAMFS}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use crate::workspace::Workspace;
    use std::path::Path;

    fn rendered(template: &str, one: fn(&Entry) -> String) -> String {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let profile = profile::load(&Workspace::above(&tree).unwrap(), "compute").unwrap();
        let template = std::fs::read_to_string(tree.join("isolinux").join(template)).unwrap();
        render(&template, &profile, "0123abcd", one)
    }

    #[test]
    fn the_bios_menu_is_this() {
        assert_eq!(rendered("isolinux.cfg", isolinux), include_str!("golden/isolinux.cfg"));
    }

    #[test]
    fn the_uefi_menu_is_this() {
        assert_eq!(rendered("grub.cfg", grub), include_str!("golden/grub.cfg"));
        assert_eq!(rendered("esp.cfg", grub), include_str!("golden/esp.cfg"));
    }

    #[test]
    fn every_entry_keeps_the_serial_console_last() {
        let tree = Workspace::above(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        for entry in entries(&profile::load(&tree, "compute").unwrap()) {
            let Starts::Linux { command_line } = &entry.starts else { continue };
            let last = command_line.split(' ').rfind(|word| word.starts_with("console="));
            assert_eq!(last, Some("console=ttyS0,115200"), "{}", entry.label);
        }
    }
}
