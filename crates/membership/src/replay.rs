//! A sliding window over a peer's sequence numbers (as in RFC 4303, appendix A): each number is taken once.

/// Which of a peer's last 64 numbers were heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayWindow {
    highest: u64,
    heard: u64,
}

impl ReplayWindow {
    /// Whether this is the highest number that was taken.
    pub fn is_newest(&self, number: u64) -> bool {
        number == self.highest
    }

    /// Whether this number is new; if so it is taken. Numbers start at 1.
    pub fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            let ahead = number - self.highest;
            self.heard = if ahead >= 64 { 0 } else { self.heard << ahead };
            self.heard |= 1;
            self.highest = number;
            return true;
        }
        let behind = self.highest - number;
        if number == 0 || behind >= 64 || self.heard & (1 << behind) != 0 {
            return false;
        }
        self.heard |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once_in_any_order() {
        let mut window = ReplayWindow::default();
        for (number, new) in [
            (5, true),
            (3, true),
            (5, false),
            (3, false),
            (4, true),
            (100, true),
            (5, false),
            (99, true),
            (0, false),
        ] {
            assert_eq!(window.take(number), new, "{number}");
        }
    }
}
