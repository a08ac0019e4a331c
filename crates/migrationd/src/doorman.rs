//! Who may come through a door that every user of this node may knock at: a few at a time of each, so that nobody uses up
//! what all need.

use brant_sys::process::peer_of;
use std::collections::HashMap;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many of one user are inside at a time; root is not counted.
const MOST: usize = 32;
/// How long one may take to read what he is told.
const READING: Duration = Duration::from_secs(5);
/// How long to wait when nobody can be let in at all.
const PAUSE: Duration = Duration::from_millis(200);

/// How many of each user are inside.
type Inside = Mutex<HashMap<u32, usize>>;

/// One who is inside; he is out when this is dropped.
struct Guest<'a> {
    inside: &'a Inside,
    uid: u32,
}

impl<'a> Guest<'a> {
    fn admit(inside: &'a Inside, uid: u32) -> Option<Self> {
        let mut all = inside.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(uid).or_insert(0);
        if uid != 0 && *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Self { inside, uid })
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let mut all = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.uid);
            }
        }
    }
}

/// Serves each one who comes on a thread of its own, with his number as a user, for as long as the program runs.
pub(crate) fn serve(listener: &UnixListener, name: &str, serve: impl Fn(UnixStream, u32) + Sync) {
    let inside = Inside::default();
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
            let Some(guest) = Guest::admit(&inside, uid) else {
                tracing::debug!(uid, name, "too many of one user at once");
                continue;
            };
            if stream.set_write_timeout(Some(READING)).is_err() {
                continue;
            }
            let serve = &serve;
            let spawned = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || {
                serve(stream, uid);
                drop(guest);
            });
            if let Err(error) = spawned {
                tracing::error!(%error, name, "starting a thread");
                std::thread::sleep(PAUSE);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_at_once_and_others_have_theirs() {
        let inside = Inside::default();
        let mine: Vec<_> = (0..MOST).map(|_| Guest::admit(&inside, 1000).unwrap()).collect();
        assert!(Guest::admit(&inside, 1000).is_none());
        assert!(Guest::admit(&inside, 1001).is_some());
        drop(mine);
        assert!(Guest::admit(&inside, 1000).is_some());
        assert!(inside.lock().unwrap().is_empty());
    }
}
