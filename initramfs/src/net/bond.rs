//! Bonds: several links as one (`bond=NAME:LINK,LINK…[:OPTION=VALUE,…]` on the kernel's command line, as dracut has it).
//!
//! Without a mode it is `active-backup`, which any switch bears; without `miimon`, carriers are looked at each 100 ms.

use super::links;
use super::netlink::{Netlink, Request};
use anyhow::{Context, Result, ensure};
use brant_sys::child::Tool;
use brant_types::boot::Bond;
use std::fs;
use std::path::Path;

const FOLDER: &str = "/sys/class/net";
/// Most links of one bond.
const MOST: usize = 16;

/// The bond of this value; none where it is wrong.
pub(crate) fn parse(text: &str) -> Option<Bond> {
    let mut parts = text.split(':');
    let (name, links) = (parts.next()?, parts.next()?);
    let options = parts.next().unwrap_or_default();
    let links: Vec<String> = links.split(',').map(str::to_owned).collect();
    let mut chosen =
        vec![("mode".to_owned(), "active-backup".to_owned()), ("miimon".to_owned(), "100".to_owned())];
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=')?;
        let is_word = |word: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
            !word.is_empty() && word.bytes().all(plain) && !word.starts_with('.')
        };
        if !is_word(key) || !is_word(value) {
            return None;
        }
        chosen.retain(|(known, _)| known != key);
        // The mode comes first: others mean something in some modes only.
        let at = if key == "mode" { 0 } else { chosen.len() };
        chosen.insert(at, (key.to_owned(), value.to_owned()));
    }
    let good = parts.next().is_none()
        && links.len() <= MOST
        && links::is_name(name)
        && links.iter().all(|link| links::is_name(link) && link != name);
    good.then(|| Bond { name: name.to_owned(), links, options: chosen })
}

/// Makes the bond if it is not there, and takes in those of its links that are there and in none.
///
/// # Errors
/// The first that the kernel has refused; all else is done.
pub(super) fn make(bond: &Bond, netlink: &mut Netlink) -> Result<()> {
    let folder = Path::new(FOLDER).join(&bond.name);
    let (mut outcome, mut changed) = (Ok(()), !folder.exists());
    if changed {
        // Without its own first bond, which nobody has asked for.
        Tool::new("modprobe").args(["bonding", "max_bonds=0"]).run().context("loading what bonds need")?;
        write(&Path::new(FOLDER).join("bonding_masters"), &format!("+{}", bond.name))?;
        for (key, value) in &bond.options {
            outcome = outcome.and(write(&folder.join("bonding").join(key), value));
        }
    }
    ensure!(folder.join("bonding").exists(), "there is a link of that name, which is no bond");
    for link in &bond.links {
        let Some(index) = links::index_of(link).filter(|_| !links::is_part(link)) else { continue };
        changed = true;
        let taken_in = take_in(&folder, link, index, netlink);
        if taken_in.is_err() {
            // Better by itself than not at all.
            let _said_already = netlink.ask(&Request::LinkUp { index });
        }
        outcome = outcome.and(taken_in);
    }
    if !changed {
        return outcome;
    }
    // Not before, for it would ask for addresses on the first link that comes; and before VLANs are made on it.
    let index = links::index_of(&bond.name).context("finding the bond")?;
    outcome.and(netlink.ask(&Request::LinkUp { index }).context("switching it on"))
}

fn take_in(folder: &Path, link: &str, index: u32, netlink: &mut Netlink) -> Result<()> {
    netlink.ask(&Request::LinkDown { index }).with_context(|| format!("switching `{link}` off"))?;
    // What it was used for before, as for fetching the root.
    Tool::new("ip")
        .args(["-4", "address", "flush", "dev", link])
        .run()
        .context("taking its addresses away")?;
    write(&folder.join("bonding/slaves"), &format!("+{link}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing `{text}` to `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_read_as_dracut_documents_it() {
        let bond = parse("bond0:eth0,eth1:miimon=50,mode=802.3ad,lacp_rate=fast").unwrap();
        assert_eq!((bond.name.as_str(), bond.links.join(" ").as_str()), ("bond0", "eth0 eth1"));
        let options: Vec<String> = bond.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(options, ["mode=802.3ad", "miimon=50", "lacp_rate=fast"]);
        let usual = parse("bond0:eth0").unwrap();
        assert_eq!(usual.options[0], ("mode".to_owned(), "active-backup".to_owned()));
        for wrong in [
            "bond0",
            "bond0:",
            "bond0:a/b",
            "bond0:bond0",
            "bond0:eth0:mode",
            "bond0:eth0:../mode=1",
            "bond0:eth0:mode=1:2:3",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
