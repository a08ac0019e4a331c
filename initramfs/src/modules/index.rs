//! What `depmod` wrote about the modules of one kernel: files, dependencies, aliases. Pure.

use super::glob;
use crate::command_line::module_name;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The texts that an index is read from; each may be empty.
#[derive(Debug, Default)]
pub(crate) struct IndexTexts<'a> {
    pub(crate) dep: &'a str,
    pub(crate) alias: &'a str,
    pub(crate) softdep: &'a str,
    pub(crate) builtin: &'a str,
    /// The texts of `modprobe.d/*.conf`.
    pub(crate) modprobe_d: &'a str,
}

/// One module as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    needs: Vec<String>,
}

/// Everything known about the modules of one kernel. Names are spelt with '_'.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: HashMap<String, Entry>,
    /// Patterns by their part before the first ':', so that a PCI device is not compared with USB patterns.
    aliases: HashMap<String, Vec<(String, String)>>,
    before: HashMap<String, Vec<String>>,
    builtin: HashSet<String>,
    forbidden: HashSet<String>,
    options: HashMap<String, String>,
}

impl Index {
    /// Reads what depmod and `modprobe.d` say; lines that make no sense are passed over, as modprobe does.
    pub(crate) fn parse(texts: &IndexTexts<'_>) -> Self {
        let mut index = Self::default();
        for line in texts.dep.lines() {
            let Some((path, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(name_of_path).collect();
            index.entries.insert(name_of_path(path), Entry { path: path.to_owned(), needs });
        }
        index.builtin = texts.builtin.lines().map(name_of_path).collect();
        for line in texts.alias.lines().chain(texts.softdep.lines()).chain(texts.modprobe_d.lines()) {
            index.take_line(line);
        }
        index
    }

    fn take_line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["alias", pattern, module, ..] => {
                let pattern =
                    if pattern.contains(':') { (*pattern).to_owned() } else { module_name(pattern) };
                let bus = bus_of(&pattern).to_owned();
                self.aliases.entry(bus).or_default().push((pattern, module_name(module)));
            }
            ["softdep", module, rest @ ..] => {
                let names = rest.iter().skip_while(|word| **word != "pre:").skip(1);
                let names = names.take_while(|word| !word.ends_with(':')).map(|word| module_name(word));
                self.before.entry(module_name(module)).or_default().extend(names);
            }
            ["blacklist", module, ..] => {
                self.forbidden.insert(module_name(module));
            }
            ["options", module, rest @ ..] => {
                let known = self.options.entry(module_name(module)).or_default();
                *known = format!("{known} {}", rest.join(" ")).trim().to_owned();
            }
            _ => {}
        }
    }

    /// Leaves these modules alone when a device asks for them (not when they are named or needed).
    pub(crate) fn forbid(&mut self, modules: &[String]) {
        self.forbidden.extend(modules.iter().cloned());
    }

    /// The modules that want a device with this modalias, sorted by name.
    pub(crate) fn wanted_by(&self, modalias: &str) -> Vec<String> {
        let bus = bus_of(modalias);
        let mut found = BTreeSet::new();
        // A pattern whose bus itself holds a wildcard is filed under "".
        for (pattern, module) in self.aliases.get(bus).into_iter().chain(self.aliases.get("")).flatten() {
            if glob::matches(pattern.as_bytes(), modalias.as_bytes()) && !self.forbidden.contains(module) {
                found.insert(module.clone());
            }
        }
        found.into_iter().collect()
    }

    /// The modules behind a name: itself, or what the name is an alias of (`nfs4`, `fs-nfs`).
    pub(crate) fn named(&self, name: &str) -> Vec<String> {
        let name = module_name(name);
        if self.entries.contains_key(&name) || self.builtin.contains(&name) {
            vec![name]
        } else {
            self.wanted_by(&name)
        }
    }

    /// The files to load for this module, dependencies first: (name, path). `None`: no such module.
    pub(crate) fn order(&self, module: &str) -> Option<Vec<(&str, &str)>> {
        if self.builtin.contains(module) {
            return Some(Vec::new());
        }
        self.entries.get(module)?;
        let mut order = Vec::new();
        let mut seen = HashSet::new();
        self.visit(module, &mut seen, &mut order);
        Some(order)
    }

    fn visit<'a>(&'a self, module: &str, seen: &mut HashSet<&'a str>, order: &mut Vec<(&'a str, &'a str)>) {
        let Some((name, entry)) = self.entries.get_key_value(module) else { return };
        if !seen.insert(name) {
            return;
        }
        for soft in self.before.get(module).into_iter().flatten() {
            for real in self.named(soft) {
                self.visit(&real, seen, order);
            }
        }
        // depmod lists what is needed last first.
        for needed in entry.needs.iter().rev() {
            self.visit(needed, seen, order);
        }
        order.push((name, &entry.path));
    }

    /// What `modprobe.d` says about a module's parameters.
    pub(crate) fn options(&self, module: &str) -> &str {
        self.options.get(module).map_or("", String::as_str)
    }
}

/// `kernel/net/802/stp.ko.xz` is `stp`.
fn name_of_path(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    module_name(file.split(".ko").next().unwrap_or(file))
}

fn bus_of(alias: &str) -> &str {
    match alias.split_once(':') {
        Some((bus, _)) if !bus.contains(['*', '?', '[']) => bus,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: IndexTexts<'_> = IndexTexts {
        dep: "kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz\n\
              kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz\n\
              kernel/net/core/failover.ko.xz:\n\
              kernel/fs/nfsd/nfsd.ko.xz:\n\
              kernel/crypto/md5.ko.xz:\n\
              kernel/drivers/usb/storage/usb-storage.ko.xz:\n",
        alias: "# Aliases\nalias virtio:d00000001v* virtio_net\nalias crypto-md5 md5\n\
                alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage\n",
        softdep: "softdep nfsd pre: crypto-md5 post: other\n",
        builtin: "kernel/drivers/virtio/virtio_pci.ko\n",
        modprobe_d: "blacklist usb-storage\noptions nfs nfs4_unique_id=abc\n",
    };

    fn names(order: &[(&str, &str)]) -> Vec<String> {
        order.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    #[test]
    fn a_device_finds_its_driver() {
        let index = Index::parse(&TEXTS);
        assert_eq!(index.wanted_by("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert!(index.wanted_by("virtio:d00000002v00001AF4").is_empty());
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let index = Index::parse(&TEXTS);
        let order = index.order("virtio_net").unwrap();
        assert_eq!(names(&order), ["failover", "net_failover", "virtio_net"]);
        assert_eq!(order[2].1, "kernel/drivers/net/virtio_net.ko.xz");
    }

    #[test]
    fn soft_dependencies_come_before_and_what_follows_post_does_not() {
        let index = Index::parse(&TEXTS);
        assert_eq!(names(&index.order("nfsd").unwrap()), ["md5", "nfsd"]);
    }

    #[test]
    fn builtin_modules_need_no_file_and_unknown_ones_are_unknown() {
        let index = Index::parse(&TEXTS);
        assert_eq!(index.order("virtio_pci"), Some(Vec::new()));
        assert_eq!(index.order("nonsense"), None);
    }

    #[test]
    fn a_blacklisted_driver_is_not_chosen_by_a_device_but_loads_by_name() {
        let index = Index::parse(&TEXTS);
        let modalias = "usb:v0781p5567d0126dc00dsc00dp00ic08isc06ip50in00";
        assert!(index.wanted_by(modalias).is_empty());
        assert_eq!(index.named("usb-storage"), ["usb_storage"]);
        assert!(index.order("usb_storage").is_some());
    }

    #[test]
    fn the_command_line_can_forbid_a_driver() {
        let mut index = Index::parse(&TEXTS);
        index.forbid(&["virtio_net".to_owned()]);
        assert!(index.wanted_by("virtio:d00000001v00001AF4").is_empty());
    }

    #[test]
    fn aliases_resolve_and_options_are_kept() {
        let index = Index::parse(&TEXTS);
        assert_eq!(index.named("crypto-md5"), ["md5"]);
        assert_eq!(index.options("nfs"), "nfs4_unique_id=abc");
    }
}
