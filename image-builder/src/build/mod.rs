//! `brant-image build`: profile → root → squashfs → initramfs → medium.
//!
//! Each stage takes what the stage before has made, so none can run early; everything half done lies in the work
//! folder or in the draft, and both go when the build ends in whatever way.

pub(crate) mod args;

mod accounts;
mod artefacts;
mod base;
mod bench;
mod carried;
mod check;
mod esp;
mod fat_dots;
mod initramfs;
mod iso;
mod lock;
mod measure;
mod menu;
mod mirror;
mod modules;
mod needs;
pub(crate) mod newc;
mod overlay;
mod people;
mod privilege;
pub(crate) mod programs;
mod publish;
mod release;
mod root;
pub(crate) mod secret;
mod sizes;
mod squashfs;
mod unchanged;
mod verity;

use crate::interrupt::Registered;
use crate::manifest::{self, Manifest, Packages, Tools};
use crate::progress::Progress;
use anyhow::Context as _;
use args::{BuildArgs, Plan};
use base::Base;
use bench::Bench;
use brant_types::site::Site;
use carried::CarriedRoot;
pub(crate) use esp::{EspFile, EspShape, image_of as esp_image};
use iso::Medium;
pub(crate) use measure::file as measure_file;
pub(crate) use menu::{INITRAMFS, KERNEL, MENUS};
use privilege::Privilege;
use programs::Programs;
use publish::{Draft, Published};
pub(crate) use release::hex;
use root::{OpenRoot, SealedRoot};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use unchanged::Inputs;

/// Builds an image; the last line of standard output says where it is.
///
/// # Errors
/// Whatever went wrong; nothing half done is left behind.
pub(crate) fn run(args: &BuildArgs) -> anyhow::Result<()> {
    let plan = args.resolve()?;
    let progress = Progress::new();
    let privilege = Privilege::of_this_process();
    if privilege == Privilege::None {
        needs::check(&plan, args.install_host_tools, &progress)?;
        let never = privilege::begin_inside()?;
        match never {}
    }
    // Modes on the image must not depend on the habits of whoever builds it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    needs::check(&plan, args.install_host_tools, &progress)?;
    let draft = Draft::begin(&plan.output)?;
    needs::check_room(&plan)?;
    let bench = Bench::take(&plan.workspace, &progress)?;
    privilege.sentence().iter().for_each(|sentence| progress.say(sentence));
    let (secret, made) = secret::obtain(&plan.secret)?;
    if made {
        progress.say(&format!("made a new secret for the cluster `{}`", plan.cluster));
    }
    let site = Site { cluster: Some(plan.cluster.clone()), secret: Some(secret), ..Site::default() };
    let programs = programs(&plan, &progress)?;
    let base = base(&plan, &bench, &progress)?;
    let tools = Tools::ask(plan.node_bins.is_none());
    let inputs = Inputs::of(&plan, &base, (&programs, &tools), &site, &bench)?;
    if let Some(image) =
        inputs.made_already(&plan.output).filter(|_| !args.rebuild && !args.lock && !args.locked)
    {
        progress.say("nothing has changed since this image was made (`--rebuild` makes it anew)");
        return announce(&plan, &image, false, &progress);
    }
    let mut root = root(&plan, &base, &programs, &bench, &progress)?;
    let packages = Packages::read(&root.extra("packages.tsv"))?;
    if args.locked {
        lock::check(&plan.lock, packages.all())?;
    }

    let stage = progress.stage("packing the root");
    let squashfs =
        squashfs::make(&root, plan.profile.image.compression, bench.work("root.squashfs"), base.date)?;
    let carried = CarriedRoot::prepare(squashfs, plan.profile.image.root, &root)?;
    stage.done(&size_of(&carried.file)?);

    let stage = progress.stage("making the initramfs");
    let place = (bench.work("initrd.img"), base.date);
    let initramfs = initramfs::make(&plan.profile, &root, &programs, &carried, &site, place)?;
    stage.done(&format!("{}, {} modules", size_of(&initramfs.file)?, initramfs.modules));

    let kernel = iso::kernel(&root)?;
    let sizes = sizes::measure(&plan.profile, &kernel, &initramfs.file, &carried.file)?;
    let stage = progress.stage("writing the medium");
    let places = (bench.work("medium"), bench.work("esp.img"));
    let medium =
        Medium::lay_out(places, &plan.profile, &root, (initramfs, carried), &plan.workspace.menus())?;
    let mut manifest = manifest(&plan, &base, (packages, tools), &mut root)?;
    manifest.sizes = sizes;
    manifest::add_medium(&mut manifest, medium.tree())?;
    medium.write(&plan.profile, &root, base.date, draft.path())?;
    check::medium(draft.path(), plan.profile.image.partition_table, &medium.esp_bytes)?;
    sizes::check(&plan.profile, &sizes, length(draft.path())?)?;
    let published = draft.publish()?;
    manifest.write_beside(&published.path)?;
    inputs.remember(&published);
    if args.lock {
        lock::write(&plan.lock, &manifest.packages)?;
        progress.say(&format!("its packages are written down in `{}`", plan.lock.display()));
    }
    stage.done("");
    announce(&plan, &published, true, &progress)
}

/// Builds what `build` does when nothing is said, in a process of its own if this one is not root: what follows the
/// build needs no namespace.
///
/// # Errors
/// Likewise.
pub(crate) fn run_apart() -> anyhow::Result<()> {
    if Privilege::of_this_process() != Privilege::None {
        return run(&BuildArgs { install_host_tools: true, ..BuildArgs::default() });
    }
    needs::check(&BuildArgs::default().resolve()?, false, &Progress::new())?;
    let child = privilege::inside(["build"])?.own_group().stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let running = child.spawn()?;
    let _told = Registered::told(running.id());
    running.wait().context("building the image")
}

fn programs(plan: &Plan, progress: &Progress) -> anyhow::Result<Programs> {
    let Some(folder) = &plan.node_bins else {
        let stage = progress.stage("compiling the programs of a node");
        let programs = Programs::build(&plan.workspace, &stage)?;
        stage.done("");
        return Ok(programs);
    };
    Programs::from_folder(folder)
}

fn base(plan: &Plan, bench: &Bench, progress: &Progress) -> anyhow::Result<Base> {
    let stage = progress.stage("asking for a Debian mirror");
    let archive = match mirror::survey(&plan.profile.debian, &bench.work(""), &stage) {
        Ok(archive) => archive,
        Err(error) => {
            let base = base::cached(&plan.profile, None, bench).ok_or(error)?;
            stage.done("none answered; using the packages of an earlier build");
            return Ok(base);
        }
    };
    stage.done(archive.sources.first().map_or("none is known here; mmdebstrap chooses", |(uri, _)| uri));
    if let Some(base) = base::cached(&plan.profile, Some(&archive), bench) {
        return Ok(base);
    }
    let stage = progress.stage("installing Debian's packages");
    let base = base::make(&plan.profile, &archive, bench, &stage)?;
    stage.done("");
    Ok(base)
}

fn root(
    plan: &Plan,
    base: &Base,
    programs: &Programs,
    bench: &Bench,
    progress: &Progress,
) -> anyhow::Result<SealedRoot> {
    let stage = progress.stage("assembling the root");
    let root = OpenRoot::unpack(base, bench.work("root"), bench.work("extras"))?;
    let profile = &plan.profile;
    for overlay in &profile.system.overlays {
        root.lay_over(&plan.workspace.overlay().join(overlay))?;
    }
    root.add_users(&profile.users)?;
    root.install(programs, profile.system.init)?;
    root.set_locale(&profile.system.locale)?;
    root.set_keyboard(&profile.system.keyboard)?;
    for hook in &profile.system.hooks {
        root.run_hook(&plan.workspace.profiles().join(hook), profile)?;
    }
    let root = root.seal(profile, base.date)?;
    stage.done(&format!("image {}", root.facts().image_id));
    Ok(root)
}

fn manifest(
    plan: &Plan,
    base: &Base,
    (packages, tools): (Packages, Tools),
    root: &mut SealedRoot,
) -> anyhow::Result<Manifest> {
    let kernel = initramfs::kernel_version(&root.path("usr/lib/modules"))?;
    let files = root.take_files();
    let debian = (plan.profile.debian.suite.as_str(), base.date);
    Ok(manifest::begin(root.facts(), kernel, debian, packages, tools, files))
}

fn size_of(file: &Path) -> anyhow::Result<String> {
    Ok(megabytes(length(file)?))
}

fn length(file: &Path) -> anyhow::Result<u64> {
    let about = std::fs::metadata(file).with_context(|| format!("looking at `{}`", file.display()))?;
    Ok(about.len())
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// Makes what else is wanted, and says where everything is; the ISO comes last.
fn announce(plan: &Plan, image: &Published, new: bool, progress: &Progress) -> anyhow::Result<()> {
    let others = artefacts::make(plan, &image.path, new, progress)?;
    let size = megabytes(image.size);
    let mut out = std::io::stdout().lock();
    for other in others {
        writeln!(out, "{}", other.display()).context("saying where the image is")?;
    }
    writeln!(out, "{}  {size}  sha256 {}", image.path.display(), image.sha256)
        .context("saying where the image is")
}
