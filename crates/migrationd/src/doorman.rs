//! A door that every user of this node may knock at, each on a thread of its own.

use brant_sys::process::peer_of;
use brant_types::visitors::Visitors;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// How long one may take to read what he is told.
const READING: Duration = Duration::from_secs(5);
/// How long to wait when nobody can be let in at all.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves each one who comes on a thread of its own, with his number as a user, for as long as the program runs.
pub(crate) fn serve(listener: &UnixListener, name: &str, serve: impl Fn(UnixStream, u32) + Sync) {
    let visitors = Visitors::default();
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, name, "letting somebody in");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let Ok((_, uid)) = peer_of(&stream) else { continue };
            let Some(visitor) = visitors.admit(uid) else {
                tracing::debug!(uid, name, "too many of one user at once");
                continue;
            };
            if stream.set_write_timeout(Some(READING)).is_err() {
                continue;
            }
            let serve = &serve;
            let spawned = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || {
                serve(stream, uid);
                drop(visitor);
            });
            if let Err(error) = spawned {
                tracing::error!(%error, name, "starting a thread");
                std::thread::sleep(PAUSE);
            }
        }
    });
}
