//! `brant-image customise`: changes what belongs to one site on a finished ISO, in place and without root.

use super::own::Own;
use crate::build::secret::{self, SecretSource};
use crate::failure::{Advice, Kind};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use brant_types::site::Site;
use clap::Args;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Change what belongs to one site on a finished ISO, in seconds: the secret, seeds, ssh keys, kernel arguments.
///
/// What is given replaces what was there; what is not given stays.
#[derive(Debug, Args)]
pub(crate) struct CustomiseArgs {
    /// The ISO.
    #[arg(value_name = "ISO")]
    iso: PathBuf,
    /// Write a changed copy instead of changing it in place.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The cluster: its name, and its secret from target/secrets/NAME, which is made when it is new.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Take the secret from this file.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Take the secret out: such a node asks to be admitted.
    #[arg(long, conflicts_with_all = ["cluster", "secret_file"])]
    no_secret: bool,
    /// Nodes to try besides those that are heard.
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    seed: Option<Vec<IpAddr>>,
    /// A public key that may log in, or a file with some, such as ~/.ssh/id_ed25519.pub.
    #[arg(long, value_name = "KEY|FILE")]
    ssh_key: Option<Vec<String>>,
    /// A kernel argument for every entry of the boot menu.
    #[arg(long, value_name = "ARG")]
    karg: Option<Vec<String>>,
    /// Take everything out first.
    #[arg(long)]
    reset: bool,
    /// Print what is there, and change nothing else.
    #[arg(long)]
    show: bool,
}

impl CustomiseArgs {
    fn changes_something(&self) -> bool {
        self.reset
            || self.no_secret
            || self.cluster.is_some()
            || self.secret_file.is_some()
            || self.seed.is_some()
            || self.ssh_key.is_some()
            || self.karg.is_some()
    }
}

/// Does it.
///
/// # Errors
/// Not one of our images, or something that does not fit; the image is as it was.
pub(crate) fn run(args: &CustomiseArgs) -> Result<()> {
    if !args.changes_something() {
        let file = File::open(&args.iso).with_context(|| format!("opening `{}`", args.iso.display()))?;
        let own = Own::find(&file).with_context(|| format!("looking at `{}`", args.iso.display()))?;
        if !args.show {
            let what = "nothing was said that is to be changed; this is what is there:";
            eprintln!("{what}");
        }
        return own.show();
    }
    let own = match &args.output {
        None => in_place(&args.iso, args).with_context(|| format!("changing `{}`", args.iso.display()))?,
        Some(output) => {
            copied(&args.iso, output, args).with_context(|| format!("making `{}`", output.display()))?
        }
    };
    if args.show { own.show() } else { Ok(()) }
}

/// Makes a copy of an image without its secret.
///
/// # Errors
/// As for `customise`; then there is no copy.
pub(crate) fn without_secret(iso: &Path, copy: &Path) -> Result<()> {
    let args = CustomiseArgs { no_secret: true, ..unchanged(iso, copy) };
    copied(iso, copy, &args).map(drop).with_context(|| format!("making `{}`", copy.display()))
}

/// A copy with a kernel argument more, for tests.
pub(crate) fn with_argument(iso: &Path, copy: &Path, argument: &str) -> Result<()> {
    let args = CustomiseArgs { karg: Some(vec![argument.to_owned()]), ..unchanged(iso, copy) };
    copied(iso, copy, &args).map(drop).with_context(|| format!("making `{}`", copy.display()))
}

fn unchanged(iso: &Path, copy: &Path) -> CustomiseArgs {
    CustomiseArgs {
        iso: iso.to_owned(),
        output: Some(copy.to_owned()),
        cluster: None,
        secret_file: None,
        no_secret: false,
        seed: None,
        ssh_key: None,
        karg: None,
        reset: false,
        show: false,
    }
}

fn in_place(path: &Path, args: &CustomiseArgs) -> Result<Own> {
    let file = File::options().read(true).write(true).open(path).context("opening it")?;
    let mut own = Own::find(&file)?;
    apply(&mut own, args)?;
    if own.site.secret.is_some() {
        // Before the secret is in it.
        file.set_permissions(fs::Permissions::from_mode(0o600)).context("making it private")?;
    }
    own.write(&file)?;
    Ok(own)
}

/// Nothing is written before it is known that it can be, and the output gets its name when it is whole.
fn copied(from: &Path, output: &Path, args: &CustomiseArgs) -> Result<Own> {
    let mut source = File::open(from).with_context(|| format!("opening `{}`", from.display()))?;
    let mut own = Own::find(&source)?;
    apply(&mut own, args)?;
    let name = output.file_name().context("it is not the name of a file")?.to_string_lossy().into_owned();
    let half = output.with_file_name(format!(".{name}.part"));
    let _left_by_an_earlier_run = fs::remove_file(&half);
    let written = (|| {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&half)
            .context("opening it")?;
        std::io::copy(&mut source, &mut file).context("copying")?;
        own.write(&file)?;
        fs::rename(&half, output).context("giving it its name")
    })();
    if written.is_err() {
        let _nothing_half_done = fs::remove_file(&half);
    }
    written.map(|()| own)
}

fn apply(own: &mut Own, args: &CustomiseArgs) -> Result<()> {
    if args.reset {
        own.site = Site::default();
        own.add_arguments(&[])?;
    }
    if args.no_secret {
        own.take_secret_out();
    }
    if let Some(name) = &args.cluster {
        crate::build::args::check_cluster(name)?;
        own.site.cluster = Some(name.clone());
    }
    let source = match (&args.secret_file, &args.cluster) {
        (Some(file), _) => Some(SecretSource::Given(file.clone())),
        (None, Some(name)) => Some(SecretSource::Kept(Workspace::find()?.secrets().join(name))),
        (None, None) => None,
    };
    if let Some(source) = source {
        own.site.secret = Some(secret::obtain(&source)?.0);
    }
    if let Some(seeds) = &args.seed {
        own.site.seeds.clone_from(seeds);
    }
    if let Some(keys) = &args.ssh_key {
        own.site.ssh_keys = keys.iter().map(|key| ssh_keys(key)).collect::<Result<Vec<_>>>()?.concat();
    }
    match &args.karg {
        Some(arguments) => own.add_arguments(arguments),
        None => Ok(()),
    }
}

/// One key, or those of a file.
fn ssh_keys(given: &str) -> Result<Vec<String>> {
    let text = if crate::profile::is_ssh_key(given) {
        given.to_owned()
    } else {
        fs::read_to_string(given).with_context(|| format!("reading the public key `{given}`"))?
    };
    let lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    match lines.iter().find(|line| !crate::profile::is_ssh_key(line)) {
        None if !lines.is_empty() => Ok(lines),
        _ => Err(Advice::new(Kind::Input, format!("`{given}` holds no public key"))
            .hint("give the file that ends with .pub, not the private key")
            .error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_refused_without_being_repeated() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdef\n").unwrap();
        let error = ssh_keys(&file.path().display().to_string()).unwrap_err();
        assert!(!format!("{error:#}").contains("abcdef"));
    }
}
