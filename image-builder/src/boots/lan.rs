//! A network for machines that boot from it, or that have a DHCP server: this host joins their segment by a tap device, and
//! serves there.

use super::ways::Network;
use crate::serve::{Interface, Options, Served};
use anyhow::{Context, Result, ensure};
use brant_qemu::segment::Segment;
use brant_sys::child::{Running, Tool};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How the names of the tap devices begin.
const TAPS: &str = "brant";
/// This host's address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 77);
const PREFIX: u8 = 24;
const RANGE: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 88, 0, 100), Ipv4Addr::new(10, 88, 0, 120));
/// What the network's own DHCP server calls the machine, where it changes.
pub(super) const NAME: &str = "cellar";
/// The address of the network's own DHCP server, where it has one.
const OTHER: &str = "10.88.0.1/24";
/// What it says where it changes: the addresses of before are not good any more, more time is to be asked for soon, and what
/// else there is to be found on the LAN.
const CHANGING: &[&str] = &[
    "--dhcp-authoritative",
    "--dhcp-option=option:T1,20",
    "--dhcp-option=option:dns-server,10.88.0.1",
    "--dhcp-option=option:ntp-server,10.88.0.5",
    "--dhcp-option=option:domain-search,lab.example,x.example",
    "--dhcp-host=52:54:*:*:*:*,cellar",
];
/// How long a tap may take to be joined.
const JOINING: Duration = Duration::from_secs(20);

/// It is taken down when this is dropped.
pub(super) struct Lan {
    served: Option<Served>,
    other: Option<Dhcp>,
    _joint: Option<Joint>,
}

impl Lan {
    /// Joins the segment and serves the image there.
    pub(super) fn begin(kind: Network, segment: Segment, iso: &Path, cache: &Path) -> Result<Self> {
        remove_leftovers();
        let first = format!("{},{}", RANGE.0, RANGE.1);
        if kind == Network::Dhcp {
            let mut dhcp = Dhcp::join(segment, cache, CHANGING)?;
            dhcp.start(&first)?;
            return Ok(Self { served: None, other: Some(dhcp), _joint: None });
        }
        let joint = Joint::make(segment, format!("{TAPS}{:x}", segment.port))?;
        ip(&["addr", "add", &format!("{ADDRESS}/{PREFIX}"), "dev", &joint.tap])?;
        let mut other =
            (kind == Network::PxeBesideDhcp).then(|| Dhcp::join(segment, cache, &[])).transpose()?;
        if let Some(other) = &mut other {
            other.start(&first)?;
        }
        let interface = Interface { name: joint.tap.clone(), address: ADDRESS, prefix: PREFIX };
        let options =
            Options { range: (kind != Network::PxeBesideDhcp).then_some(RANGE), port: 80, with_secret: true };
        let served = Served::begin(iso, cache, &interface, options).context("serving the image")?;
        Ok(Self { served: Some(served), other, _joint: Some(joint) })
    }

    /// Ends the network's own DHCP server.
    pub(super) fn stop_dhcp(&mut self) {
        self.other.as_mut().into_iter().for_each(Dhcp::stop);
    }

    /// Starts it again, with these addresses (`FIRST,LAST`).
    pub(super) fn start_dhcp(&mut self, range: &str) -> Result<()> {
        self.other.as_mut().context("finding the DHCP server")?.start(range)
    }

    /// How often it has heard or said this (`DHCPACK`).
    pub(super) fn count(&self, word: &str) -> Result<usize> {
        let log = &self.other.as_ref().context("finding the DHCP server")?.log;
        let said = std::fs::read_to_string(log).context("reading what the DHCP server has said")?;
        // `DHCPACK(tap) ADDRESS`; the list of options says the word, too.
        Ok(said.matches(&format!("{word}(")).count())
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // Before the network that it is on.
        self.served = None;
    }
}

/// A tap device on the segment.
struct Joint {
    tap: String,
    hub: Option<Running>,
}

impl Joint {
    fn make(segment: Segment, tap: String) -> Result<Self> {
        ip(&["tuntap", "add", "dev", &tap, "mode", "tap"])?;
        let mut joint = Self { tap, hub: None };
        ip(&["link", "set", &joint.tap, "up"])?;
        // It warns that there is no machine in it.
        let hub = segment.with_tap(&joint.tap).stderr(Stdio::null()).spawn();
        joint.hub = Some(hub.context("joining the machines' network")?);
        joint.wait_for_carrier()?;
        Ok(joint)
    }

    fn wait_for_carrier(&self) -> Result<()> {
        let since = Instant::now();
        let carrier = format!("/sys/class/net/{}/carrier", self.tap);
        while std::fs::read_to_string(&carrier).is_ok_and(|text| text.trim() != "1") {
            crate::interrupt::check()?;
            ensure!(since.elapsed() < JOINING, "this host has not joined the machines' network");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.take() {
            hub.kill();
        }
        if let Err(error) = ip(&["link", "delete", &self.tap]) {
            tracing::debug!("removing a network device: {error:#}");
        }
    }
}

/// The DHCP server that a network has already, as a machine of its own: in a network namespace.
struct Dhcp {
    server: Option<Running>,
    space: String,
    log: PathBuf,
    options: &'static [&'static str],
    _joint: Joint,
}

impl Dhcp {
    fn join(segment: Segment, cache: &Path, options: &'static [&'static str]) -> Result<Self> {
        let tap = format!("{TAPS}{:x}d", segment.port);
        let joint = Joint::make(segment, tap.clone())?;
        ip(&["netns", "add", &tap])?;
        let log = cache.join(format!("{tap}.log"));
        std::fs::File::create(&log).context("making a file for what the DHCP server says")?;
        let dhcp = Self { server: None, space: tap.clone(), log, options, _joint: joint };
        ip(&["link", "set", &tap, "netns", &tap])?;
        ip(&["-n", &tap, "addr", "add", OTHER, "dev", &tap])?;
        ip(&["-n", &tap, "link", "set", &tap, "up"])?;
        Ok(dhcp)
    }

    /// Starts the server.
    fn start(&mut self, range: &str) -> Result<()> {
        let tap = &self.space;
        let server = Tool::new("ip").args(["netns", "exec", tap, "dnsmasq", "--keep-in-foreground"]);
        let server = server
            .args(["--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--pid-file", "--user=root"])
            .args([format!("--interface={tap}"), format!("--dhcp-range={range},1h")])
            .args(self.options)
            .arg(format!("--log-facility={}", self.log.display()))
            .stderr(Stdio::null());
        self.server = Some(server.spawn().context("starting another DHCP server")?);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        self.stop();
        let _gone_anyway = std::fs::remove_file(&self.log);
        // The device goes with it.
        if let Err(error) = ip(&["netns", "delete", &self.space]) {
            tracing::warn!("removing a network namespace: {error:#}");
        }
    }
}

/// How long a network namespace may be without a program.
const IDLE: Duration = Duration::from_secs(600);

/// One that was killed has left its device, whose address would now be in the way, and the server's namespace.
fn remove_leftovers() {
    let spaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for space in spaces {
        let name = space.file_name().to_string_lossy().into_owned();
        let age =
            space.metadata().and_then(|about| about.modified()).ok().and_then(|made| made.elapsed().ok());
        let number = name.strip_prefix(TAPS).and_then(|rest| rest.strip_suffix('d')).unwrap_or_default();
        let is_ours = !number.is_empty() && number.chars().all(|c| c.is_ascii_hexdigit());
        let programs = || Tool::new("ip").args(["netns", "pids", &name]).output();
        if is_ours && age > Some(IDLE) && programs().is_ok_and(|pids| pids.is_empty()) {
            let _somebody_else_was_faster = ip(&["netns", "delete", &name]);
        }
    }
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_ours = |name: &String| {
        let rest = name.strip_prefix(TAPS).unwrap_or_default();
        let is_tap = Path::new(&format!("/sys/class/net/{name}/tun_flags")).exists();
        is_tap && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit())
    };
    for name in names.filter(is_ours) {
        let carrier = std::fs::read_to_string(format!("/sys/class/net/{name}/carrier")).unwrap_or_default();
        if carrier.trim() == "0" {
            let _somebody_else_was_faster = ip(&["link", "delete", &name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    // Not one that a signal stops: it is needed for clearing up.
    Tool::new("ip").args(arguments).run().with_context(|| format!("running `ip {}`", arguments.join(" ")))
}
