//! Shell patterns as in `modules.alias`: `*`, `?` and `[…]`, with no rule about slashes. Pure.

/// Whether the whole of `text` matches the pattern.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last `*` has to swallow one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(length) = one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
        } else if let Some((after_star, from)) = retry {
            p = after_star;
            t = from + 1;
            retry = Some((p, t));
        } else {
            return false;
        }
    }
}

/// Matches one byte; gives the length of the pattern that did.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        plain => (plain == byte).then_some(1),
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let mut at = first;
    let mut inside = false;
    // A `]` that comes first stands for itself.
    while at == first || *pattern.get(at)? != b']' {
        let low = *pattern.get(at)?;
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                inside |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                inside |= low == byte;
                at += 1;
            }
        }
    }
    (inside != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn stars_match_any_run_and_need_the_rest() {
        assert!(check("virtio:d00000001v*", "virtio:d00000001v00001AF4"));
        assert!(check("pci:v00008086d*sv*sd*bc02sc*i*", "pci:v00008086d000010D3sv0000sd0000bc02sc00i00"));
        assert!(!check("pci:v00008086d*sv*sd*bc02sc*i*", "pci:v00008086d000010D3sv0000sd0000bc03sc00i00"));
        assert!(check("*", "") && check("a**", "a") && !check("a", "ab") && !check("ab", "a"));
    }

    #[test]
    fn a_star_gives_back_what_it_took_too_much() {
        assert!(check("*ab*ab", "xabyabzab"));
        assert!(!check("*ab*ab", "xab"));
    }

    #[test]
    fn classes_hold_bytes_and_ranges() {
        assert!(check("usb:v0BDAp815[2-9A-F]d*", "usb:v0BDAp8153d3000"));
        assert!(!check("usb:v0BDAp815[2-9A-F]d*", "usb:v0BDAp8151d3000"));
        assert!(check("[!a]b", "cb") && !check("[!a]b", "ab"));
        assert!(check("[]]", "]") && check("[a-]", "-"));
    }

    #[test]
    fn an_open_class_matches_nothing() {
        assert!(!check("[ab", "a"));
    }

    #[test]
    fn a_question_mark_is_one_byte() {
        assert!(check("a?c", "abc") && !check("a?c", "ac"));
    }
}
