//! `cargo xtask bench build`: how long an image takes to be made, against its two slowest tools alone; how large it is;
//! how long a node takes from its kernel's start until it has joined; and the same of other builders ([`super::peers`]).
//!
//! Everything is measured in one run, on a host that does nothing else. The tree is left as it was.

use super::peers;
use crate::root;
use anyhow::{Context, Result};
use brant_sys::child::Tool;
use clap::Args;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

const BRANT_IMAGE: &str = "target/release/brant-image";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Packages that every image takes its boot loaders from.
const BOOT_LOADERS: [&str; 5] =
    ["isolinux", "pxelinux", "syslinux-common", "grub-efi-amd64-signed", "shim-signed"];
/// What is changed for a rebuild: a file that comes with every image, and a program of a node.
const OVERLAY: &str = "overlay/common/etc/brant-bench";
const PROGRAM: &str = "crates/cli/src/main.rs";

/// Arguments of `bench build`.
#[derive(Args)]
pub(crate) struct BuildBenchArgs {
    /// The profile.
    #[arg(long, default_value = "compute")]
    profile: String,
    /// Measurements of each rebuild; the table shows their medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Measures, and prints one table.
pub(crate) fn run(args: &BuildBenchArgs) -> Result<()> {
    let bench = Bench {
        profile: args.profile.clone(),
        iso: root().join(format!("target/brant-{}.iso", args.profile)),
    };
    // What is compiled, and the host's programs, do not count.
    let wanted = bench.wanted(bench.build(&[])?.mirror)?;
    let alone = tools_alone(&wanted)?;
    let cold = {
        let _aside = Aside::put(&root().join("target/cache"))?;
        bench.build(&["--rebuild"])?.seconds
    };
    let nothing = median(args.runs, || Ok(bench.build(&[])?.seconds))?;
    let overlay = median(args.runs, || bench.with_change(OVERLAY))?;
    let program = median(args.runs, || bench.with_change(PROGRAM))?;
    let (start, joined) = bench.boot()?;
    let peers = peers::ALL.iter().map(|peer| Ok((peer, peer.measure(&wanted)?)));
    let peers = peers.collect::<Result<Vec<_>>>()?;
    println!("seconds, `{}`", bench.profile);
    println!("  mmdebstrap and mksquashfs alone           {alone:8.1}");
    println!("  cold build                                {cold:8.1}");
    println!("  kernel to the first program               {start:8.1}");
    println!("  kernel to joined                          {joined:8.1}");
    println!("                                            measured   aim");
    println!("cold build ÷ the tools alone                {:8.2}   1.25 or less", cold / alone);
    println!("after a change in `overlay/`, s             {overlay:8.1}   20 or less");
    println!("after a change in a program, s              {program:8.1}   20 or less");
    println!("nothing changed, s                          {nothing:8.1}   2 or less");
    println!("kernel to joined ÷ to the first program     {:8.2}   1.5 or less", joined / start);
    for (part, bytes) in bench.sizes()? {
        println!("{part:42}  {:8.1}   MB", bytes / 1e6);
    }
    for (peer, figures) in peers {
        match figures {
            Some(peers::Figures { seconds, bytes }) => {
                println!("{:42}  {:8.1}   MB, in {seconds:.1} s", peer.makes, bytes / 1e6);
            }
            None => println!("{:42}         -   not installed", peer.makes),
        }
    }
    Ok(())
}

struct Bench {
    profile: String,
    iso: PathBuf,
}

struct Built {
    seconds: f64,
    /// As the build has said.
    mirror: String,
}

impl Bench {
    fn image(arguments: &[&str]) -> Tool {
        Tool::new(root().join(BRANT_IMAGE)).args(arguments).cwd(root())
    }

    fn build(&self, more: &[&str]) -> Result<Built> {
        let log = root().join("target/bench-build.log");
        let file = File::create(&log).context("making a log")?;
        let since = Instant::now();
        let arguments = [&["build", "--profile", &self.profile], more].concat();
        let building = Self::image(&arguments).stdout(std::process::Stdio::null()).stderr(file).spawn();
        building.and_then(brant_sys::child::Running::wait).context("building an image")?;
        let seconds = since.elapsed().as_secs_f64();
        let said = fs::read_to_string(&log).context("reading the log")?;
        let mirror = said.lines().find_map(|line| line.strip_prefix("asking for a Debian mirror: "));
        let mirror = mirror.and_then(|rest| rest.split(' ').next()).filter(|mirror| mirror.contains("://"));
        Ok(Built { seconds, mirror: mirror.context("no Debian mirror has answered")?.to_owned() })
    }

    /// What every builder is asked for.
    fn wanted(&self, mirror: String) -> Result<Wanted> {
        let said =
            Self::image(&["profile", "show", &self.profile]).output().context("reading the profile")?;
        let profile: toml::Table =
            toml::from_str(&String::from_utf8_lossy(&said)).context("understanding the profile")?;
        let debian = profile.get("debian").context("the profile has no `[debian]`")?;
        let words = |key: &str| -> Vec<String> {
            let list = debian.get(key).and_then(toml::Value::as_array).into_iter().flatten();
            list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let suite = debian.get("suite").and_then(toml::Value::as_str).context("the profile has no suite")?;
        let kernel = profile.get("kernel").and_then(|kernel| kernel.get("package")?.as_str());
        let level = profile.get("image").and_then(|image| image.get("compression")?.as_integer());
        Ok(Wanted {
            mirror,
            suite: suite.to_owned(),
            components: words("components"),
            packages: words("packages"),
            kernel: kernel.context("the profile has no kernel")?.to_owned(),
            level: level.context("the profile has no compression level")?,
        })
    }

    fn with_change(&self, file: &str) -> Result<f64> {
        let _changed = Change::make(&root().join(file))?;
        Ok(self.build(&[])?.seconds)
    }

    /// Seconds from the kernel's start until `init` speaks, and until the node has joined.
    fn boot(&self) -> Result<(f64, f64)> {
        let cluster = Cluster::create(&self.iso)?;
        let line = cluster.sh("dmesg | grep -m 1 ' init: '")?;
        let start = line.trim_start_matches(['[', ' ']).split(']').next().and_then(|time| time.parse().ok());
        let joined = cluster
            .sh("grep -h -m 1 -o '[0-9.]* s after the kernel started' /run/brant/log/node-agent.log")?;
        let joined = joined.split(' ').next().and_then(|time| time.parse().ok());
        start.zip(joined).context("finding when the node has joined")
    }

    fn sizes(&self) -> Result<Vec<(String, f64)>> {
        let said =
            Self::image(&["inspect", "--json"]).arg(&self.iso).output().context("inspecting the image")?;
        let all: Value = serde_json::from_slice(&said).context("understanding what `inspect` says")?;
        let parts = all["manifest"]["sizes"].as_object().context("the image does not say its sizes")?;
        let image = fs::metadata(&self.iso).context("measuring the image")?.len() as f64;
        let mut rows = vec![("the image".to_owned(), image)];
        rows.extend(parts.iter().filter_map(|(name, bytes)| Some((format!("  {name}"), bytes.as_f64()?))));
        Ok(rows)
    }
}

/// An image's contents, as far as they are Debian's.
pub(super) struct Wanted {
    pub(super) mirror: String,
    pub(super) suite: String,
    pub(super) components: Vec<String>,
    pub(super) packages: Vec<String>,
    pub(super) kernel: String,
    /// Of zstd.
    level: i64,
}

/// The same packages, kernel and boot loaders included, and the same compression, and nothing else.
fn tools_alone(wanted: &Wanted) -> Result<f64> {
    let Wanted { mirror, suite, .. } = wanted;
    let packages = wanted.packages.iter().chain([&wanted.kernel]).map(String::as_str).chain(BOOT_LOADERS);
    let packages: Vec<&str> = packages.collect();
    let components = wanted.components.join(" ");
    let folder = root().join("target/bench-alone");
    let _left_by_an_earlier_run = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).context("making a folder")?;
    let (tar, squashfs) = (folder.join("root.tar"), folder.join("root.squashfs"));
    let since = Instant::now();
    Tool::new("mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=tar", "--architectures=amd64"])
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        .args([format!("--include={}", packages.join(",")), suite.to_owned()])
        .arg(&tar)
        .arg(format!("deb [signed-by={KEYRING}] {mirror} {suite} {components}"))
        .run()
        .context("running mmdebstrap alone")?;
    Tool::new("mksquashfs")
        .arg("-")
        .arg(&squashfs)
        .args(["-tar", "-comp", "zstd", "-Xcompression-level", &wanted.level.to_string()])
        .args(["-b", "1M", "-no-progress", "-quiet"])
        .stdin(File::open(&tar).context("opening the root")?)
        .run()
        .context("running mksquashfs alone")?;
    let seconds = since.elapsed().as_secs_f64();
    fs::remove_dir_all(&folder).context("clearing up")?;
    Ok(seconds)
}

fn median(runs: usize, mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut all = (0..runs.max(1)).map(|_| measure()).collect::<Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}

/// A folder that is out of the way until this is dropped.
struct Aside {
    folder: PathBuf,
    aside: PathBuf,
}

impl Aside {
    fn put(folder: &Path) -> Result<Self> {
        let aside = folder.with_extension("aside");
        if aside.exists() {
            // A run that was killed has left it there; what is in its place is what was built meanwhile.
            fs::remove_dir_all(folder).context("removing the cache of a run that was killed")?;
            return Ok(Self { folder: folder.to_owned(), aside });
        }
        fs::rename(folder, &aside).context("putting the cache aside")?;
        Ok(Self { folder: folder.to_owned(), aside })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _not_made_again = fs::remove_dir_all(&self.folder);
        let restored = fs::rename(&self.aside, &self.folder);
        if let Err(error) = restored {
            eprintln!("putting the cache back from `{}`: {error}", self.aside.display());
        }
    }
}

/// A file with a line more, or a new one, until this is dropped.
struct Change {
    path: PathBuf,
    before: Option<String>,
}

impl Change {
    fn make(path: &Path) -> Result<Self> {
        let before = fs::read_to_string(path).ok();
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().context("reading the clock")?.as_nanos();
        let change = Self { path: path.to_owned(), before };
        // Of a comment the compiler would make the same program.
        let line = if path.extension().is_some_and(|extension| extension == "rs") {
            format!("#[used]\nstatic MEASURED: u128 = {since};\n")
        } else {
            format!("{since}\n")
        };
        let text = change.before.clone().unwrap_or_default() + &line;
        fs::write(path, text).with_context(|| format!("changing `{}`", path.display()))?;
        Ok(change)
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let restored = match &self.before {
            Some(text) => fs::write(&self.path, text),
            None => fs::remove_file(&self.path),
        };
        if let Err(error) = restored {
            eprintln!("restoring `{}`: {error}", self.path.display());
        }
    }
}

/// Two machines; they are gone when this is dropped.
struct Cluster;

impl Cluster {
    const NAME: &str = "bench-build";

    fn create(iso: &Path) -> Result<Self> {
        let creating = Bench::image(&["cluster", "create", Self::NAME, "--nodes", "2", "--iso"]).arg(iso);
        creating.run().context("booting the image")?;
        Ok(Self)
    }

    fn sh(&self, script: &str) -> Result<String> {
        let said =
            Bench::image(&["cluster", "exec", "--name", Self::NAME, "node1", "--", "sh", "-c", script]);
        let said = said.output().with_context(|| format!("running `{script}`"))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = Bench::image(&["cluster", "destroy", Self::NAME]).run() {
            eprintln!("destroying the machines: {error}");
        }
    }
}
