//! The cluster's secret, which may be changed while the daemon runs: looked at with each view of the cluster, not with each
//! connection.

use anyhow::{Context, Result};
use brant_types::boot::BootFacts;
use brant_types::secret::ClusterSecret;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a secret that was replaced still lets others in: as long as node-agent lets it.
const CLOSING: Duration = Duration::from_secs(60);

/// The secret, and the one before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    present: Option<ClusterSecret>,
    before: Option<(ClusterSecret, Instant)>,
}

impl Secrets {
    /// Looks what it is now.
    pub(crate) fn look(&self, facts: &BootFacts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.present != facts.secret {
            let before = std::mem::replace(&mut known.present, facts.secret.clone());
            known.before = before.map(|before| (before, Instant::now()));
        }
    }

    /// The secret.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn present(&self) -> Result<ClusterSecret> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.present.clone().context("this node has no cluster secret")
    }

    /// The secret, and for a minute the one before.
    pub(crate) fn all(&self) -> Vec<ClusterSecret> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.before.as_ref().filter(|(_, since)| since.elapsed() < CLOSING);
        known.present.iter().chain(before.map(|(before, _)| before)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_replaced_is_good_for_a_while() {
        let facts = |secret: &ClusterSecret| {
            let text = format!(
                "host_name = \"a\"\nmachine_id = \"1\"\nimage_id = \"2\"\ncluster = \"x\"\nroot_mounted_at = 4.0\nsecret = \"{}\"",
                secret.reveal()
            );
            BootFacts::read(|path| {
                let known = path == brant_types::boot::BOOT_FACTS;
                if known { Ok(text.clone()) } else { Err(std::io::ErrorKind::NotFound.into()) }
            })
            .unwrap()
        };
        let (first, second) = (ClusterSecret::from_bytes([1; 32]), ClusterSecret::from_bytes([2; 32]));
        let secrets = Secrets::default();
        assert!(secrets.present().is_err() && secrets.all().is_empty());
        secrets.look(&facts(&first));
        assert_eq!(secrets.all(), std::slice::from_ref(&first));
        for _ in 0..2 {
            secrets.look(&facts(&second));
            assert_eq!(
                (secrets.present().unwrap(), secrets.all()),
                (second.clone(), vec![second.clone(), first.clone()])
            );
        }
    }
}
