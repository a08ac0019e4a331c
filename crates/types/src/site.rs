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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_adds_nothing_and_an_unknown_key_is_refused() {
        assert_eq!(toml::from_str::<Site>("").unwrap(), Site::default());
        assert!(toml::from_str::<Site>("sekret = \"x\"").is_err());
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
