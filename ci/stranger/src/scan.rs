//! Knocks at every TCP port of a node.

use anyhow::Result;
use serde_json::{Value, json};
use std::net::{Ipv6Addr, SocketAddrV6, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A node answers at once, unless it drops what is said to that port.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Who knock at a time: a dropped one must not hold up all others.
const HANDS: usize = 16;

/// Which ports are open, and which give no answer at all.
pub(crate) fn run(address: Ipv6Addr, index: u32) -> Result<Value> {
    let next = AtomicU32::new(1);
    let (open, silent) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let since = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                while let Ok(port) = u16::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                    let to = SocketAddrV6::new(address, port, 0, index);
                    let outcome = TcpStream::connect_timeout(&to.into(), PATIENCE);
                    let list = match outcome {
                        Ok(_) => &open,
                        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => &silent,
                        Err(_) => continue,
                    };
                    if let Ok(mut list) = list.lock() {
                        list.push(port);
                    }
                }
            });
        }
    });
    let sorted = |list: Mutex<Vec<u16>>| {
        let mut list = list.into_inner().unwrap_or_default();
        list.sort_unstable();
        list
    };
    Ok(json!({ "open": sorted(open), "silent": sorted(silent), "seconds": since.elapsed().as_secs() }))
}
