//! What lies on the stick: the files of the ISO, menus that say that it is a stick, and `brant.toml`.

use crate::build::{EspFile, INITRAMFS, KERNEL};
use crate::iso9660::Image;
use crate::site::{AREA, empty_area};
use anyhow::{Context as _, Result, ensure};
use brant_types::boot::{MEDIUM_SUMS, stick_marker};
use brant_types::site::{ARGUMENTS_FOLLOW, STICK, Site, Stick};

/// More than any file of an image of ours has.
const MOST: u64 = 2 << 30;
/// Only an ISO needs these.
const LEFT_OUT: [&str; 2] = ["/isolinux", "/boot/grub/grubnetx64.efi"];
/// Whether a file of the ISO, or its folder, is not on the stick.
pub(crate) fn is_left_out(path: &str) -> bool {
    LEFT_OUT
        .iter()
        .any(|out| path.strip_prefix(out).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Where syslinux looks for its menu and its modules.
const SYSLINUX: &str = "syslinux";
const README: &str = "\
This is a Brant stick: PCs that boot from it become nodes of a cluster. brant.toml has its settings; edit it with any
editor that writes plain text. Arguments of the kernel are in boot/grub/grub.cfg (UEFI) and syslinux/syslinux.cfg (BIOS).
";

/// The id that the marker on the medium has in its name.
///
/// # Errors
/// There is none.
pub(super) fn image_id(image: &Image<'_>) -> Result<String> {
    let names = image.names("/.disk")?;
    let id = names.iter().find_map(|name| name.strip_prefix("brant-")).map(str::to_owned);
    id.context("there is no image id on the ISO")
}

/// All files, each with its path.
///
/// # Errors
/// The ISO is damaged.
pub(super) fn gather(image: &Image<'_>, site: &Site) -> Result<Vec<EspFile>> {
    let settings = settings(site);
    Stick::parse(&settings).context("writing down the settings")?;
    let mut files = vec![
        (STICK.to_owned(), settings.into_bytes()),
        // No ISO has it: a copy of one on another disk is not the stick.
        (stick_marker(&image_id(image)?).trim_start_matches('/').to_owned(), Vec::new()),
        ("README.txt".to_owned(), README.replace('\n', "\r\n").into_bytes()),
    ];
    walk(image, "", &mut files)?;
    let menu = |files: &[EspFile], path: &str| {
        let found = files.iter().find(|(name, _)| name == path).map(|(_, text)| text.clone());
        let text = found.with_context(|| format!("there is no `{path}` on the ISO"))?;
        String::from_utf8(text).with_context(|| format!("reading `{path}`"))
    };
    let isolinux = String::from_utf8(image.read(image.find("/isolinux/isolinux.cfg")?, 1 << 20)?);
    let isolinux = for_a_stick(&isolinux.context("reading the boot menu")?)?;
    let grub = for_a_stick(&menu(&files, "boot/grub/grub.cfg")?)?;
    for (name, text) in &mut files {
        if name == "boot/grub/grub.cfg" {
            *text = grub.clone().into_bytes();
        }
        // What belongs to the site is in `brant.toml`, and only there.
        if *name == INITRAMFS.trim_start_matches('/') {
            let start = text.len().checked_sub(AREA).context("the ISO is damaged")?;
            text.splice(start.., empty_area()?);
        }
    }
    for module in ["menu.c32", "libutil.c32"] {
        let bytes = image.read(image.find(&format!("/isolinux/{module}"))?, 1 << 20)?;
        files.push((format!("{SYSLINUX}/{module}"), bytes));
    }
    files.push((format!("{SYSLINUX}/syslinux.cfg"), isolinux.into_bytes()));
    leave_sums_out(&mut files)?;
    ensure!(
        files.iter().any(|(name, _)| *name == KERNEL.trim_start_matches('/')),
        "there is no kernel on the ISO"
    );
    Ok(files)
}

/// The list of sums that the stick is checked with must not name what is only on the ISO.
fn leave_sums_out(files: &mut [EspFile]) -> Result<()> {
    let there: Vec<String> = files.iter().map(|(name, _)| format!("/{name}")).collect();
    let sums = files.iter_mut().find(|(name, _)| *name == MEDIUM_SUMS.trim_start_matches('/'));
    let (_, text) = sums.context("there is no list of sums on the ISO")?;
    let all = std::str::from_utf8(text).context("reading the list of sums")?;
    let is_there =
        |line: &&str| line.splitn(3, ' ').nth(2).is_some_and(|path| there.iter().any(|it| it == path));
    let kept: String = all.lines().filter(is_there).map(|line| format!("{line}\n")).collect();
    *text = kept.into_bytes();
    Ok(())
}

fn walk(image: &Image<'_>, folder: &str, files: &mut Vec<EspFile>) -> Result<()> {
    for name in image.names(if folder.is_empty() { "/" } else { folder })? {
        let path = format!("{folder}/{name}");
        if LEFT_OUT.contains(&path.as_str()) {
            continue;
        }
        crate::interrupt::check()?;
        let extent = image.find(&path)?;
        if extent.is_folder() {
            walk(image, &path, files)?;
        } else {
            files.push((path.trim_start_matches('/').to_owned(), image.read(extent, MOST)?));
        }
    }
    Ok(())
}

/// The menu's entries say that there are settings on the stick. Arguments that were added to the ISO's stay; the room for
/// them does not.
fn for_a_stick(menu: &str) -> Result<String> {
    ensure!(menu.contains(ARGUMENTS_FOLLOW), "the boot menu of the ISO is not ours");
    let lines = menu.lines().map(|line| match line.split_once(ARGUMENTS_FOLLOW) {
        Some((before, added)) => format!("{before}brant.stick {}", added.trim()).trim_end().to_owned(),
        None => line.to_owned(),
    });
    Ok(lines.map(|line| line + "\n").collect())
}

/// The settings as they are, with those that are not there as examples.
fn settings(site: &Site) -> String {
    let text = |text: &String| toml::Value::from(text.as_str()).to_string();
    let seeds: Vec<String> = site.seeds.iter().map(ToString::to_string).collect();
    let secret = site.secret.as_ref().map(|secret| secret.reveal());
    let mut lines =
        "# The settings of the PCs that boot from this stick. A line that begins with # says nothing.\n"
            .to_owned();
    let mut setting = |about: &str, key: &str, value: Option<String>, example: &str| {
        let line = value.map_or_else(|| format!("# {key} = {example}"), |value| format!("{key} = {value}"));
        lines += &format!("\n# {about}\n{line}\n");
    };
    let some = |value: &Option<String>| value.as_ref().map(text);
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(text).collect();
        (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
    };
    setting("The cluster that they join, for people.", "cluster", some(&site.cluster), "\"lab\"");
    setting(
        "What lets them in, the same on all sticks of a cluster. Whoever has it is root in the cluster.",
        "secret",
        some(&secret),
        "\"64 hexadecimal digits\"",
    );
    setting(
        "The name of the one PC that boots from this stick; else each draws one.",
        "name",
        None,
        "\"attic\"",
    );
    setting("Nodes to try besides those that are heard.", "seeds", list(&seeds), "[\"192.168.1.20\"]");
    setting(
        "Who may log in by ssh (public keys).",
        "ssh-keys",
        list(&site.ssh_keys),
        "[\"ssh-ed25519 AAAA... me\"]",
    );
    setting(
        "Arguments for Brant; those of the kernel are in boot/grub/grub.cfg and syslinux/syslinux.cfg.",
        "kernel-arguments",
        None,
        "[\"brant.lease=20\"]",
    );
    lines.replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::secret::ClusterSecret;

    #[test]
    fn settings_are_understood_by_the_node() {
        let site = Site {
            cluster: Some("lab".to_owned()),
            secret: Some(ClusterSecret::from_bytes([7; 32])),
            seeds: vec!["10.0.0.1".parse().unwrap()],
            ssh_keys: vec!["ssh-ed25519 AAAA corp\\jane \"work\"".to_owned()],
        };
        let mut read = Site::default();
        Stick::parse(&settings(&site)).unwrap().lay_over(&mut read);
        assert_eq!(read, site);
        assert_eq!(Stick::parse(&settings(&Site::default())).unwrap(), Stick::default());
    }

    #[test]
    fn entries_of_the_menu_look_for_the_settings() {
        let iso = include_str!("../build/golden/grub.cfg");
        let menu = for_a_stick(iso).unwrap();
        assert_eq!(menu.matches("brant.stick\n").count(), iso.matches("brant.site").count());
        let added = for_a_stick("linux /boot/vmlinuz quiet brant.site nomodeset x=1      \n").unwrap();
        assert_eq!(added, "linux /boot/vmlinuz quiet brant.stick nomodeset x=1\n");
        assert!(!menu.contains("brant.site") && for_a_stick("hello").is_err());
    }
}
