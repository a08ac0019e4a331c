//! A profile: what one sort of image is made of. Read and checked as a whole, with every complaint at once.

mod nearest;
mod reader;

use crate::failure::{Advice, Kind};
use anyhow::Context as _;
use nearest::nearest;
use reader::{At, Complaint, Complaints, Section};
use std::path::Path;
use toml::de::DeTable;

/// The profile format this program reads.
const SCHEMA: u32 = 1;

/// A checked profile; made only by [`load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The file's name without `.toml`.
    pub name: String,
    /// Where Debian comes from.
    pub debian: Debian,
    /// The kernel and its modules.
    pub kernel: Kernel,
    /// The boot menu and the medium.
    pub boot: Boot,
}

/// Where Debian comes from, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Debian {
    /// Wins over the host's own mirror.
    pub mirror: Option<String>,
    /// The mirror of the security suite; wins likewise.
    pub security_mirror: Option<String>,
    /// Beside the essential ones; what they depend on comes along, what they recommend does not.
    pub packages: Vec<String>,
}

/// The kernel and its modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// A metapackage that depends on the image of the day.
    pub package: String,
    /// What every menu entry passes to the kernel.
    pub command_line: String,
    /// Files or folders below `kernel/` that go into the initramfs, with what they need.
    pub early_modules: Vec<String>,
    /// Files or folders below `kernel/` that go nowhere.
    pub unwanted_modules: Vec<String>,
}

/// The boot menu and the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    /// Seconds until the first entry starts.
    pub timeout: u32,
    /// The medium's label.
    pub volume: String,
}

/// Finds, reads and checks the profile of this name.
///
/// # Errors
/// No such profile, not readable, or wrong; the error says every line that is.
pub(crate) fn load(folder: &Path, name: &str) -> anyhow::Result<Profile> {
    let known = known(folder)?;
    if !known.iter().any(|profile| profile == name) {
        let words: Vec<&str> = known.iter().map(String::as_str).collect();
        let advice = Advice::new(Kind::Input, format!("there is no profile `{name}`"))
            .hint(format!("known profiles: {}", known.join(", ")));
        let meant = nearest(name, &words).map(|word| format!("did you mean `--profile {word}`?"));
        return Err(meant.into_iter().fold(advice, Advice::hint).error());
    }
    let path = folder.join(format!("{name}.toml"));
    let source = std::fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    parse(name, &source).map_err(|complaints| {
        let lines: Vec<String> =
            complaints.iter().map(|it| format!("\n  {}:{}: {}", path.display(), it.line, it.text)).collect();
        Advice::new(Kind::Input, format!("the profile `{name}` is wrong:{}", lines.concat())).error()
    })
}

/// The names of all profiles, sorted.
fn known(folder: &Path) -> anyhow::Result<Vec<String>> {
    let listing = || format!("listing the profiles in `{}`", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a profile's text; every complaint is returned, in the order of lines.
fn parse(name: &str, source: &str) -> Result<Profile, Vec<Complaint>> {
    let mut complaints = Complaints::about(source);
    let parsed = DeTable::parse(source);
    let profile = match &parsed {
        Ok(table) => read(name, table.get_ref(), &mut complaints),
        Err(error) => {
            complaints.at(error.span().map_or(0, |span| span.start), error.message().replace('\n', ", "));
            None
        }
    };
    complaints.found.sort();
    match profile {
        Some(profile) if complaints.found.is_empty() => Ok(profile),
        _ => Err(complaints.found),
    }
}

fn read(name: &str, table: &DeTable<'_>, complaints: &mut Complaints<'_>) -> Option<Profile> {
    let mut top = Section::new("", 0, table);
    let schema = top.number("schema", complaints);
    if let Some((number, at)) = schema.filter(|(number, _)| *number != SCHEMA) {
        complaints.at(at, format!("schema {number} is not known; this program reads schema {SCHEMA}"));
    }
    let debian = top.section("debian", complaints).map(|section| read_debian(section, complaints));
    let kernel = top.section("kernel", complaints).map(|section| read_kernel(section, complaints));
    let boot = top.section("boot", complaints).map(|section| read_boot(section, complaints));
    top.finish(complaints);
    Some(Profile { name: name.to_owned(), debian: debian??, kernel: kernel??, boot: boot?? })
}

fn read_debian(mut section: Section<'_, '_>, complaints: &mut Complaints<'_>) -> Option<Debian> {
    let mirror = section.optional_text("mirror", complaints);
    let security_mirror = section.optional_text("security-mirror", complaints);
    let packages = section.texts("packages", complaints);
    section.finish(complaints);
    for (uri, at) in mirror.iter().chain(&security_mirror) {
        if !["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme))
            || uri.contains(char::is_whitespace)
        {
            complaints
                .at(*at, format!("`{uri}` is not a mirror; write `http://…`, `https://…` or `file:/…`"));
        }
    }
    check_all(packages.as_deref(), is_package_name, "is not the name of a package", complaints);
    let plain = |value: At<String>| value.0.trim_end_matches('/').to_owned();
    Some(Debian {
        mirror: mirror.map(plain),
        security_mirror: security_mirror.map(plain),
        packages: values(packages?),
    })
}

fn read_kernel(mut section: Section<'_, '_>, complaints: &mut Complaints<'_>) -> Option<Kernel> {
    let package = section.text("package", complaints);
    let command_line = section.text("command-line", complaints);
    let early = section.texts("early-modules", complaints);
    let unwanted = section.texts("unwanted-modules", complaints);
    section.finish(complaints);
    check_all(package.as_slice_of_one(), is_package_name, "is not the name of a package", complaints);
    check_all(command_line.as_slice_of_one(), is_one_line, "is more than one line", complaints);
    for list in [&early, &unwanted] {
        check_all(
            list.as_deref(),
            is_module_path,
            "is not a path below `kernel/` of the module tree",
            complaints,
        );
    }
    Some(Kernel {
        package: package?.0,
        command_line: command_line?.0,
        early_modules: values(early?),
        unwanted_modules: values(unwanted?),
    })
}

fn read_boot(mut section: Section<'_, '_>, complaints: &mut Complaints<'_>) -> Option<Boot> {
    let timeout = section.number("timeout", complaints);
    let volume = section.text("volume", complaints);
    section.finish(complaints);
    if let Some((seconds, at)) = timeout.filter(|(seconds, _)| *seconds > 3600) {
        complaints.at(at, format!("a menu that waits {seconds} seconds is no use; at most 3600"));
    }
    check_all(volume.as_slice_of_one(), is_volume, "is not a label; up to 11 of A-Z, 0-9 and _", complaints);
    Some(Boot { timeout: timeout?.0, volume: volume?.0 })
}

/// One optional value as a list of none or one, for [`check_all`].
trait AsSliceOfOne {
    fn as_slice_of_one(&self) -> Option<&[At<String>]>;
}

impl AsSliceOfOne for Option<At<String>> {
    fn as_slice_of_one(&self) -> Option<&[At<String>]> {
        self.as_ref().map(std::slice::from_ref)
    }
}

fn check_all(
    values: Option<&[At<String>]>,
    fits: fn(&str) -> bool,
    wrong: &str,
    complaints: &mut Complaints<'_>,
) {
    for (value, at) in values.unwrap_or_default().iter().filter(|(value, _)| !fits(value)) {
        complaints.at(*at, format!("`{value}` {wrong}"));
    }
}

fn values(values: Vec<At<String>>) -> Vec<String> {
    values.into_iter().map(|(value, _)| value).collect()
}

/// Debian policy 5.6.1, so that no name can be mistaken for an option or a pattern.
fn is_package_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits)
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

fn is_module_path(path: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    !path.is_empty()
        && path.chars().all(fits)
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn is_volume(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (1..=11).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"schema = 1
[debian]
packages = ["criu"]
[kernel]
package = "linux-image-amd64"
command-line = "console=tty0"
early-modules = ["drivers/ata"]
unwanted-modules = []
[boot]
timeout = 3
volume = "BRANT"
"#;

    fn complaints(source: &str) -> Vec<String> {
        parse("test", source).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_profile_is_read() {
        let profile = parse("test", GOOD).unwrap();
        assert_eq!(profile.debian.packages, ["criu"]);
        assert_eq!((profile.boot.timeout, profile.boot.volume.as_str()), (3, "BRANT"));
    }

    #[test]
    fn the_profiles_of_this_tree_are_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
        for name in known(&folder).unwrap() {
            load(&folder, &name).unwrap();
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_word_that_was_meant() {
        let source = GOOD.replace("timeout", "tiemout");
        assert_eq!(
            complaints(&source),
            ["line 10: `[boot]` has an unknown key `tiemout`; did you mean `timeout`?"]
        );
        let source = format!("colour = 1\n{GOOD}");
        let expected =
            "line 1: the file has an unknown key `colour`; known there: schema, debian, kernel, boot";
        assert_eq!(complaints(&source), [expected]);
    }

    #[test]
    fn an_absent_key_is_named_with_the_line_of_its_table() {
        let source = GOOD.replace("timeout = 3\n", "");
        assert_eq!(complaints(&source), ["line 9: `[boot]` lacks `timeout`"]);
    }

    #[test]
    fn all_complaints_come_at_once() {
        let source = GOOD
            .replace("\"criu\"", "\"criu\", \"-rf\", 5")
            .replace("BRANT", "my stick")
            .replace("= 3", "= -3");
        assert_eq!(
            complaints(&source),
            [
                "line 3: `packages` wants a text, not this integer",
                "line 10: `timeout` is a whole number, 0 or more",
                "line 11: `my stick` is not a label; up to 11 of A-Z, 0-9 and _",
            ]
        );
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        let found = complaints("schema = 1\n[debian\n");
        assert!(found[0].starts_with("line 2: "), "{found:?}");
    }

    #[test]
    fn values_that_would_reach_outside_are_refused() {
        for (good, bad) in
            [("drivers/ata", "../../etc"), ("\"criu\"", "\"?priority(required)\""), ("console=tty0", "a\\nb")]
        {
            assert_eq!(complaints(&GOOD.replace(good, bad)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn an_unknown_profile_is_answered_with_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("compute.toml"), GOOD).unwrap();
        let error = load(folder.path(), "compuet").unwrap_err();
        assert_eq!(error.to_string(), "there is no profile `compuet`");
    }
}
