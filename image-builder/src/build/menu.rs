//! The boot menu: one list of entries, rendered for isolinux (BIOS) and for GRUB (UEFI).

use crate::profile::Profile;
use crate::site::ARGUMENTS_ROOM;
use brant_types::site::ARGUMENTS_FOLLOW;

/// Where kernel and initramfs are on the medium.
pub(crate) const KERNEL: &str = "/boot/vmlinuz";
/// The same for the initramfs.
pub(crate) const INITRAMFS: &str = "/boot/initrd.img";

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// For machines: what isolinux calls it.
    pub label: &'static str,
    /// For people.
    pub title: &'static str,
    /// The whole kernel command line.
    pub command_line: String,
}

/// The entries of a profile, the one that starts by itself first.
pub(crate) fn entries(profile: &Profile) -> Vec<Entry> {
    let base = profile.kernel.arguments.join(" ");
    let entry = |label, title, more: &str| Entry { label, title, command_line: format!("{base}{more}") };
    vec![
        entry("brant", "Brant: join the cluster", ""),
        entry("debug", "Brant, with every message of the kernel", " loglevel=7 ignore_loglevel"),
        entry("safe", "Brant, for troublesome hardware", " nomodeset acpi=noirq pci=nomsi"),
    ]
}

/// The file by which GRUB tells this medium from all others.
pub(crate) fn marker(image_id: &str) -> String {
    format!("/.disk/brant-{image_id}")
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
    let Entry { label, title, command_line } = entry;
    let command_line = with_room(command_line);
    format!(
        "LABEL {label}\n    MENU LABEL {title}\n    KERNEL {KERNEL}\n    INITRD {INITRAMFS}\n    APPEND {command_line}\n"
    )
}

/// An entry as GRUB reads it.
pub(crate) fn grub(entry: &Entry) -> String {
    let Entry { label, title, command_line } = entry;
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
            let last = entry.command_line.split(' ').rfind(|word| word.starts_with("console="));
            assert_eq!(last, Some("console=ttyS0,115200"), "{}", entry.label);
        }
    }
}
