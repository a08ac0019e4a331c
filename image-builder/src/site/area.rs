//! The room at the end of the initramfs for what belongs to one site: a cpio archive, filled up with zeros, which the
//! kernel passes over.

use crate::build::newc::Archive;
use anyhow::{Context as _, ensure};
use brant_types::site::{SITE, Site};
use cpio::newc;
use std::io::Read;

/// Its length in bytes.
pub(crate) const AREA: usize = 64 << 10;

/// How an archive of this kind begins.
const MAGIC: &[u8] = b"070701";
/// Equal sites give equal bytes, whenever they are written.
const DATE: u64 = 0;

/// The area's bytes.
///
/// # Errors
/// There is more than fits.
pub(crate) fn render(site: &Site) -> anyhow::Result<Vec<u8>> {
    let text = toml::to_string(site).context("writing down what belongs to this site")?;
    let mut archive = Archive::new(Vec::new(), DATE);
    let name = SITE.trim_start_matches('/');
    archive
        .file(name, 0o600, text.len() as u64, text.as_bytes())
        .context("packing what belongs to this site")?;
    let mut area = archive.finish().context("packing what belongs to this site")?;
    ensure!(
        area.len() <= AREA,
        "there is room for {AREA} bytes, and it takes {}; leave some ssh keys out",
        area.len()
    );
    area.resize(AREA, 0);
    Ok(area)
}

/// The area of an image that carries nothing of a site.
///
/// # Errors
/// None in practice.
pub(crate) fn empty() -> anyhow::Result<Vec<u8>> {
    render(&Site::default())
}

/// What an area holds.
///
/// # Errors
/// These bytes are no such area. The message never repeats them: they may hold the secret.
pub(crate) fn parse(area: &[u8]) -> anyhow::Result<Site> {
    ensure!(area.len() == AREA && area.starts_with(MAGIC), "there is no room for a site's own");
    let mut rest = area;
    loop {
        let mut reader = newc::Reader::new(rest).context("reading what belongs to this site")?;
        ensure!(!reader.entry().is_trailer(), "there is no room for a site's own");
        if reader.entry().name() == SITE.trim_start_matches('/') {
            let mut text = String::new();
            reader.read_to_string(&mut text).context("reading what belongs to this site")?;
            return toml::from_str(&text).ok().context("reading what belongs to this site: it is damaged");
        }
        rest = reader.finish().context("reading what belongs to this site")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::secret::ClusterSecret;

    #[test]
    fn what_was_written_is_read_and_has_always_the_same_length() {
        let site = Site {
            cluster: Some("lab".to_owned()),
            secret: Some(ClusterSecret::from_bytes([3; 32])),
            ..Site::default()
        };
        for site in [Site::default(), site] {
            let area = render(&site).unwrap();
            assert_eq!(area.len(), AREA);
            assert_eq!(parse(&area).unwrap(), site);
        }
    }

    #[test]
    fn other_bytes_are_no_area_and_are_not_repeated() {
        assert!(parse(&[0; AREA]).is_err());
        let mut area = render(&Site { cluster: Some("topsecret".to_owned()), ..Site::default() }).unwrap();
        let at = area.windows(7).position(|window| window == b"cluster").unwrap();
        area[at] = b'!';
        assert!(!format!("{:#}", parse(&area).unwrap_err()).contains("topsecret"));
    }

    #[test]
    fn too_much_is_refused() {
        let ssh_keys = vec!["ssh-rsa ".to_owned() + &"A".repeat(AREA)];
        assert!(render(&Site { ssh_keys, ..Site::default() }).is_err());
    }
}
