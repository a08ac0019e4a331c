//! The initramfs: `init` with its modules, then the root where it travels here, then the site's own, each an
//! archive of its own.
//!
//! What belongs to one site, the secret above all, comes last and apart, in room of fixed length: everything before it
//! may be published, hashed or sent in clear, and `customise` can change it in place.

use super::carried::CarriedRoot;
use super::modules::{Index, chosen_alias, chosen_dep};
use super::newc::{Archive, pad};
use super::programs::Programs;
use super::root::SealedRoot;
use crate::failure::{Advice, Kind};
use crate::interrupt;
use crate::profile::{Profile, RootPlace};
use crate::site::area;
use anyhow::Context as _;
use brant_types::boot::RootFacts;
use brant_types::site::Site;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use zstd::stream::Encoder;

/// Modules are compressed already; a higher level costs seconds and wins nothing.
const LEVEL: i32 = 6;

/// What a root on a medium is checked with, below `kernel/` of the module tree.
const ON_A_MEDIUM: [&str; 1] = ["drivers/md/dm-verity"];

/// What there is before a root that is in the initramfs itself, and brings all other modules: what mounts it, and the
/// keyboards of the rescue shell for one that is damaged.
const CARRIED: [&str; 7] = [
    "drivers/block/loop",
    "drivers/hid/hid",
    "drivers/hid/hid-generic",
    "drivers/hid/usbhid",
    "drivers/usb/host",
    "fs/overlayfs",
    "fs/squashfs",
];

/// An initramfs on disk.
#[derive(Debug)]
pub(crate) struct Initramfs {
    /// Where it is.
    pub file: PathBuf,
    /// How many modules it carries.
    pub(crate) modules: usize,
}

/// Writes the initramfs.
///
/// # Errors
/// A file cannot be read or written, the profile asks for a module that does not exist, or a signal asked to stop.
pub(crate) fn make(
    profile: &Profile,
    root: &SealedRoot,
    programs: &Programs,
    carried: &CarriedRoot,
    site: &Site,
    (file, date): (PathBuf, u64),
) -> anyhow::Result<Initramfs> {
    let writing = || format!("writing the initramfs `{}`", file.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&file).with_context(writing)?);

    let mut encoder = Encoder::new(&mut out, LEVEL).context("starting zstd")?;
    // With at least one worker the bytes do not depend on how many there are.
    encoder.multithread(2).and_then(|()| encoder.include_checksum(true)).context("starting zstd")?;
    let mut system = Archive::new(encoder, date);
    let modules = add_system(&mut system, &early_modules(profile), profile, root, programs)?;
    let facts = toml::to_string(&carried.facts).with_context(writing)?;
    system.file("brant/root.toml", 0o644, facts.len() as u64, facts.as_bytes()).with_context(writing)?;
    system.finish().and_then(Encoder::finish).with_context(writing)?;
    let length = pad_file(&mut out).with_context(writing)?;
    tracing::debug!(length, modules, "the initramfs without the root");

    if let RootFacts::Initramfs { .. } = carried.facts {
        let mut member = Archive::new(&mut out, date);
        add_file(&mut member, "root.squashfs", 0o644, &carried.file)?;
        member.finish().with_context(writing)?;
        pad_file(&mut out).with_context(writing)?;
    }

    out.write_all(&area::render(site)?).and_then(|()| out.flush()).with_context(writing)?;
    Ok(Initramfs { file, modules })
}

fn add_system<W: Write>(
    archive: &mut Archive<W>,
    early: &[String],
    profile: &Profile,
    root: &SealedRoot,
    programs: &Programs,
) -> anyhow::Result<usize> {
    for folder in ["bin", "brant", "dev", "lib", "newroot", "proc", "run", "sys"] {
        archive.folder(folder, 0o755).context("writing the initramfs")?;
    }
    archive.device("dev/console", 0o600, 5, 1).context("writing the initramfs")?;
    add_file(archive, "init", 0o755, programs.init())?;
    add_file(archive, "bin/busybox", 0o755, &root.path("usr/bin/busybox"))?;
    add_file(archive, "brant/image.toml", 0o644, &root.path("usr/lib/brant/image.toml"))?;
    for wanted in &profile.firmware.files {
        add_firmware(archive, root, Path::new(wanted))?;
    }
    add_modules(archive, early, root)
}

/// What is there before the root is.
fn early_modules(profile: &Profile) -> Vec<String> {
    let named = |paths: &[&str]| -> Vec<String> { paths.iter().map(|path| (*path).to_owned()).collect() };
    match profile.image.root {
        RootPlace::Medium => [profile.kernel.early_modules.clone(), named(&ON_A_MEDIUM)].concat(),
        RootPlace::Initramfs => named(&CARRIED),
    }
}

/// A file below `/usr/lib/firmware`, or a folder with all that is in it; what is a link there is a file here.
fn add_firmware<W: Write>(archive: &mut Archive<W>, root: &SealedRoot, wanted: &Path) -> anyhow::Result<()> {
    let path = root.path("usr/lib/firmware").join(wanted);
    if !path.is_dir() {
        return add_file(archive, &format!("lib/firmware/{}", wanted.display()), 0o644, &path);
    }
    let reading = || format!("reading `{}`", path.display());
    let entries: Result<Vec<_>, _> = fs::read_dir(&path).with_context(reading)?.collect();
    let mut names: Vec<_> = entries.with_context(reading)?.iter().map(fs::DirEntry::file_name).collect();
    names.sort();
    names.iter().try_for_each(|name| add_firmware(archive, root, &wanted.join(name)))
}

fn add_modules<W: Write>(
    archive: &mut Archive<W>,
    early: &[String],
    root: &SealedRoot,
) -> anyhow::Result<usize> {
    let version = kernel_version(&root.path("usr/lib/modules"))?;
    let folder = root.path("usr/lib/modules").join(&version);
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))
    };
    let dep = read("modules.dep")?;
    let softdep = read("modules.softdep")?;
    let chosen =
        Index::read(&dep, &softdep, &read("modules.builtin")?).closure(early).map_err(|unknown| {
            let what = format!("Linux {version} has no modules {}", unknown.join(", "));
            Advice::new(Kind::Input, what).hint("look at `early-modules` in the profile's `[kernel]`").error()
        })?;
    for path in &chosen {
        interrupt::check()?;
        add_file(archive, &format!("lib/modules/{version}/{path}"), 0o644, &folder.join(path))?;
    }
    let alias = chosen_alias(&read("modules.alias")?, &chosen);
    let texts = [
        ("modules.alias", alias),
        ("modules.builtin", read("modules.builtin")?),
        ("modules.dep", chosen_dep(&dep, &chosen)),
        ("modules.softdep", softdep),
    ];
    for (name, text) in texts {
        let path = format!("lib/modules/{version}/{name}");
        archive.file(&path, 0o644, text.len() as u64, text.as_bytes()).context("writing the initramfs")?;
    }
    Ok(chosen.len())
}

/// The one kernel whose modules are on the root.
///
/// # Errors
/// There is none, or there are several.
pub(crate) fn kernel_version(folder: &Path) -> anyhow::Result<String> {
    let looking = || format!("looking for a kernel's modules in `{}`", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(looking)? {
        found.push(entry.with_context(looking)?.file_name().to_string_lossy().into_owned());
    }
    match <[String; 1]>::try_from(found) {
        Ok([version]) => Ok(version),
        Err(found) => anyhow::bail!("there are {} kernels on the root, not one", found.len()),
    }
}

fn add_file<W: Write>(archive: &mut Archive<W>, name: &str, mode: u32, path: &Path) -> anyhow::Result<()> {
    let adding = || format!("adding `{}` to the initramfs", path.display());
    let file = File::open(path).with_context(adding)?;
    let size = file.metadata().with_context(adding)?.len();
    archive.file(name, mode, size, file.take(size)).with_context(adding)
}

fn pad_file(out: &mut BufWriter<File>) -> std::io::Result<u64> {
    let length = out.stream_position()?;
    pad(out, length)
}
