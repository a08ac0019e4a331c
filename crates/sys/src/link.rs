//! What the kernel says of network links, below `/sys/class/net`.

use std::fs;
use std::path::Path;

/// Whether a link is hardware, a VLAN or a bond, and no part of another one; not what programs make for themselves (bridges,
/// containers). It takes the link's folder.
pub fn stands_for_a_cable(folder: &Path) -> bool {
    let about = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
    let made = about.lines().any(|line| line == "DEVTYPE=vlan" || line == "DEVTYPE=bond");
    (made || folder.join("device").exists()) && !is_part(folder)
}

/// Whether a link is a part of a bond or a bridge.
pub fn is_part(folder: &Path) -> bool {
    folder.join("master").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_vlans_and_bonds_count_unless_they_are_parts() {
        let top = std::env::temp_dir().join(format!("brant-links-{}", std::process::id()));
        let link = |name: &str, about: &str, entries: &[&str]| {
            let folder = top.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("uevent"), about).unwrap();
            entries.iter().for_each(|entry| fs::write(folder.join(entry), "").unwrap());
            stands_for_a_cable(&folder)
        };
        assert!(link("eth0", "INTERFACE=eth0\n", &["device"]));
        assert!(link("eth0.5", "DEVTYPE=vlan\nINTERFACE=eth0.5\n", &[]));
        assert!(link("bond0", "DEVTYPE=bond\n", &[]));
        assert!(!link("eth1", "INTERFACE=eth1\n", &["device", "master"]));
        assert!(!link("br0", "DEVTYPE=bridge\n", &[]) && !link("brant0", "DEVTYPE=wireguard\n", &[]));
        fs::remove_dir_all(&top).unwrap();
    }
}
