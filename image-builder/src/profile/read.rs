//! From the merged tables to a checked profile.

use super::model::{
    Artefact, Boot, Debian, Firmware, Image, Init, Kernel, Keyboard, PartitionTable, Profile, RootPlace,
    System, User,
};
use super::nearest::nearest;
use super::section::{At, Section, complain};
use super::tree::{Complaints, Place, Table};
use std::path::{Path, PathBuf};

/// The profile format this program reads.
pub(crate) const SCHEMA: u32 = 1;

/// What a profile refers to, looked up while it is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The folder that overlays are named below.
    pub overlays: &'a Path,
    /// The folder that hooks are named below.
    pub hooks: &'a Path,
}

/// Reads everything, so that every complaint is made; the profile counts only when there is none.
pub(crate) fn read(
    name: &str,
    (table, place): (&Table, Place),
    around: Surroundings<'_>,
    complaints: &mut Complaints,
) -> Option<Profile> {
    let mut top = Section::new("", place, table);
    top.number("schema", SCHEMA..=SCHEMA, complaints);
    // Followed already.
    let _base = top.optional_text("extends", complaints);
    let about = top.optional_text("about", complaints);
    let debian = top.section("debian", complaints).map(|section| read_debian(section, complaints));
    let kernel = top.section("kernel", complaints).map(|section| read_kernel(section, complaints));
    let firmware = top.optional_section("firmware", complaints);
    let firmware = firmware.map(|section| read_firmware(section, complaints));
    let users = read_users(&mut top, complaints);
    let system =
        top.section("system", complaints).map(|section| read_system(section, &users, around, complaints));
    let image = top.section("image", complaints).map(|section| read_image(section, complaints));
    let boot = top.section("boot", complaints).map(|section| read_boot(section, complaints));
    top.finish(complaints);
    Some(Profile {
        name: name.to_owned(),
        about: about.map(|(text, _)| text).unwrap_or_default(),
        debian: debian??,
        kernel: kernel??,
        firmware: firmware.unwrap_or(Firmware { packages: Vec::new(), files: Vec::new() }),
        system: system??,
        users,
        image: image??,
        boot: boot??,
    })
}

fn read_debian(mut section: Section<'_>, complaints: &mut Complaints) -> Option<Debian> {
    let suite = section.text("suite", complaints);
    let components = section.texts("components", complaints);
    let mirror = section.optional_text("mirror", complaints);
    let security_mirror = section.optional_text("security-mirror", complaints);
    let packages = section.texts("packages", complaints);
    let documentation = section.flag("documentation", complaints);
    if components.is_empty() {
        complain(complaints, section.place(), "`components` names at least `main`");
    }
    section.finish(complaints);
    for (uri, at) in mirror.iter().chain(&security_mirror) {
        if !["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme))
            || uri.contains(char::is_whitespace)
        {
            let text = format!("`{uri}` is not a mirror; write `http://…`, `https://…` or `file:/…`");
            complain(complaints, at, text);
        }
    }
    check(suite.iter(), is_name, "is not the name of a release", complaints);
    check(&components, is_name, "is not the name of a component", complaints);
    check(&packages, is_package_name, "is not the name of a package", complaints);
    let plain = |(uri, _): At<String>| uri.trim_end_matches('/').to_owned();
    Some(Debian {
        suite: suite?.0,
        components: values(components),
        mirror: mirror.map(plain),
        security_mirror: security_mirror.map(plain),
        packages: values(packages),
        documentation,
    })
}

fn read_kernel(mut section: Section<'_>, complaints: &mut Complaints) -> Option<Kernel> {
    let package = section.text("package", complaints);
    let arguments = section.texts("arguments", complaints);
    let early = section.texts("early-modules", complaints);
    let unwanted = section.texts("unwanted-modules", complaints);
    section.finish(complaints);
    check(package.iter(), is_package_name, "is not the name of a package", complaints);
    check(&arguments, is_one_word, "is not one word without quotes", complaints);
    for list in [&early, &unwanted] {
        check(list, is_relative_path, "is not a path below `kernel/` of the module tree", complaints);
    }
    Some(Kernel {
        package: package?.0,
        arguments: values(arguments),
        early_modules: values(early),
        unwanted_modules: values(unwanted),
    })
}

fn read_firmware(mut section: Section<'_>, complaints: &mut Complaints) -> Firmware {
    let packages = section.texts("packages", complaints);
    let files = section.texts("files", complaints);
    section.finish(complaints);
    check(&packages, is_package_name, "is not the name of a package", complaints);
    check(&files, is_relative_path, "is not a path below `/usr/lib/firmware`", complaints);
    Firmware { packages: values(packages), files: values(files) }
}

fn read_system(
    mut section: Section<'_>,
    users: &[User],
    around: Surroundings<'_>,
    complaints: &mut Complaints,
) -> Option<System> {
    let init = section.word("init", &[("brant", Init::Brant), ("systemd", Init::Systemd)], complaints);
    let console_user = section.text("console-user", complaints);
    let locale = section.text("locale", complaints);
    let keyboard = section.text("keyboard", complaints);
    let overlays = section.texts("overlays", complaints);
    let hooks = section.texts("hooks", complaints);
    let place = section.place().clone();
    section.finish(complaints);
    if let Some((name, at)) = &console_user {
        let known: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
        if !known.contains(&name.as_str()) {
            let meant =
                nearest(name, &known).map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
            complain(complaints, at, format!("there is no `[users.{name}]` to log in on consoles{meant}"));
        }
    }
    check(locale.iter(), is_locale, "is not a locale such as `C.UTF-8` or `de_DE.UTF-8`", complaints);
    let layout = keyboard.as_ref().and_then(|(text, _)| read_keyboard(text));
    if let (Some((text, at)), None) = (&keyboard, &layout) {
        let text = format!("`{text}` is not a keyboard such as `us`, `de` or `de(nodeadkeys)`");
        complain(complaints, at, text);
    }
    for (what, list, folder) in [("folder", &overlays, around.overlays), ("script", &hooks, around.hooks)] {
        check(list, is_relative_path, "is not a path without `.` and `..`", complaints);
        for (name, at) in list.iter().filter(|(name, _)| is_relative_path(name)) {
            let path = folder.join(name);
            if if what == "folder" { !path.is_dir() } else { !path.is_file() } {
                complain(complaints, at, format!("there is no {what} `{}`", path.display()));
            }
        }
    }
    if init == Some(Init::Systemd) && !overlays.iter().any(|(name, _)| name == "systemd") {
        complain(
            complaints,
            &place,
            "`init = \"systemd\"` needs the overlay `systemd`, which has Brant's services",
        );
    }
    Some(System {
        init: init?,
        console_user: console_user?.0,
        locale: locale?.0,
        keyboard: layout?,
        overlays: values(overlays),
        hooks: values(hooks).into_iter().map(PathBuf::from).collect(),
    })
}

/// A layout, and a variant of it in brackets.
fn read_keyboard(text: &str) -> Option<Keyboard> {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let (layout, variant) = match text.strip_suffix(')') {
        Some(text) => text.split_once('(').map(|(layout, variant)| (layout, Some(variant)))?,
        None => (text, None),
    };
    let fits = is_word(layout) && variant.is_none_or(is_word);
    fits.then(|| Keyboard { layout: layout.to_owned(), variant: variant.map(str::to_owned) })
}

fn read_users(top: &mut Section<'_>, complaints: &mut Complaints) -> Vec<User> {
    let mut users: Vec<(User, Place)> = Vec::new();
    for (name, mut section) in top.sections("users", complaints) {
        let place = section.place().clone();
        let uid = section.number("uid", 1000..=59_999, complaints);
        let comment = section.optional_text("comment", complaints);
        let shell = section.optional_text("shell", complaints);
        let groups = section.texts("groups", complaints);
        let sudo = section.flag("sudo", complaints);
        let keys = section.texts("ssh-keys", complaints);
        section.finish(complaints);
        if !is_name(&name) || name.len() > 32 {
            complain(complaints, &place, format!("`{name}` is not the name of a user"));
        }
        check(&groups, is_name, "is not the name of a group", complaints);
        check(comment.iter(), is_account_field, "has a character that account files cannot hold", complaints);
        check(
            shell.iter(),
            |shell| shell.starts_with('/') && is_account_field(shell),
            "is not a path",
            complaints,
        );
        check(&keys, is_ssh_key, "is not a public key as in `~/.ssh/id_ed25519.pub`", complaints);
        let Some((uid, at)) = uid else { continue };
        if let Some((other, _)) = users.iter().find(|(user, _)| user.uid == uid) {
            complain(complaints, &at, format!("`{name}` and `{}` have the same number", other.name));
        }
        let user = User {
            comment: comment.map_or_else(|| name.clone(), |(text, _)| text),
            shell: shell.map_or_else(|| "/bin/bash".to_owned(), |(text, _)| text),
            name,
            uid,
            groups: values(groups),
            sudo,
            ssh_keys: values(keys),
        };
        users.push((user, place));
    }
    users.sort_by_key(|(user, _)| user.uid);
    users.into_iter().map(|(user, _)| user).collect()
}

fn read_image(mut section: Section<'_>, complaints: &mut Complaints) -> Option<Image> {
    let places = [("initramfs", RootPlace::Initramfs), ("medium", RootPlace::Medium)];
    let root = section.word("root", &places, complaints);
    let compression = section.number("compression", 1..=22, complaints);
    let budget = section.number("budget", 1..=100_000, complaints);
    let known = [("iso", Artefact::Iso), ("usb", Artefact::Usb), ("netboot", Artefact::Netboot)];
    let artefacts = section.words("artefacts", &known, complaints);
    let tables = [("valid", PartitionTable::Valid), ("overlapping", PartitionTable::Overlapping)];
    let partition_table = section.word("partition-table", &tables, complaints);
    if !artefacts.contains(&Artefact::Iso) {
        complain(complaints, section.place(), "`artefacts` has to list `iso`: the others are made from it");
    }
    section.finish(complaints);
    Some(Image {
        root: root?,
        compression: compression?.0,
        budget: budget?.0,
        artefacts,
        partition_table: partition_table?,
    })
}

fn read_boot(mut section: Section<'_>, complaints: &mut Complaints) -> Option<Boot> {
    let timeout = section.number("timeout", 1..=3599, complaints);
    let volume = section.text("volume", complaints);
    let memory_test = section.flag("memory-test", complaints);
    let console_only = section.flag("console-only", complaints);
    section.finish(complaints);
    check(volume.iter(), is_volume, "is not a label; up to 11 of A-Z, 0-9 and _", complaints);
    Some(Boot { timeout: timeout?.0, volume: volume?.0, memory_test, console_only })
}

fn check<'a>(
    values: impl IntoIterator<Item = &'a At<String>>,
    fits: fn(&str) -> bool,
    wrong: &str,
    complaints: &mut Complaints,
) {
    for (value, at) in values.into_iter().filter(|(value, _)| !fits(value)) {
        complain(complaints, at, format!("`{}` {wrong}", value.escape_debug()));
    }
}

fn values(values: Vec<At<String>>) -> Vec<String> {
    values.into_iter().map(|(value, _)| value).collect()
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

/// Debian policy 5.6.1, so that no name can be mistaken for an option or a pattern.
fn is_package_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits)
}

/// The menus quote nothing, and their languages give meaning to some signs.
pub(crate) fn is_one_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"'\"\\`${}#;&|<>".contains(c))
}

fn is_relative_path(path: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    path.chars().all(fits) && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn is_locale(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c))
}

fn is_account_field(text: &str) -> bool {
    !text.contains([':', '\n', '\r'])
}

/// Whether this is a line of `authorized_keys` without options.
pub(crate) fn is_ssh_key(line: &str) -> bool {
    const KINDS: [&str; 4] = ["ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-", "sk-"];
    KINDS.iter().any(|kind| line.starts_with(kind))
        && line.split(' ').count() >= 2
        && !line.contains(['\n', '\r'])
}

fn is_volume(label: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (1..=11).contains(&label.len()) && label.chars().all(fits)
}
