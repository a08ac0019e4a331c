//! Which kernel modules go into the initramfs: those asked for, and all that these need.

use std::collections::{BTreeMap, BTreeSet};

/// What a kernel's module folder says about its modules.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Path to the paths it needs, from `modules.dep`.
    needs: BTreeMap<String, Vec<String>>,
    /// Name to the names it asks for beside (`modules.softdep`).
    asks: BTreeMap<String, Vec<String>>,
    /// Paths of modules that are part of the kernel.
    built_in: BTreeSet<String>,
}

impl Index {
    /// Reads the texts of `modules.dep`, `modules.softdep` and `modules.builtin`.
    pub(crate) fn read(dep: &str, softdep: &str, builtin: &str) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let needs = dep.lines().filter_map(|line| line.split_once(':'));
        let asks = softdep.lines().filter_map(|line| line.strip_prefix("softdep ")).filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let asked = rest.split_whitespace().filter(|word| !word.ends_with(':'));
            Some((plain(name), asked.map(plain).collect()))
        });
        Self {
            needs: needs.map(|(path, needed)| (path.to_owned(), words(needed))).collect(),
            asks: asks.collect(),
            built_in: builtin.lines().map(str::to_owned).collect(),
        }
    }

    /// The modules that these files or folders below `kernel/` name, with all that they need.
    ///
    /// # Errors
    /// The names that fit no module at all, also none that is part of the kernel.
    pub(crate) fn closure(&self, wanted: &[String]) -> Result<BTreeSet<String>, Vec<String>> {
        let mut pending: Vec<&str> = Vec::new();
        let mut unknown = Vec::new();
        for name in wanted {
            let before = pending.len();
            pending.extend(self.needs.keys().filter(|path| is_named(path, name)).map(String::as_str));
            if pending.len() == before && !self.built_in.iter().any(|path| is_named(path, name)) {
                unknown.push(name.clone());
            }
        }
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let by_name: BTreeMap<String, &str> =
            self.needs.keys().map(|path| (name_of(path), path.as_str())).collect();
        let mut all = BTreeSet::new();
        while let Some(path) = pending.pop() {
            if !all.insert(path.to_owned()) {
                continue;
            }
            pending.extend(self.needs.get(path).into_iter().flatten().map(String::as_str));
            let asked = self.asks.get(&name_of(path)).into_iter().flatten();
            pending.extend(asked.filter_map(|name| by_name.get(name).copied()));
        }
        Ok(all)
    }
}

/// `modules.dep` with the chosen modules only.
pub(crate) fn chosen_dep(dep: &str, chosen: &BTreeSet<String>) -> String {
    let is_chosen = |line: &&str| line.split_once(':').is_some_and(|(path, _)| chosen.contains(path));
    dep.lines().filter(is_chosen).map(|line| format!("{line}\n")).collect()
}

/// `modules.alias` with the chosen modules only.
pub(crate) fn chosen_alias(alias: &str, chosen: &BTreeSet<String>) -> String {
    let names: BTreeSet<String> = chosen.iter().map(|path| name_of(path)).collect();
    let is_chosen =
        |line: &&str| line.split_whitespace().last().is_some_and(|name| names.contains(&plain(name)));
    alias.lines().filter(is_chosen).map(|line| format!("{line}\n")).collect()
}

/// Whether `kernel/drivers/ata/ahci.ko.xz` is what `drivers/ata` or `drivers/ata/ahci` names.
fn is_named(path: &str, name: &str) -> bool {
    let rest = path.strip_prefix("kernel/").and_then(|path| path.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with('/') || rest.starts_with(".ko"))
}

/// The module's name: no folder, no suffix.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    plain(file.split(".ko").next().unwrap_or(file))
}

/// The kernel takes `-` and `_` in names for the same.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz kernel/drivers/ata/libata.ko.xz\n\
        kernel/drivers/ata/libahci.ko.xz: kernel/drivers/ata/libata.ko.xz\n\
        kernel/drivers/ata/libata.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\n\
        kernel/drivers/scsi/scsi_mod.ko.xz:\n\
        kernel/drivers/net/usb/r8152.ko.xz: kernel/drivers/net/mii.ko.xz\n\
        kernel/drivers/net/mii.ko.xz:\n\
        kernel/fs/btrfs/btrfs.ko.xz:\n\
        kernel/crypto/crc32c-intel.ko.xz:\n";
    const SOFTDEP: &str = "# comment\nsoftdep btrfs pre: crc32c_intel post: missing\n";
    const BUILTIN: &str = "kernel/drivers/virtio/virtio_pci.ko\n";

    fn closure(wanted: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Index::read(DEP, SOFTDEP, BUILTIN)
            .closure(&wanted)
            .map(|all| all.iter().map(|path| name_of(path)).collect())
    }

    #[test]
    fn what_a_module_needs_comes_along_through_all_steps() {
        assert_eq!(closure(&["drivers/ata/ahci"]).unwrap(), ["ahci", "libahci", "libata", "scsi_mod"]);
    }

    #[test]
    fn a_folder_names_all_below_it_but_not_its_neighbours() {
        assert_eq!(closure(&["drivers/net/usb"]).unwrap(), ["mii", "r8152"]);
        assert_eq!(closure(&["drivers/net/us"]).unwrap_err(), ["drivers/net/us"]);
    }

    #[test]
    fn soft_dependencies_come_along_where_they_exist() {
        assert_eq!(closure(&["fs/btrfs"]).unwrap(), ["crc32c_intel", "btrfs"]);
    }

    #[test]
    fn what_is_part_of_the_kernel_is_known_and_needs_no_file() {
        assert_eq!(closure(&["drivers/virtio"]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_indexes_keep_only_what_was_chosen() {
        let chosen = BTreeSet::from(["kernel/crypto/crc32c-intel.ko.xz".to_owned()]);
        assert_eq!(chosen_dep(DEP, &chosen), "kernel/crypto/crc32c-intel.ko.xz:\n");
        let alias = "alias crc32c crc32c_intel\nalias pci:v8086 ahci\n";
        assert_eq!(chosen_alias(alias, &chosen), "alias crc32c crc32c_intel\n");
    }
}
