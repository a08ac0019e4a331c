//! What a processor can do, as far as programs see it: a process may go where all is there that it may rely on.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The words of `/proc/cpuinfo` (Linux 6.12, `arch/x86/include/asm/cpufeatures.h`) that stand for instructions and
/// registers of user space. The others are the kernel's business, and differ between processors that run the same
/// programs. Nodes that move processes have the same image, so that they agree on the places in this list.
const WORDS: [&str; 106] = [
    "fpu",
    "tsc",
    "cx8",
    "cmov",
    "mmx",
    "fxsr",
    "sse",
    "sse2",
    "mmxext",
    "fxsr_opt",
    "rdtscp",
    "lm",
    "3dnowext",
    "3dnow",
    "pni",
    "pclmulqdq",
    "ssse3",
    "fma",
    "cx16",
    "sse4_1",
    "sse4_2",
    "movbe",
    "popcnt",
    "aes",
    "xsave",
    "avx",
    "f16c",
    "rdrand",
    "lahf_lm",
    "abm",
    "sse4a",
    "misalignsse",
    "3dnowprefetch",
    "xop",
    "fma4",
    "tbm",
    "lwp",
    "fsgsbase",
    "bmi1",
    "hle",
    "avx2",
    "bmi2",
    "erms",
    "rtm",
    "mpx",
    "avx512f",
    "avx512dq",
    "rdseed",
    "adx",
    "avx512ifma",
    "clflush",
    "clflushopt",
    "clwb",
    "avx512pf",
    "avx512er",
    "avx512cd",
    "sha_ni",
    "avx512bw",
    "avx512vl",
    "xsaveopt",
    "xsavec",
    "xgetbv1",
    "avx_vnni",
    "avx512_bf16",
    "clzero",
    "rdpru",
    "wbnoinvd",
    "avx512vbmi",
    "pku",
    "ospke",
    "waitpkg",
    "avx512_vbmi2",
    "gfni",
    "vaes",
    "vpclmulqdq",
    "avx512_vnni",
    "avx512_bitalg",
    "avx512_vpopcntdq",
    "rdpid",
    "cldemote",
    "movdiri",
    "movdir64b",
    "enqcmd",
    "avx512_4vnniw",
    "avx512_4fmaps",
    "fsrm",
    "avx512_vp2intersect",
    "serialize",
    "tsxldtrk",
    "amx_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "user_shstk",
    "monitorx",
    "mwaitx",
    "cmpccxadd",
    "fzrm",
    "fsrs",
    "fsrc",
    "avx_ifma",
    "amx_fp16",
    "sha512",
    "sm3",
    "sm4",
    "prefetchi",
];

/// A set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(u128);

impl Features {
    /// Those of the first processor in the text of `/proc/cpuinfo`; all processors of a PC have the same.
    pub fn of_cpuinfo(text: &str) -> Self {
        let line = text.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let words = line.split(':').nth(1).unwrap_or_default().split_ascii_whitespace();
        let places = words.filter_map(|word| WORDS.iter().position(|known| *known == word));
        Self(places.fold(0, |all, place| all | 1 << place))
    }

    /// Whether everything of the other is there as well.
    pub fn include(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words for what the other has and this has not.
    pub fn missing(self, other: Self) -> Vec<&'static str> {
        let is_missing = |place: &usize| other.0 & !self.0 & 1 << place != 0;
        (0..WORDS.len()).filter(is_missing).map(|place| WORDS[place]).collect()
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Not a set of processor features: 32 hexadecimal digits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a set of processor features, which is 32 hexadecimal digits")]
pub struct NoFeatures;

impl FromStr for Features {
    type Err = NoFeatures;

    fn from_str(text: &str) -> Result<Self, NoFeatures> {
        let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or(NoFeatures)
    }
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(words: &str) -> Features {
        Features::of_cpuinfo(&format!("processor\t: 0\nflags\t\t: {words}\nflags\t\t: amx_tile\n"))
    }

    #[test]
    fn only_what_programs_see_is_compared_and_more_is_enough() {
        let old = features("fpu sse2 pni rep_good ibrs");
        let new = features("constant_tsc avx2 pni sse2 fpu");
        assert!(new.include(old) && !old.include(new) && old.include(old));
        assert_eq!(old.missing(new), ["avx2"]);
        assert_eq!(old.union(new), new);
    }

    #[test]
    fn a_set_is_written_and_read_again() {
        let all = features(&WORDS.join(" "));
        assert_eq!(all.to_string().parse(), Ok(all));
        assert!(features("").missing(all).len() == WORDS.len());
        assert_eq!("12".parse::<Features>(), Err(NoFeatures));
        assert_eq!("+0000000000000000000000000000000".parse::<Features>(), Err(NoFeatures));
    }

    #[test]
    fn no_word_is_twice_in_the_list() {
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }
}
