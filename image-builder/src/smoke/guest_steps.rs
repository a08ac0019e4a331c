//! The steps about what a guest can do to its host: what it may use, and what it can reach.

use super::Run;
use crate::cluster::node::{Node, ROOT, USER, runs_on};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// How long a move, and what a guest tries then, may take on a PC of today.
const TRYING: Duration = Duration::from_secs(60);
/// What a guest finds in `/dev`, and nothing else.
const DEVICES: &str = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero";
/// A port of the host's loopback, and the name of one of its abstract sockets.
const PORT: u16 = 4711;
const ABSTRACT: &str = "brant-host-only";

/// Listens on the host's own loopback and on an abstract socket, as any daemon there might.
const HOST: &str = r#"
use Socket;
socket(my $t, PF_INET, SOCK_STREAM, 0) or die; setsockopt($t, SOL_SOCKET, SO_REUSEADDR, 1);
bind($t, pack_sockaddr_in(PORT, INADDR_ANY)) or die; listen($t, 5) or die;
socket(my $u, PF_UNIX, SOCK_STREAM, 0) or die;
bind($u, pack_sockaddr_un("\0ABSTRACT")) or die; listen($u, 5) or die;
sleep 600;
"#;

/// Computes beside the guest, as one of the host's own users, for six seconds of the clock: what each got, in ticks.
const BESIDE: &str = r#"
sub ticks { open(my $f, "<", "/proc/$_[0]/stat") or return 0; my @w = split " ", (split /\) /, <$f>)[-1]; $w[11] + $w[12] }
my $guest; until ($guest) { ($guest) = split " ", `pgrep -x -f "perl guest.pl"`; sleep 1 unless $guest }
my ($own, $theirs, $until) = (ticks($$), ticks($guest), time + 6);
1 while time < $until;
my @said = (ticks($$) - $own, ticks($guest) - $theirs);
open(my $f, ">", "share.new"); print $f "@said
"; close $f; rename "share.new", "share";
"#;

/// Waits to be moved, and then writes down what it can do, on a file at home.
const GUEST: &str = r#"
use Socket;
my $go = 0; $SIG{USR1} = sub { $go = 1 }; $SIG{CHLD} = "IGNORE";
1 while !$go;
sub try { my ($name, $ok) = @_; push @said, "$name=" . ($ok ? "yes" : "no") }
sub meets { my ($family, $to) = @_; socket(my $s, $family, SOCK_STREAM, 0) or return 0;
    local $SIG{ALRM} = sub { die }; alarm 5; my $met = eval { connect($s, $to) }; alarm 0; $met }
try("loopback", meets(PF_INET, pack_sockaddr_in(PORT, inet_aton("127.0.0.1"))));
try("lan", meets(PF_INET, pack_sockaddr_in(PORT, inet_aton("LAN"))));
try("abstract", meets(PF_UNIX, pack_sockaddr_un("\0ABSTRACT")));
try($_, open(my $f, "<", $_)) for "/dev/kmsg", "/dev/mem", "/dev/sda", "/dev/sr0", "/sys/power/state", "/run/brant/boot.toml";
opendir(my $d, "/dev"); push @said, "devices=" . join(" ", sort grep { !/^\./ } readdir $d);
my @children; while (@children < 6000) { my $p = fork; last unless defined $p; if (!$p) { sleep 600; exit } push @children, $p }
push @said, "children=" . @children; kill "KILL", @children;
open(my $f, ">", "guest.new"); print $f join("\n", @said), "\n"; close $f; rename "guest.new", "guest.said";
$go = 0; 1 while !$go;
my @all; push @all, "x" x (16 << 20) while 1;
"#;

/// A guest tries its host's sockets, devices, tasks and memory; the host goes on.
pub(crate) fn guests_are_confined(run: &mut Run) -> Result<String> {
    let (home, host) = (&run.nodes[0], run.nodes.last().context("finding a host")?);
    let (_, target, _) = run.figures.joined.last().context("looking for the host's name")?;
    let lan =
        host.shell(ROOT, "ip -4 -o address show | awk '!/ lo /{sub(\"/.*\", \"\", $4); print $4; exit}'")?;
    let there = runs_on(target);
    let fill = |text: &str| {
        text.replace("PORT", &PORT.to_string()).replace("ABSTRACT", ABSTRACT).replace("LAN", lan.trim())
    };
    host.put(ROOT, "/tmp/host.pl", &fill(HOST))?;
    host.shell(ROOT, "setsid perl /tmp/host.pl > /tmp/host.log 2>&1 < /dev/null &")?;
    host.put(USER, "beside.pl", BESIDE)?;
    host.shell(USER, "rm -f share; setsid perl beside.pl > /dev/null 2>&1 < /dev/null &")?;
    home.put(USER, "guest.pl", &fill(GUEST))?;
    // Whoever moved it by then: it is there. What is said when it stays is kept for the error.
    let start = format!(
        "cd; rm -f guest.said; perl guest.pl < /dev/null > /dev/null 2> guest.err & pid=$!\n\
         until {there}; do brant migrate $pid {target} >&2; sleep 1; done\n\
         until [ -e /cluster/{target}/home/{USER}/share ]; do kill -0 $pid || exit 1; sleep 1; done\n\
         kill -USR1 $pid; until [ -e guest.said ]; do kill -0 $pid || exit 1; sleep 1; done; cat guest.said\n\
         kill -USR1 $pid; wait $pid; echo ended=$?\n"
    );
    let daemons = "pidof migrationd node-agent | tr ' ' '\\n' | sort | tr '\\n' ' '";
    let before = host.shell(ROOT, daemons)?;
    home.shell(ROOT, "brant set balance off")?;
    let said = home.shell_within(USER, &start, b"", run.patience.of(3 * TRYING));
    home.shell(ROOT, "brant set balance --default")?;
    let said = said?;
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.with_context(|| format!("looking for `{name}` in what the guest says: {said}"))
    };
    for name in [
        "loopback",
        "lan",
        "abstract",
        "/dev/kmsg",
        "/dev/mem",
        "/dev/sda",
        "/dev/sr0",
        "/sys/power/state",
        "/run/brant/boot.toml",
    ] {
        ensure!(value(name)? == "no", "a guest reaches `{name}` of its host");
    }
    ensure!(value("devices")? == DEVICES, "a guest has other devices: {}", value("devices")?);
    let children: u32 = value("children")?.parse().context("reading how many children it had")?;
    // It would have started 6000; no guest may have more than 4096 tasks, itself among them.
    ensure!((100..4096).contains(&children), "a guest starts {children} children");
    ensure!(value("ended")? == "137", "a guest that takes all memory ends with {}", value("ended")?);
    let share = host.shell(USER, "cat ~/share")?;
    let ticks: Vec<f64> = share.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [own, theirs] = ticks[..] else { anyhow::bail!("reading what each got: {share}") };
    // Two thirds, by their weights; half is what it would be without.
    ensure!(own > 1.4 * theirs, "beside a guest that got {theirs} ticks the host's own user got {own}");
    // The host could be reached by its own, and all of it goes on.
    ensure!(reaches(host)?, "the host does not reach its own socket");
    ensure!(host.shell(ROOT, daemons)? == before, "daemons of the host did not outlive its guest");
    ensure!(
        host.shell(ROOT, "dmesg | grep -c 'Killed process' || true")?.trim() != "0",
        "nothing was killed for memory"
    );
    host.shell(ROOT, "pkill -f /tmp/host.pl")?;
    let part = 100.0 * own / (own + theirs);
    Ok(format!(
        "{part:.0} % of the processor left to the host's own, {children} children and no more, no memory beyond its share, \
         none of the host's sockets and devices"
    ))
}

fn reaches(host: &Node) -> Result<bool> {
    let script =
        format!("timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{PORT}' && echo open || cat /tmp/host.log");
    Ok(host.shell(ROOT, &script)?.trim() == "open")
}
