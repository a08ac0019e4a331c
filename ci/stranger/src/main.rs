//! `stranger`: what somebody without a cluster's secret can try on its LAN.
//!
//! ```text
//! stranger scan ADDRESS INDEX           every TCP port: which are open
//! stranger flood SECONDS ADDRESS INDEX  replays, damaged and made-up datagrams to a node and to everybody, as fast as can be
//! stranger version SECRET INDEX         with the secret in this file: a word in the next version of the protocol
//! ```
//!
//! ADDRESS is link-local, on the link with this INDEX. What came of it is one JSON object on standard output.

mod flood;
mod scan;
mod version;

use anyhow::{Context, Result, bail};
use std::net::Ipv6Addr;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = match words[..] {
        ["scan", address, index] => scan::run(parse(address)?, number(index)?)?,
        ["flood", seconds, address, index] => {
            flood::run(number(seconds)?.into(), parse(address)?, number(index)?)?
        }
        ["version", secret, index] => version::run(secret, number(index)?)?,
        _ => bail!("stranger scan ADDRESS INDEX | flood SECONDS ADDRESS INDEX | version SECRET INDEX"),
    };
    println!("{found}");
    Ok(())
}

fn parse(text: &str) -> Result<Ipv6Addr> {
    text.parse().with_context(|| format!("reading the address `{text}`"))
}

fn number(text: &str) -> Result<u32> {
    text.parse().with_context(|| format!("reading the number `{text}`"))
}
