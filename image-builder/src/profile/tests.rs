//! What profiles may say, and what is said of those that say something else.

use super::load::find;
use super::model::Profile;
use crate::workspace::Workspace;
use std::fs;
use std::path::Path;

const GOOD: &str = r#"schema = 1
[debian]
suite = "trixie"
components = ["main"]
packages = ["criu"]
[kernel]
package = "linux-image-amd64"
arguments = ["console=tty0"]
early-modules = ["drivers/ata"]
[system]
init = "brant"
console-user = "brant"
locale = "C.UTF-8"
keyboard = "us"
[users.brant]
uid = 1000
[image]
root = "initramfs"
compression = 15
budget = 100
artefacts = ["iso"]
partition-table = "valid"
[boot]
timeout = 3
volume = "BRANT"
"#;

/// A source tree with these profiles.
fn tree(profiles: &[(&str, &str)]) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["profiles", "overlay/common", "image-builder"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::write(root.join("image-builder/Cargo.toml"), "").unwrap();
    for (name, source) in profiles {
        fs::write(root.join(format!("profiles/{name}.toml")), source).unwrap();
    }
    let workspace = Workspace::above(root).unwrap();
    (folder, workspace)
}

fn load(profiles: &[(&str, &str)], name: &str) -> Result<Profile, String> {
    let (folder, workspace) = tree(profiles);
    let root = folder.path().display().to_string();
    let read = find(&workspace, name).and_then(|merged| merged.check(&workspace));
    read.map_err(|error| format!("{error:#}").replace(&format!("{root}/profiles/"), ""))
}

/// The complaints about a profile, a line each.
fn complaints(source: &str) -> Vec<String> {
    let said = load(&[("it", source)], "it").unwrap_err();
    said.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_good_profile_is_read() {
    let profile = load(&[("it", GOOD)], "it").unwrap();
    assert_eq!(profile.debian.packages, ["criu"]);
    assert_eq!((profile.boot.timeout, profile.boot.volume.as_str()), (3, "BRANT"));
    assert_eq!((profile.users[0].shell.as_str(), profile.users[0].sudo), ("/bin/bash", false));
}

#[test]
fn the_profiles_of_this_tree_are_good() {
    let workspace = Workspace::above(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in super::known(&workspace.profiles()).unwrap() {
        super::load(&workspace, &name).unwrap();
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_word_that_was_meant() {
    let source = GOOD.replace("timeout", "tiemout");
    assert_eq!(
        complaints(&source),
        ["it.toml:24: `[boot]` has an unknown key `tiemout`; did you mean `timeout`?"]
    );
    let found = complaints(&format!("colour = 1\n{GOOD}"));
    assert!(
        found[0].starts_with("it.toml:1: the profile has an unknown key `colour`; known there: "),
        "{found:?}"
    );
}

#[test]
fn an_absent_key_is_named_with_the_line_of_its_table() {
    let source = GOOD.replace("timeout = 3\n", "");
    assert_eq!(complaints(&source), ["it.toml:23: `[boot]` lacks `timeout`"]);
}

#[test]
fn all_complaints_come_at_once() {
    let source = GOOD
        .replace("\"criu\"", "\"criu\", \"-rf\", 5")
        .replace("BRANT", "my stick")
        .replace("= 3", "= -3")
        .replace("\"brant\"\nconsole", "\"brnat\"\nconsole");
    assert_eq!(
        complaints(&source),
        [
            "it.toml:5: `-rf` is not the name of a package",
            "it.toml:5: `packages` wants a text, not this number",
            "it.toml:11: `init` cannot be `brnat`; did you mean `brant`?",
            "it.toml:24: `timeout` is a whole number from 1 to 3599",
            "it.toml:25: `my stick` is not a label; up to 11 of A-Z, 0-9 and _",
        ]
    );
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let found = complaints("schema = 1\n[debian\n");
    assert!(found[0].starts_with("it.toml:2: "), "{found:?}");
}

#[test]
fn values_that_would_reach_outside_are_refused() {
    let cases = [
        ("drivers/ata", "../../etc"),
        ("\"criu\"", "\"?priority(required)\""),
        ("console=tty0", "a'b"),
        ("console=tty0", "a b"),
        ("keyboard = \"us\"", "keyboard = \"de(no\\\"deadkeys)\""),
        ("artefacts = [\"iso\"]", "artefacts = [\"usb\"]"),
        ("artefacts = [\"iso\"]", "artefacts = [\"iso\", \"ubs\"]"),
        ("locale = \"C.UTF-8\"", "locale = \"C.UTF-8\"\noverlays = [\"../secrets\"]"),
        ("uid = 1000", "uid = 1000\nshell = \"/bin/sh\\nroot:\""),
        ("uid = 1000", "uid = 1000\nssh-keys = [\"command=x ssh-rsa AAAA\"]"),
    ];
    for (good, bad) in cases {
        assert_eq!(complaints(&GOOD.replace(good, bad)).len(), 1, "{bad}");
    }
}

#[test]
fn a_keyboard_is_a_layout_and_perhaps_a_variant() {
    let source = GOOD.replace("keyboard = \"us\"", "keyboard = \"de(nodeadkeys)\"");
    let keyboard = load(&[("it", &source)], "it").unwrap().system.keyboard;
    assert_eq!((keyboard.layout.as_str(), keyboard.variant.as_deref()), ("de", Some("nodeadkeys")));
    for wrong in ["", "de(", "(x)", "de()", "de nodeadkeys"] {
        let source = GOOD.replace("keyboard = \"us\"", &format!("keyboard = \"{wrong}\""));
        assert_eq!(complaints(&source).len(), 1, "{wrong}");
    }
}

#[test]
fn an_unknown_profile_is_answered_with_the_known_ones() {
    let said = load(&[("compute", GOOD)], "compuet").unwrap_err();
    assert_eq!(said, "there is no profile `compuet`");
}

#[test]
fn a_profile_builds_on_another_and_lists_append_and_remove() {
    let over =
        "extends = \"base\"\n[debian]\npackages = [\"gcc\", \"-criu\", \"nano\"]\n[boot]\ntimeout = 9\n";
    let base = GOOD.replace("\"criu\"", "\"criu\", \"nano\"");
    let profile = load(&[("base", base.as_str()), ("it", over)], "it").unwrap();
    assert_eq!(profile.debian.packages, ["nano", "gcc"]);
    assert_eq!((profile.boot.timeout, profile.boot.volume.as_str()), (9, "BRANT"));
    assert_eq!(profile.name, "it");
}

#[test]
fn a_complaint_names_the_file_that_it_is_about() {
    let base = GOOD.replace("BRANT", "my stick");
    let over = "extends = \"base\"\n[debian]\npackages = [\"-crui\"]\n";
    let said = load(&[("base", base.as_str()), ("it", over)], "it").unwrap_err();
    assert!(said.contains("base.toml:25: `my stick`"), "{said}");
    assert!(said.contains("it.toml:3: `-crui` takes nothing away"), "{said}");
    assert!(said.contains("did you mean `-criu`?"), "{said}");
}

#[test]
fn a_circle_of_profiles_is_refused() {
    let said = load(&[("a", "extends = \"b\"\n"), ("b", "extends = \"a\"\n")], "a").unwrap_err();
    assert!(said.contains("b.toml:1: `extends` names `a`, which builds on this profile itself"), "{said}");
    let said = load(&[("a", "extends = \"nowhere\"\n")], "a").unwrap_err();
    assert!(said.contains("there is no `nowhere.toml`"), "{said}");
}

#[test]
fn the_mirror_does_not_change_what_an_image_is() {
    let one = load(&[("it", GOOD)], "it").unwrap();
    let mirror = "packages = [\"criu\"]\nmirror = \"http://m.example/debian/\"";
    let other = load(&[("it", &GOOD.replace("packages = [\"criu\"]", mirror))], "it").unwrap();
    assert_eq!(other.debian.mirror.as_deref(), Some("http://m.example/debian"));
    assert_eq!(one.identity(), other.identity());
    let more = load(&[("it", &GOOD.replace("\"criu\"", "\"criu\", \"gcc\""))], "it").unwrap();
    assert_ne!(one.identity(), more.identity());
}
