//! The boot menu: one list of entries, rendered for isolinux (BIOS) and for GRUB (UEFI).

use super::profile::Profile;

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
    let base = &profile.kernel.command_line;
    let entry = |label, title, more: &str| Entry { label, title, command_line: format!("{base}{more}") };
    vec![
        entry("brant", "Brant: join the cluster", ""),
        entry("debug", "Brant, with every message of the kernel", " loglevel=7 ignore_loglevel"),
        entry("safe", "Brant, for troublesome hardware", " nomodeset acpi=noirq pci=nomsi"),
    ]
}

/// A template with its `@NAME@` places filled.
pub(crate) fn render(
    template: &str,
    profile: &Profile,
    entries: &[Entry],
    one: fn(&Entry) -> String,
) -> String {
    let all: Vec<String> = entries.iter().map(one).collect();
    template
        .replace("@TENTHS@", &(profile.boot.timeout * 10).to_string())
        .replace("@SECONDS@", &profile.boot.timeout.to_string())
        .replace("@ENTRIES@\n", &all.join("\n"))
}

/// An entry as isolinux reads it.
pub(crate) fn isolinux(entry: &Entry) -> String {
    let Entry { label, title, command_line } = entry;
    format!(
        "LABEL {label}\n    MENU LABEL {title}\n    KERNEL {KERNEL}\n    INITRD {INITRAMFS}\n    APPEND {command_line}\n"
    )
}

/// An entry as GRUB reads it.
pub(crate) fn grub(entry: &Entry) -> String {
    let Entry { label, title, command_line } = entry;
    format!(
        "menuentry '{title}' --id {label} {{\n    linux {KERNEL} {command_line}\n    initrd {INITRAMFS}\n}}\n"
    )
}
