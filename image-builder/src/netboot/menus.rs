//! The boot menus for the network: those of the ISO, without what makes sense on a medium only.

use anyhow::{Result, ensure};
use brant_types::site::ARGUMENTS_FOLLOW;
use std::fmt::Write as _;
use std::net::SocketAddrV4;

/// Entries of the ISO's menu that are about its medium.
const ABOUT_THE_MEDIUM: [&str; 3] = ["toram", "verify", "memtest"];

/// One entry.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    label: String,
    title: String,
    arguments: String,
}

/// Both menus, for pxelinux and for GRUB, made from the ISO's for isolinux. Kernel and initramfs come from this web server;
/// without one they come from where the menu came from.
///
/// # Errors
/// That is no menu of ours.
pub(super) fn render(isolinux: &str, web: Option<SocketAddrV4>) -> Result<(String, String)> {
    let entries = entries(isolinux);
    ensure!(!entries.is_empty(), "there is no entry in the ISO's boot menu");
    let (head, _) = isolinux.split_once("\nLABEL ").unwrap_or_default();
    let mut pxelinux = format!("{head}\n");
    let seconds = value(head, "TIMEOUT").and_then(|tenths| tenths.parse::<u32>().ok()).unwrap_or(30) / 10;
    let mut grub = format!("# Rendered by brant-image.\nset default=0\nset timeout={seconds}\n");
    let (from, root, server) = match web {
        None => (String::new(), String::new(), "${net_default_server}".to_owned()),
        Some(web) if web.port() == 80 => {
            (format!("http://{}/", web.ip()), format!("(http,{})", web.ip()), web.ip().to_string())
        }
        Some(web) => (format!("http://{web}/"), format!("(http,{web})"), web.to_string()),
    };
    for Entry { label, title, arguments } in &entries {
        // pxelinux tells the address of the server by itself, as `ip=CLIENT:SERVER:…`.
        let told = web.map(|_| format!(" brant.server={server}")).unwrap_or_default();
        let _infallible = write!(
            pxelinux,
            "\nLABEL {label}\n    MENU LABEL {title}\n    KERNEL {from}vmlinuz\n    INITRD {from}initrd.img\n    \
             SYSAPPEND 1\n    APPEND {arguments}{told}\n"
        );
        let _infallible = write!(
            grub,
            "\nmenuentry '{title}' --id {label} {{\n    linux {root}/vmlinuz {arguments} brant.server={server}\n    \
             initrd {root}/initrd.img\n}}\n"
        );
    }
    Ok((pxelinux, grub))
}

fn entries(isolinux: &str) -> Vec<Entry> {
    let blocks = isolinux.split("\nLABEL ").skip(1);
    blocks
        .filter_map(|block| {
            let label = block.lines().next()?.trim().to_owned();
            let title = value(block, "MENU LABEL")?.to_owned();
            let arguments: Vec<&str> = value(block, "APPEND")?
                .split_ascii_whitespace()
                .filter(|argument| *argument != ARGUMENTS_FOLLOW)
                .collect();
            Some(Entry { label, title, arguments: arguments.join(" ") })
        })
        .filter(|entry| !ABOUT_THE_MEDIUM.contains(&entry.label.as_str()))
        .collect()
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(' ')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISO: &str = include_str!("../build/golden/isolinux.cfg");

    #[test]
    fn entries_about_the_medium_are_left_out_and_the_first_stays_the_first() {
        let labels: Vec<String> = entries(ISO).into_iter().map(|entry| entry.label).collect();
        assert_eq!(labels, ["brant", "debug", "safe", "rescue"]);
    }

    #[test]
    fn menus_name_files_beside_them_or_on_a_web_server() {
        let (pxelinux, grub) = render(ISO, None).unwrap();
        assert!(pxelinux.starts_with("# Rendered") && pxelinux.contains("\nDEFAULT brant\n"));
        assert!(
            pxelinux.contains(
                "    KERNEL vmlinuz\n    INITRD initrd.img\n    SYSAPPEND 1\n    APPEND console=tty0"
            )
        );
        assert!(grub.contains("timeout=3\n") && grub.contains("    linux /vmlinuz console=tty0"));
        assert!(grub.contains(" brant.server=${net_default_server}\n    initrd /initrd.img\n"));
        let (pxelinux, grub) = render(ISO, Some("10.1.2.3:80".parse().unwrap())).unwrap();
        assert!(pxelinux.contains("    KERNEL http://10.1.2.3/vmlinuz\n"));
        assert!(
            grub.contains("    linux (http,10.1.2.3)/vmlinuz") && grub.contains("brant.server=10.1.2.3\n")
        );
        let (pxelinux, _) = render(ISO, Some("10.1.2.3:8080".parse().unwrap())).unwrap();
        assert!(
            pxelinux.contains("http://10.1.2.3:8080/initrd.img")
                && pxelinux.contains("brant.server=10.1.2.3:8080")
        );
    }

    #[test]
    fn a_text_that_is_no_menu_is_refused() {
        assert!(render("hello", None).is_err());
    }
}
