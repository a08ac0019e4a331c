//! A way out to a reader who may be slow, stopped or gone: a thread of its own writes, and nobody else ever waits.

use crate::wire;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How much may wait before what can be lost is lost, bytes.
const MOST_WAITING: usize = 2 << 20;

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    over: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way out. Dropping it lets what waits go out, and then the stream.
pub struct Outlet(Arc<Shared>);

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

impl Outlet {
    /// Writes to this stream from now on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(mut stream: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        std::thread::Builder::new().name("outlet".to_owned()).spawn(move || {
            while let Some(frame) = next(&ours) {
                if stream.write_all(&frame).is_err() {
                    let mut queue = ours.lock();
                    queue.over = true;
                    queue.frames.clear();
                    return;
                }
            }
        })?;
        Ok(Self(shared))
    }

    /// Says something that has to arrive, as long as the stream stands.
    pub fn say<M: Serialize>(&self, message: &M) {
        self.push(message, usize::MAX);
    }

    /// Says something that is said again when it is lost: nothing, when much waits already.
    pub fn say_if_room<M: Serialize>(&self, message: &M) {
        self.push(message, MOST_WAITING);
    }

    fn push<M: Serialize>(&self, message: &M, most: usize) {
        let mut frame = Vec::new();
        if let Err(error) = wire::send(&mut frame, message) {
            tracing::error!(%error, "writing a message down");
            return;
        }
        let mut queue = self.0.lock();
        if !queue.over && queue.bytes <= most {
            queue.bytes += frame.len();
            queue.frames.push_back(frame);
            self.0.news.notify_one();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.news.notify_one();
    }
}

fn next(shared: &Shared) -> Option<Vec<u8>> {
    let mut queue = shared.lock();
    loop {
        if let Some(frame) = queue.frames.pop_front() {
            queue.bytes -= frame.len();
            return Some(frame);
        }
        if queue.over {
            return None;
        }
        queue = shared.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_loses_only_what_may_be_lost() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let outlet = Outlet::begin(here).unwrap();
        let large = vec![7_u8; 600_000];
        for _ in 0..20 {
            outlet.say_if_room(&large);
        }
        outlet.say(&vec![1_u8]);
        drop(outlet);
        let mut came = Vec::new();
        while let Some(part) = wire::receive::<Vec<u8>>(&mut there).unwrap() {
            came.push(part.len());
        }
        assert_eq!(came.pop(), Some(1), "what has to arrive arrives, and last");
        assert!((3..10).contains(&came.len()), "{}", came.len());
    }
}
