//! The place where a build works: one at a time per source tree, gone when the build ends.

use crate::interrupt;
use crate::invoker;
use crate::progress::Progress;
use crate::workspace::Workspace;
use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A locked cache folder and an empty work folder; dropped, the work folder is removed.
#[derive(Debug)]
pub(crate) struct Bench {
    work: PathBuf,
    cache: PathBuf,
    _lock: File,
}

impl Bench {
    /// Waits for another build in this tree to end, and clears away what a killed one has left.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub(crate) fn take(workspace: &Workspace, progress: &Progress) -> anyhow::Result<Self> {
        let cache = workspace.cache();
        fs::create_dir_all(&cache).with_context(|| format!("making the folder `{}`", cache.display()))?;
        invoker::give(&cache);
        let lock = lock(&cache.join("lock"), progress)?;
        let work = cache.join("work");
        remove(&work)?;
        // Private: it holds set-uid programs and, towards the end, the cluster's secret.
        let made = fs::DirBuilder::new().mode(0o700).create(&work);
        made.with_context(|| format!("making the folder `{}`", work.display()))?;
        Ok(Self { work, cache, _lock: lock })
    }

    /// A path in the work folder.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// The folder that outlives the build.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.work) {
            tracing::warn!("{error:#}");
        }
    }
}

fn remove(work: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the work folder `{}`", work.display()))
        }
        _ => Ok(()),
    }
}

/// The lock names its holder, so that whoever waits knows for whom. It goes with the process, however that ends.
fn lock(path: &Path, progress: &Progress) -> anyhow::Result<File> {
    let locking = || format!("locking `{}`", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(locking)?;
    let mut announced = false;
    // Asked for again and again, not waited for in the kernel: Ctrl-C must end the wait.
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK {
            return Err(std::io::Error::from(error)).with_context(locking);
        }
        if !announced {
            let mut holder = String::new();
            file.read_to_string(&mut holder).with_context(locking)?;
            let holder = holder.trim();
            progress
                .say(&format!("another build (process {holder}) is at work in this tree; waiting for it"));
            announced = true;
        }
        interrupt::check()?;
        std::thread::sleep(Duration::from_millis(200));
    }
    file.rewind().with_context(locking)?;
    invoker::give(path);
    file.set_len(0).with_context(locking)?;
    writeln!(file, "{}", std::process::id()).with_context(locking)?;
    Ok(file)
}
