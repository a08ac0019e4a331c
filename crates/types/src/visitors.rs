//! Who may come through a door that every user of this node may knock at: a few at a time of each, so that nobody uses up
//! what all need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many of one user are inside at a time; root is not counted.
pub const MOST: usize = 32;

/// How many of each user are inside.
#[derive(Debug, Clone, Default)]
pub struct Visitors(Arc<Mutex<HashMap<u32, usize>>>);

/// One who is inside; he is out when this is dropped.
#[derive(Debug)]
pub struct Visitor {
    visitors: Visitors,
    uid: u32,
}

impl Visitors {
    /// Lets one more of this user in, if there are not too many.
    pub fn admit(&self, uid: u32) -> Option<Visitor> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(uid).or_insert(0);
        if uid != 0 && *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Visitor { visitors: self.clone(), uid })
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut all = self.visitors.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_at_once_and_others_have_theirs() {
        let visitors = Visitors::default();
        let mine: Vec<_> = (0..MOST).map(|_| visitors.admit(1000).unwrap()).collect();
        assert!(visitors.admit(1000).is_none());
        assert!(visitors.admit(1001).is_some() && visitors.admit(0).is_some());
        drop(mine);
        assert!(visitors.admit(1000).is_some());
        assert!(visitors.0.lock().unwrap().is_empty());
    }
}
