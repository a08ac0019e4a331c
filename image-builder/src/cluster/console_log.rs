//! What a machine's serial line has said, as lines of plain text.

/// How a kernel begins the message that it cannot go on.
const PANIC: &str = "Kernel panic - not syncing";
/// How many lines lead to it: registers, code, and the calls.
const BEFORE_PANIC: usize = 60;
/// How many lines follow where the calls come after it.
const AFTER_PANIC: usize = 30;

/// The lines that say something, without the control sequences of a terminal.
#[derive(Debug)]
pub(crate) struct ConsoleLog(Vec<String>);

impl ConsoleLog {
    /// Of all that came over the line.
    pub(crate) fn new(text: &str) -> Self {
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\u{1b}' if rest.peek() == Some(&'[') => {
                    rest.next();
                    while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                }
                '\n' | '\t' => plain.push(c),
                c if c.is_control() => {}
                c => plain.push(c),
            }
        }
        let said = plain.lines().map(str::trim_end).filter(|line| !line.is_empty());
        Self(said.map(str::to_owned).collect())
    }

    /// The last of the lines.
    pub(crate) fn tail(&self, lines: usize) -> String {
        self.0[self.0.len().saturating_sub(lines)..].join("\n")
    }

    /// The first time that the kernel could not go on, and what led to it; the machine may have started again since.
    pub(crate) fn panic(&self) -> Option<String> {
        let at = self.0.iter().position(|line| line.contains(PANIC))?;
        let end = (at + 1 + AFTER_PANIC).min(self.0.len());
        Some(self.0[at.saturating_sub(BEFORE_PANIC)..end].join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consoles_tail_is_plain_text() {
        let log =
            ConsoleLog::new("SeaBIOS\r\n\u{1b}[2J\u{1b}[01;00Hloading\r\n\r\n[    0.0] \u{7}Linux\r\nlast");
        assert_eq!(log.tail(2), "[    0.0] Linux\nlast");
        assert_eq!(log.tail(9), "SeaBIOS\nloading\n[    0.0] Linux\nlast");
        assert_eq!(ConsoleLog::new("").tail(3), "");
    }

    #[test]
    fn a_panic_is_found_before_the_boot_that_came_after_it() {
        let boot: Vec<String> = (0..200).map(|line| format!("booting {line}")).collect();
        let log = format!("{0}\nOops: 0000\nKernel panic - not syncing: Oops\n{0}", boot.join("\n"));
        let panic = ConsoleLog::new(&log).panic().unwrap();
        assert!(panic.starts_with("booting 141\n"), "{panic}");
        assert!(panic.contains("booting 199\nOops: 0000\nKernel panic"), "{panic}");
        assert!(panic.ends_with("booting 29"), "{panic}");
        assert_eq!(ConsoleLog::new(&boot.join("\n")).panic(), None);
    }
}
