//! What belongs to a site in an image that is a file: found, shown, and written back.

use super::area::{self, AREA};
use super::arguments;
use crate::build::{INITRAMFS, MENUS};
use crate::failure::{Advice, Kind};
use crate::iso9660::{Extent, Image};
use anyhow::{Context as _, Result};
use brant_types::site::Site;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

const MOST_MENU: u64 = 1 << 20;

/// What of an image belongs to a site, and where it is.
#[derive(Debug)]
pub(crate) struct Own {
    pub(super) site: Site,
    area_at: u64,
    menus: Vec<(Extent, String)>,
}

impl Own {
    /// Looks for it.
    ///
    /// # Errors
    /// It is not an image of ours.
    pub(crate) fn find(file: &File) -> Result<Self> {
        let not_ours = || {
            Advice::new(Kind::Input, "there is no room in it for what belongs to a site")
                .hint("it must be an ISO that this version of brant-image has built")
        };
        let image = Image::open(file)?;
        let initramfs = image.find(INITRAMFS).with_context(not_ours)?;
        let area_at = (initramfs.start + initramfs.length).checked_sub(AREA as u64).with_context(not_ours)?;
        let mut bytes = vec![0; AREA];
        file.read_exact_at(&mut bytes, area_at).context("reading it")?;
        let site = area::parse(&bytes).with_context(not_ours)?;
        let mut menus = Vec::new();
        for name in MENUS {
            let extent = image.find(name).with_context(not_ours)?;
            let text = String::from_utf8(image.read(extent, MOST_MENU)?).context("reading a boot menu")?;
            arguments::read(&text).with_context(not_ours)?;
            menus.push((extent, text));
        }
        Ok(Self { site, area_at, menus })
    }

    /// Sets the kernel arguments that are added.
    ///
    /// # Errors
    /// They are no words, or too long; nothing has changed.
    pub(crate) fn add_arguments(&mut self, added: &[String]) -> Result<()> {
        if let Some(bad) = added.iter().find(|argument| !crate::profile::is_kernel_argument(argument)) {
            let what = format!("`{bad}` is not one word without quotes");
            return Err(Advice::new(Kind::Input, what).hint("give `--karg` once for each argument").error());
        }
        for (_, menu) in &mut self.menus {
            *menu = arguments::write(menu, added).with_context(|| {
                let what =
                    format!("the kernel arguments are longer than {} characters", arguments::ARGUMENTS_ROOM);
                Advice::new(Kind::Input, what)
            })?;
        }
        Ok(())
    }

    /// The kernel arguments that were added.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.menus.first().and_then(|(_, menu)| arguments::read(menu)).unwrap_or_default()
    }

    /// Whoever has the image cannot join by it any more.
    pub(crate) fn take_secret_out(&mut self) {
        self.site.secret = None;
    }

    /// What is in it.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// All of it was made before the first byte is written, and has the length that it had.
    pub(crate) fn write(&self, file: &File) -> Result<()> {
        let area = area::render(&self.site)?;
        for (extent, menu) in &self.menus {
            file.write_all_at(menu.as_bytes(), extent.start).context("writing a boot menu")?;
        }
        file.write_all_at(&area, self.area_at).context("writing what belongs to the site")?;
        file.sync_all().context("writing it to disk")
    }

    /// Prints it, without the secret.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn show(&self) -> Result<()> {
        show(&self.site, self.arguments())
    }
}

/// Prints what belongs to a site, for people; never the secret.
///
/// # Errors
/// Nobody reads it.
pub(crate) fn show(site: &Site, arguments: Vec<String>) -> Result<()> {
    let Site { cluster, secret, seeds, ssh_keys } = site;
    let or_none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let rows = [
        ("cluster", cluster.clone().unwrap_or_else(|| "none".to_owned())),
        ("secret", if secret.is_some() { "yes" } else { "none" }.to_owned()),
        ("seeds", or_none(seeds.iter().map(ToString::to_string).collect())),
        ("ssh keys", or_none(ssh_keys.iter().map(|key| comment_of(key)).collect())),
        ("kernel arguments", or_none(arguments)),
    ];
    let mut out = std::io::stdout().lock();
    for (name, value) in rows {
        writeln!(out, "{name:16}  {value}").context("printing what belongs to the site")?;
    }
    Ok(())
}

/// A key's comment, which says to people whose it is; else its beginning.
fn comment_of(key: &str) -> String {
    let words: Vec<&str> = key.splitn(3, ' ').collect();
    words.get(2).map_or_else(|| key.chars().take(40).collect(), |comment| (*comment).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_by_their_comments() {
        assert_eq!(comment_of("ssh-ed25519 AAAA ann at home"), "ann at home");
        assert_eq!(comment_of("ssh-ed25519 AAAA"), "ssh-ed25519 AAAA");
    }
}
