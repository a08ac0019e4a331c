//! What an `InRelease` file says. Only to choose by: signatures are checked by apt when it fetches for real.

use std::fmt::Write as _;

/// The head of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// Who publishes it.
    pub origin: String,
    /// Which of the publisher's archives it is.
    pub label: String,
    /// The suite's code name.
    pub codename: String,
    /// When it was published, in seconds since 1970; 0 when that cannot be read.
    pub date: u64,
    /// The SHA-256 of the list of packages (main, amd64).
    pub packages: String,
}

impl Release {
    /// Reads the text; nothing when it is no release file, or one without our packages.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            Some(value.trim().to_owned())
        };
        let sums = text.lines().skip_while(|line| *line != "SHA256:").skip(1);
        let packages = sums
            .take_while(|line| line.starts_with(' '))
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find_map(|words| {
                (*words.get(2)? == "main/binary-amd64/Packages").then(|| words[0].to_owned())
            })?;
        Some(Self {
            origin: field("Origin")?,
            label: field("Label")?,
            codename: field("Codename")?,
            date: field("Date").and_then(|date| seconds(&date)).unwrap_or(0),
            packages,
        })
    }
}

/// "Sat, 12 Sep 2026 07:55:41 UTC" as seconds since 1970.
fn seconds(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = date.split_whitespace().collect();
    let [_, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    let day: u64 = day.parse().ok()?;
    let month = u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: u64 = year.parse().ok().filter(|year| *year >= 1970)?;
    let clock: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours, minutes, secs] = clock[..] else { return None };
    // Days since 1970 by counting years from March, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hours * 3600 + minutes * 60 + secs)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian\nSuite: stable\n\
        Codename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nMD5Sum:\n 00 1 main/binary-amd64/Packages\nSHA256:\n \
        aa 10 main/binary-all/Packages\n bb 20 main/binary-amd64/Packages\n cc 5 main/binary-amd64/Packages.xz\n";

    #[test]
    fn the_head_of_a_suite_is_read() {
        let release = Release::parse(TEXT).unwrap();
        assert_eq!((release.origin.as_str(), release.codename.as_str()), ("Debian", "trixie"));
        assert_eq!((release.packages.as_str(), release.date), ("bb", 1_789_199_741));
    }

    #[test]
    fn a_page_that_is_no_release_file_is_refused() {
        assert_eq!(Release::parse("<html>Sign in to the network</html>"), None);
        assert_eq!(Release::parse(&TEXT.replace("binary-amd64", "binary-arm64")), None);
    }

    #[test]
    fn dates_count_leap_days() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(seconds("Thu, 29 Feb 2024 12:00:00 UTC"), Some(1_709_208_000));
        assert_eq!(seconds("yesterday"), None);
    }
}
