//! Loading modules into the running kernel.

use super::index::{Index, IndexTexts};
use crate::command_line::{CommandLine, module_name};
use crate::report;
use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::system::finit_module;
use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// `MODULE_INIT_COMPRESSED_FILE`: the kernel unpacks `.ko.xz` itself.
const COMPRESSED: i32 = 4;

/// The modules of the running kernel, and which of them are loaded.
#[derive(Debug)]
pub(crate) struct Modules {
    folder: PathBuf,
    index: Index,
    parameters: BTreeMap<String, String>,
    loaded: HashSet<String>,
    failed: HashSet<String>,
}

impl Modules {
    /// Reads the index of the running kernel's modules in the file system at `top`.
    pub(crate) fn open(top: impl AsRef<Path>, line: &CommandLine) -> Result<Self> {
        let top = top.as_ref();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let folder = top.join("lib/modules").join(&release);
        let dep = fs::read_to_string(folder.join("modules.dep"))
            .with_context(|| format!("reading the module index of kernel {release}"))?;
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (alias, softdep, builtin) =
            (text("modules.alias"), text("modules.softdep"), text("modules.builtin"));
        let modprobe_d = modprobe_d(top);
        let mut index = Index::parse(&IndexTexts {
            dep: &dep,
            alias: &alias,
            softdep: &softdep,
            builtin: &builtin,
            modprobe_d: &modprobe_d,
        });
        index.forbid(&line.forbidden_modules);
        let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
        let loaded = loaded.lines().filter_map(|line| line.split(' ').next()).map(module_name).collect();
        Ok(Self { folder, index, parameters: line.module_parameters.clone(), loaded, failed: HashSet::new() })
    }

    /// Loads a module by its name or alias, with what it needs.
    pub(crate) fn load(&mut self, name: &str) -> Result<()> {
        let modules = self.index.named(name);
        if modules.is_empty() {
            bail!("there is no kernel module `{name}` in `{}`", self.folder.display());
        }
        modules.iter().try_for_each(|module| self.load_one(module).map(drop))
    }

    /// Loads the drivers for a device; gives the number of modules that were new. Failures are reported once.
    pub(crate) fn load_for(&mut self, modalias: &str) -> usize {
        let mut new = 0;
        for module in self.index.wanted_by(modalias) {
            if self.failed.contains(&module) {
                continue;
            }
            match self.load_one(&module) {
                Ok(count) => new += count,
                Err(error) => {
                    self.failed.insert(module);
                    // A driver that finds nothing to drive is no fault: aliases promise more than there is.
                    if error.downcast_ref::<Errno>() != Some(&Errno::NODEV) {
                        report::complain(&format!("{error:#}"));
                    }
                }
            }
        }
        new
    }

    /// Loads the drivers for all devices there are that are `meant`, until none brings up a device that wants another.
    pub(crate) fn load_for_devices(&mut self, meant: impl Fn(&str) -> bool) -> usize {
        let mut all = 0;
        let mut asked = HashSet::new();
        loop {
            let aliases = sysfs_modaliases().into_iter();
            let fresh: Vec<String> =
                aliases.filter(|alias| meant(alias) && asked.insert(alias.clone())).collect();
            if fresh.is_empty() {
                return all;
            }
            all += fresh.iter().map(|modalias| self.load_for(modalias)).sum::<usize>();
        }
    }

    fn load_one(&mut self, module: &str) -> Result<usize> {
        if self.loaded.contains(module) {
            return Ok(0);
        }
        let order =
            self.index.order(module).with_context(|| format!("there is no kernel module `{module}`"))?;
        let mut new = 0;
        for (name, path) in order {
            if self.loaded.contains(name) {
                continue;
            }
            insert(&self.folder.join(path), &self.parameters_of(name))
                .with_context(|| format!("loading kernel module `{name}`"))?;
            self.loaded.insert(name.to_owned());
            new += 1;
        }
        self.loaded.insert(module.to_owned());
        Ok(new)
    }

    fn parameters_of(&self, module: &str) -> String {
        let typed = self.parameters.get(module).map_or("", String::as_str);
        format!("{} {typed}", self.index.options(module)).trim().to_owned()
    }
}

fn insert(path: &Path, parameters: &str) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening `{}`", path.display()))?;
    let plain = path.extension().is_some_and(|extension| extension == "ko");
    let parameters = CString::new(parameters).context("reading its parameters")?;
    match finit_module(&file, &parameters, if plain { 0 } else { COMPRESSED }) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The texts of all `modprobe.d` files together; `/etc` wins over a file of the same name in `/usr/lib`.
fn modprobe_d(top: &Path) -> String {
    let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in ["usr/lib/modprobe.d", "etc/modprobe.d"] {
        for entry in fs::read_dir(top.join(folder)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "conf") {
                files.insert(entry.file_name(), entry.path());
            }
        }
    }
    files.values().filter_map(|path| fs::read_to_string(path).ok()).collect::<Vec<_>>().join("\n")
}

/// The modaliases of all devices there are.
fn sysfs_modaliases() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/devices")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Links lead back up; `file_type` does not follow them.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == "modalias" => {
                    found.extend(fs::read_to_string(entry.path()).ok().map(|text| text.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    found.retain(|modalias| !modalias.is_empty());
    found.sort_unstable();
    found.dedup();
    found
}
