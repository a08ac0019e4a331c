//! Connections between two nodes' daemons: TCP on the overlay, each side proving that it knows the secret.
//!
//! WireGuard says which machine is at the other end, not which process: without the proof, any user of another node
//! could talk to this daemon, which acts as root.

use crate::{address, wire};
use anyhow::{Context, Result, bail};
use brant_migration::protocol::Opening;
use brant_types::secret::ClusterSecret;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

/// How long the other side may take to open up, where nothing hurries.
pub const OPENING: Duration = Duration::from_secs(15);
/// How long the sender of an image may say nothing.
pub const SILENCE: Duration = Duration::from_secs(30);
/// The sender of an image says something at least this often.
pub const WORD_EVERY: Duration = Duration::from_secs(2);
/// How long what is sent may not be taken: longer than a lease, and no process stands still longer for a node that died.
const TAKING: Duration = Duration::from_secs(20);
/// A stay's link is made anew after this long without a word: several words would have come.
pub const LINK_SILENCE: Duration = Duration::from_secs(4);

/// Listens on this node's overlay address; waits for the address to be there.
pub fn listen(overlay: Ipv6Addr) -> TcpListener {
    loop {
        match TcpListener::bind(address::to_listen(overlay)) {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(%error, "the overlay address is not there yet"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Connects to a node, proves who we are and says what it is about.
///
/// # Errors
/// When the node does not answer in time, or is none of ours.
pub fn connect(
    overlay: Ipv6Addr,
    secret: &ClusterSecret,
    opening: Opening,
    within: Duration,
) -> Result<TcpStream> {
    let address = address::of(overlay)?;
    let mut stream = TcpStream::connect_timeout(&address, within).context("connecting to the node")?;
    prepare(&stream)?;
    stream.set_read_timeout(Some(within)).context("setting up the connection")?;
    let ours = random()?;
    stream.write_all(&ours).context("greeting the node")?;
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs).context("waiting for the node's greeting")?;
    let conversation = [ours, theirs].concat();
    stream.write_all(&secret.proof("migration, home", &conversation)).context("proving who we are")?;
    expect(&mut stream, &[secret.proof("migration, target", &conversation)])?;
    wire::send(&mut stream, &opening).context("saying what it is about")?;
    Ok(stream)
}

/// Takes a connection, has the other side prove who it is by one of these secrets, and hears what it is about.
///
/// # Errors
/// When it does not; nothing of what it said before the proof was parsed.
pub fn accept(stream: TcpStream, secrets: &[ClusterSecret]) -> Result<(TcpStream, Opening)> {
    let mut stream = prove(stream, secrets)?;
    let opening = wire::receive(&mut stream).context("hearing what it is about")?;
    Ok((stream, opening.context("hearing what it is about")?))
}

fn prove(mut stream: TcpStream, secrets: &[ClusterSecret]) -> Result<TcpStream> {
    prepare(&stream)?;
    let ours = random()?;
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs).context("waiting for a greeting")?;
    stream.write_all(&ours).context("answering a greeting")?;
    let conversation = [theirs, ours].concat();
    let proofs: Vec<[u8; 32]> =
        secrets.iter().map(|secret| secret.proof("migration, home", &conversation)).collect();
    let which = expect(&mut stream, &proofs)?;
    let proof = secrets[which].proof("migration, target", &conversation);
    stream.write_all(&proof).context("proving who we are")?;
    Ok(stream)
}

fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true).context("setting up the connection")?;
    stream.set_read_timeout(Some(OPENING)).context("setting up the connection")?;
    stream.set_write_timeout(Some(TAKING)).context("setting up the connection")
}

/// Which of these proofs the other side gives.
fn expect(stream: &mut TcpStream, proofs: &[[u8; 32]]) -> Result<usize> {
    let mut theirs = [0; 32];
    stream.read_exact(&mut theirs).context("waiting for the other side's proof")?;
    // The same time whatever differs, so that nothing can be learnt byte by byte.
    let is = |proof: &&[u8; 32]| theirs.iter().zip(*proof).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0;
    match proofs.iter().position(|proof| is(&proof)) {
        Some(which) => Ok(which),
        None => bail!("the other side does not know the cluster's secret"),
    }
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("asking for random bytes")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet<const N: usize>(home: [u8; 32], target: [[u8; 32]; N]) -> (bool, bool) {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap();
        let there = std::thread::spawn(move || {
            let secrets = target.map(ClusterSecret::from_bytes);
            prove(listener.accept().unwrap().0, &secrets).is_ok()
        });
        let secret = ClusterSecret::from_bytes(home);
        let mut stream = TcpStream::connect(address).unwrap();
        prepare(&stream).unwrap();
        let ours = random().unwrap();
        stream.write_all(&ours).unwrap();
        let mut theirs = [0; 32];
        stream.read_exact(&mut theirs).unwrap();
        let conversation = [ours, theirs].concat();
        stream.write_all(&secret.proof("migration, home", &conversation)).unwrap();
        let here = expect(&mut stream, &[secret.proof("migration, target", &conversation)]).is_ok();
        (here, there.join().unwrap())
    }

    #[test]
    fn only_those_who_know_the_secret_are_let_in() {
        assert_eq!(meet([1; 32], [[1; 32]]), (true, true));
        assert_eq!(meet([1; 32], [[2; 32]]), (false, false));
        // While the secret is changed, by the one before as well.
        assert_eq!(meet([1; 32], [[2; 32], [1; 32]]), (true, true));
    }
}
