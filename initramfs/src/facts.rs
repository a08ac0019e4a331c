//! The hand-over file, written whole or not at all.

use anyhow::{Context, Result};
use brant_types::boot::{BOOT_FACTS, BootFacts, IMAGE_FACTS, ImageFacts};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces the file; a reader sees the old text or the new one.
pub(crate) fn write(path: &Path, facts: &BootFacts) -> Result<()> {
    let doing = || format!("writing `{}`", path.display());
    let text = toml::to_string(facts).with_context(doing)?;
    let fresh = path.with_extension("toml.new");
    let _none_left_over = fs::remove_file(&fresh);
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&fresh).with_context(doing)?;
    file.write_all(text.as_bytes()).with_context(doing)?;
    fs::rename(&fresh, path).with_context(doing)
}

/// Reads the hand-over file of this boot.
pub(crate) fn read() -> Result<BootFacts> {
    let text = fs::read_to_string(BOOT_FACTS).with_context(|| format!("reading `{BOOT_FACTS}`"))?;
    // The parser's message could quote the secret.
    toml::from_str(&text).ok().with_context(|| format!("reading `{BOOT_FACTS}`: it is damaged"))
}

/// What the builder says of this image.
pub(crate) fn image() -> Result<ImageFacts> {
    let text = fs::read_to_string(IMAGE_FACTS).with_context(|| format!("reading `{IMAGE_FACTS}`"))?;
    toml::from_str(&text).with_context(|| format!("reading `{IMAGE_FACTS}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use brant_types::secret::ClusterSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_root_can_read_it_and_a_second_write_replaces_it() {
        let path = std::env::temp_dir().join(format!("brant-facts-{}.toml", std::process::id()));
        let mut facts = BootFacts {
            host_name: "quiet-heron".to_owned(),
            is_named: false,
            machine_id: "0".repeat(32),
            image_id: "abc".to_owned(),
            cluster: "test".to_owned(),
            secret: Some(ClusterSecret::from_bytes([1; 32])),
            root_mounted_at: 4.5,
            seeds: Vec::new(),
            time_servers: Vec::new(),
            addresses: Vec::new(),
            vlans: Vec::new(),
            bonds: Vec::new(),
            migration_lease: None,
            changes: brant_types::boot::Changes::default(),
            links: Vec::new(),
        };
        write(&path, &facts).unwrap();
        facts.root_mounted_at = 5.5;
        write(&path, &facts).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(toml::from_str::<BootFacts>(&fs::read_to_string(&path).unwrap()).unwrap(), facts);
        fs::remove_file(&path).unwrap();
    }
}
