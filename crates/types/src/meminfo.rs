//! The text of `/proc/meminfo`.

/// A field of `/proc/meminfo`, KiB.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_whole_name() {
        let text = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    20 kB\n";
        assert_eq!(field(text, "MemAvailable"), Some(20));
        assert_eq!(field(text, "Mem"), None);
    }
}
