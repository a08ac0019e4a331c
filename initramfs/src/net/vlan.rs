//! VLANs that a person has asked for: `vlan=NAME:LINK` on the kernel's command line, as dracut has it. Pure.
//!
//! The number is what the name ends in (`eth0.0005`, `vlan5`).

use super::links::is_name;
use brant_types::boot::Vlan;

/// The largest number (IEEE 802.1Q; 0 and 4095 mean something else).
const LARGEST: u16 = 4094;

/// The VLAN of this value; none where it is wrong.
pub(crate) fn parse(text: &str) -> Option<Vlan> {
    let (name, link) = text.split_once(':')?;
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let id = name[name.len() - digits..].parse().ok().filter(|id| (1..=LARGEST).contains(id))?;
    let good = is_name(name) && is_name(link) && name != link;
    good.then(|| Vlan { name: name.to_owned(), link: link.to_owned(), id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_what_the_name_ends_in() {
        let vlan = |name: &str, id| Some(Vlan { name: name.to_owned(), link: "eth0".to_owned(), id });
        assert_eq!(parse("eth0.0005:eth0"), vlan("eth0.0005", 5));
        assert_eq!(parse("vlan4094:eth0"), vlan("vlan4094", 4094));
        for wrong in [
            "vlan5",
            "vlan:eth0",
            "vlan0:eth0",
            "vlan4095:eth0",
            "a/b5:eth0",
            "v5:",
            "eth5:eth5",
            "way-too-long-a-name5:eth0",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
