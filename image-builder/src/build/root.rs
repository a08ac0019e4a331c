//! The root of a node: Debian's packages, our programs and settings; then sealed, measured and named.

use super::base::Base;
use super::measure;
use super::overlay;
use super::programs::Programs;
use super::release::hex;
use crate::job::Job;
use crate::manifest::FileEntry;
use crate::profile::{Init, Profile};
use anyhow::Context as _;
use brant_types::boot::{ImageFacts, SystemKind};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Files that differ from build to build, or that only the build needs; on a node they are made anew or not missed.
const LEFT_BEHIND: [&str; 17] = [
    "etc/.pwd.lock",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/machine-id",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "usr/share/doc/.keep",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/systemd/catalog/database",
];

/// Folders that are emptied.
const EMPTIED: [&str; 8] =
    ["boot", "dev", "run", "tmp", "var/cache/apt", "var/cache/man", "var/lib/apt/lists", "var/log"];

/// Keys that a package has made on installation; each node makes its own.
const HOST_KEYS: (&str, &str) = ("etc/ssh", "ssh_host_");

/// A root that may still change.
#[derive(Debug)]
pub(crate) struct OpenRoot {
    pub(super) path: PathBuf,
    extras: PathBuf,
}

/// A root that has been measured; nothing changes it any more.
#[derive(Debug)]
pub(crate) struct SealedRoot {
    path: PathBuf,
    extras: PathBuf,
    facts: ImageFacts,
    files: Vec<FileEntry>,
}

impl OpenRoot {
    /// Unpacks Debian's packages; what was fetched beside them goes to a folder of its own.
    ///
    /// # Errors
    /// The tar cannot be read, or the disk is full.
    pub(crate) fn unpack(base: &Base, path: PathBuf, extras: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&path).with_context(|| format!("making the folder `{}`", path.display()))?;
        Job::new("tar")
            .args([
                "--extract",
                "--numeric-owner",
                "--same-permissions",
                "--xattrs",
                "--xattrs-include=*",
                "--file",
            ])
            .arg(&base.tar)
            .arg("--directory")
            .arg(&path)
            .run()
            .with_context(|| format!("unpacking `{}`", base.tar.display()))?;
        fs::rename(path.join(".brant/files"), &extras).context("taking the boot loaders out of the root")?;
        fs::remove_dir(path.join(".brant")).context("taking the boot loaders out of the root")?;
        // The tar has none, for nobody but root can make what lies in it; the initramfs shows the kernel's there.
        let devices = path.join("dev");
        fs::create_dir_all(&devices).with_context(|| format!("making `{}`", devices.display()))?;
        let root = Self { path, extras };
        root.clear_away()?;
        Ok(root)
    }

    fn clear_away(&self) -> anyhow::Result<()> {
        for file in LEFT_BEHIND {
            let path = self.path.join(file);
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
            }
        }
        let (folder, prefix) = HOST_KEYS;
        for entry in fs::read_dir(self.path.join(folder)).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                fs::remove_file(entry.path())
                    .with_context(|| format!("removing `{}`", entry.path().display()))?;
            }
        }
        for folder in EMPTIED {
            let path = self.path.join(folder);
            let emptying = || format!("emptying `{}`", path.display());
            for entry in fs::read_dir(&path).into_iter().flatten() {
                let entry = entry.with_context(emptying)?;
                let is_folder = entry.file_type().with_context(emptying)?.is_dir();
                let entry = entry.path();
                if is_folder { fs::remove_dir_all(entry) } else { fs::remove_file(entry) }
                    .with_context(emptying)?;
            }
        }
        Ok(())
    }

    /// Lays our files over the root.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn lay_over(&self, overlay: &Path) -> anyhow::Result<()> {
        overlay::lay(overlay, &self.path)
    }

    /// Installs the programs of a node, and where our `init` runs it the names by which that is called to stop it.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(crate) fn install(&self, programs: &Programs, init: Init) -> anyhow::Result<()> {
        for program in programs.iter() {
            let place = self.path.join(program.place);
            let installing = || format!("installing `{}`", program.file.display());
            fs::create_dir_all(place.parent().unwrap_or(&self.path)).with_context(installing)?;
            fs::copy(&program.file, &place).with_context(installing)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).with_context(installing)?;
        }
        let names: &[&str] = if init == Init::Brant { &["poweroff", "reboot", "halt"] } else { &[] };
        for name in names {
            let link = self.path.join("usr/sbin").join(name);
            symlink("../lib/brant/init", &link).with_context(|| format!("linking `{}`", link.display()))?;
        }
        Ok(())
    }

    /// Measures the root, writes its name into it, and dates what was written during the build.
    ///
    /// # Errors
    /// Something cannot be read, or a signal asked to stop.
    pub(crate) fn seal(self, profile: &Profile, date: u64) -> anyhow::Result<SealedRoot> {
        // Once more: what hooks have left is not shipped either.
        self.clear_away()?;
        let mut hash = Sha256::new();
        hash.update(profile.identity());
        let files = measure::tree(&self.path, &mut hash)?;
        measure::tree(&self.extras, &mut hash)?;
        let facts = ImageFacts {
            image_id: hex(&hash.finalize())[..32].to_owned(),
            profile: profile.name.clone(),
            system: match profile.system.init {
                Init::Brant => SystemKind::Brant,
                Init::Systemd => SystemKind::Systemd,
            },
            console_user: profile.console_user().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let path = self.path.join("usr/lib/brant/image.toml");
        let writing = || format!("writing `{}`", path.display());
        fs::write(&path, toml::to_string(&facts).with_context(writing)?).with_context(writing)?;
        if profile.system.init == Init::Systemd {
            self.mark_as_updated()?;
        }
        measure::clamp_dates(&self.path, date)?;
        Ok(SealedRoot { path: self.path, extras: self.extras, facts, files })
    }
}

impl OpenRoot {
    /// Tells systemd that nothing has to be made anew for this `/usr`, as it would on each boot (ldconfig and others).
    fn mark_as_updated(&self) -> anyhow::Result<()> {
        for file in ["etc/.updated", "var/.updated"] {
            let path = self.path.join(file);
            fs::write(&path, "").with_context(|| format!("writing `{}`", path.display()))?;
        }
        Ok(())
    }
}

impl SealedRoot {
    /// A path on the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file out of the packages of the kernel and the boot loaders.
    pub(crate) fn extra(&self, name: &str) -> PathBuf {
        self.extras.join(name)
    }

    /// Its files, as they were measured.
    pub(crate) fn take_files(&mut self) -> Vec<FileEntry> {
        std::mem::take(&mut self.files)
    }

    /// The image's name.
    pub(crate) fn facts(&self) -> &ImageFacts {
        &self.facts
    }
}
