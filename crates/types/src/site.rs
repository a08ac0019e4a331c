//! What a person may change on a finished image: `/brant/site.toml` in the initramfs, in room that is reserved for it.

use crate::secret::ClusterSecret;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where it is in the initramfs.
pub const SITE: &str = "/brant/site.toml";

/// A kernel argument without a meaning: behind it in each boot menu entry is room for arguments that are added later.
pub const ARGUMENTS_FOLLOW: &str = "brant.site";

/// What one site adds to an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Site {
    /// The cluster's name, for people.
    pub cluster: Option<String>,
    /// Its secret; an image without one cannot join by itself.
    pub secret: Option<ClusterSecret>,
    /// Addresses to try besides the beacon.
    pub seeds: Vec<IpAddr>,
    /// Public keys that may log in as the console's user.
    pub ssh_keys: Vec<String>,
}

/// The file on a stick that a person may edit on any computer, at its top.
pub const STICK: &str = "brant.toml";

/// What it may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stick {
    /// The cluster's name, for people.
    pub cluster: Option<String>,
    /// Its secret.
    pub secret: Option<ClusterSecret>,
    /// The name of the node that is started from it.
    pub name: Option<String>,
    /// Addresses to try besides the beacon.
    pub seeds: Vec<IpAddr>,
    /// Public keys that may log in as the console's user.
    pub ssh_keys: Vec<String>,
    /// Arguments for Brant, as on the kernel's command line; those of the kernel itself are in the boot menu.
    pub kernel_arguments: Vec<String>,
}

/// A file that is not understood; the message never repeats what stands there, for it may be the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct NoStick {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Stick {
    /// Reads the text.
    ///
    /// # Errors
    /// [`NoStick`].
    pub fn parse(text: &str) -> Result<Self, NoStick> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.get(..at).unwrap_or_default().matches('\n').count();
            let unknown = error.message().starts_with("unknown field");
            NoStick { line, why: if unknown { "there is no such setting" } else { "this is not understood" } }
        })
    }

    /// What it says goes above what the image carries; keys and seeds are added.
    pub fn lay_over(self, site: &mut Site) {
        let Self { cluster, secret, seeds, ssh_keys, .. } = self;
        site.cluster = cluster.or(site.cluster.take());
        site.secret = secret.or(site.secret.take());
        site.seeds.extend(seeds);
        site.ssh_keys.extend(ssh_keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_adds_nothing_and_an_unknown_key_is_refused() {
        assert_eq!(toml::from_str::<Site>("").unwrap(), Site::default());
        assert!(toml::from_str::<Site>("sekret = \"x\"").is_err());
    }

    #[test]
    fn a_stick_goes_above_the_image_and_a_mistake_is_found_by_its_line() {
        let stick = Stick::parse("name = \"attic\"\ncluster = \"lab\"\nseeds = [\"10.0.0.1\"]\n").unwrap();
        let mut site = Site { seeds: vec!["10.0.0.2".parse().unwrap()], ..Site::default() };
        stick.lay_over(&mut site);
        assert_eq!((site.cluster.as_deref(), site.seeds.len(), site.secret), (Some("lab"), 2, None));
        let mistake = Stick::parse("name = \"attic\"\nsecret = \"topsecret\"\n").unwrap_err();
        assert_eq!(mistake.to_string(), "line 2: this is not understood");
        assert_eq!(
            Stick::parse("\n\nseekrit = 1").unwrap_err().to_string(),
            "line 3: there is no such setting"
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let site = Site {
            cluster: Some("lab".to_owned()),
            secret: Some(ClusterSecret::from_bytes([7; 32])),
            seeds: vec!["fe80::1".parse().unwrap()],
            ssh_keys: vec!["ssh-ed25519 AAAA me".to_owned()],
        };
        let text = toml::to_string(&site).unwrap();
        assert!(text.contains("ssh-keys"));
        assert_eq!(toml::from_str::<Site>(&text).unwrap(), site);
        assert!(!format!("{site:?}").contains("0707"));
    }
}
