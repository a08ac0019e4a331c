//! Who this node is: its WireGuard key, from which its id is drawn, and its incarnation, the count of its boots.
//!
//! Both lie where changes to the root do: on a stick that keeps them they outlive the boot, else they are gone with the
//! power. Peers take what a node says in a later incarnation for newer than all before, whatever its clock says.

use anyhow::{Context, Result};
use brant_types::boot::CHANGES;
use brant_types::node::{WireGuardKey, base64};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use x25519_dalek::{PublicKey, StaticSecret};

/// Changes with each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// This node's key pair, and how often it has booted.
pub(super) struct Identity {
    /// The private half, base64, as `wg` takes it.
    pub(super) private: String,
    /// The public half.
    pub(super) public: WireGuardKey,
    /// Rises with each boot.
    pub(super) incarnation: u32,
}

/// As it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    private: String,
    incarnation: u32,
    /// The boot that this incarnation belongs to.
    boot: String,
}

impl Identity {
    /// Takes what is kept, or makes it.
    pub(super) fn obtain() -> Result<Self> {
        let boot = fs::read_to_string(BOOT_ID).with_context(|| format!("reading `{BOOT_ID}`"))?;
        Self::at(&Path::new(CHANGES).join("identity.toml"), boot.trim())
    }

    fn at(path: &Path, boot: &str) -> Result<Self> {
        let kept = match fs::read_to_string(path) {
            // The parser's message could quote the key.
            Ok(text) => toml::from_str::<Kept>(&text).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading `{}`", path.display())),
        };
        // What a power cut has damaged is of no use to anybody: this is a new node then.
        let known =
            kept.as_ref().and_then(|kept| Some((kept, WireGuardKey::from_base64(&kept.private).ok()?)));
        let (secret, incarnation) = match known {
            Some((kept, secret)) if kept.boot == boot => (secret.0, kept.incarnation),
            Some((kept, secret)) => (secret.0, kept.incarnation.saturating_add(1)),
            None => (random()?, 0),
        };
        let secret = StaticSecret::from(secret);
        let private = base64(secret.as_bytes());
        let now = Kept { private: private.clone(), incarnation, boot: boot.to_owned() };
        if kept.as_ref() != Some(&now) {
            let text = toml::to_string(&now).context("writing this node's key down")?;
            keep(path, &text).with_context(|| format!("keeping this node's key in `{}`", path.display()))?;
        }
        Ok(Self { private, public: WireGuardKey(PublicKey::from(&secret).to_bytes()), incarnation })
    }
}

fn random() -> Result<[u8; 32]> {
    let mut key = [0; 32];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())
        .context("asking for random bytes")?;
    Ok(key)
}

/// Replaces the file in one step; only root can read it.
pub(super) fn keep(path: &Path, text: &str) -> Result<()> {
    let next: PathBuf = path.with_extension("next");
    let _left_by_a_power_cut = fs::remove_file(&next);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_outlives_boots_and_each_boot_is_another_incarnation() {
        let folder = std::env::temp_dir().join(format!("brant-identity-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("identity.toml");
        let first = Identity::at(&path, "a").unwrap();
        let again = Identity::at(&path, "a").unwrap();
        let later = Identity::at(&path, "b").unwrap();
        assert_eq!((first.public, first.incarnation), (again.public, again.incarnation));
        assert_eq!((first.public, first.incarnation + 1), (later.public, later.incarnation));
        fs::write(&path, "private = \"half").unwrap();
        let new = Identity::at(&path, "b").unwrap();
        assert_ne!(new.public, first.public);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_public_key_is_wireguards() {
        // RFC 7748, section 6.1.
        let private = [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
            0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
        ];
        let public = PublicKey::from(&StaticSecret::from(private));
        assert_eq!(public.to_bytes()[..4], [0x85, 0x20, 0xf0, 0x09]);
    }
}
