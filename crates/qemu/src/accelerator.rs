//! How the machine's processor is made: by the host's, or by translation.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: it works everywhere, about eight times slower.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulation",
        })
    }
}

impl Accelerator {
    /// The best one this host has.
    pub fn choose() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kvm_opens = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        Self::from_facts(&cpuinfo, kvm_opens)
    }

    /// A `/dev/kvm` alone says little: where the processor lacks the feature, a guest starts and then hangs.
    fn from_facts(cpuinfo: &str, kvm_opens: bool) -> Self {
        let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
        let virtualises = flags.flat_map(str::split_whitespace).any(|flag| flag == "vmx" || flag == "svm");
        if virtualises && kvm_opens { Self::Kvm } else { Self::Tcg }
    }

    /// QEMU's arguments, for processors of this model, or the usual one. Under translation a plain model is faster:
    /// vector code is dear to emulate.
    ///
    /// Several processors take turns there: when one patches the kernel's code while another runs it, QEMU 7.2 with a
    /// thread for each goes on with what it had translated before, and the kernel panics at a breakpoint that is gone.
    pub(crate) fn arguments(self, processors: u32, model: Option<&str>) -> [&str; 4] {
        let (accelerator, usual) = match self {
            Self::Kvm => ("kvm", "host"),
            Self::Tcg if processors > 1 => ("tcg,thread=single", "qemu64"),
            Self::Tcg => ("tcg,thread=multi", "qemu64"),
        };
        ["-accel", accelerator, "-cpu", model.unwrap_or(usual)]
    }

    /// How many times longer things may take than on a PC of today.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translated_processors_take_turns_where_there_are_several() {
        assert_eq!(Accelerator::Tcg.arguments(1, None)[1], "tcg,thread=multi");
        assert_eq!(Accelerator::Tcg.arguments(2, None)[1], "tcg,thread=single");
        assert_eq!(Accelerator::Kvm.arguments(2, Some("x")), ["-accel", "kvm", "-cpu", "x"]);
    }

    #[test]
    fn kvm_needs_the_device_and_the_processor() {
        let with = "processor : 0\nflags\t\t: fpu sse svm lahf_lm\n";
        let without = "model name : vmx svm\nflags\t\t: fpu sse hypervisor\n";
        assert_eq!(Accelerator::from_facts(with, true), Accelerator::Kvm);
        assert_eq!(Accelerator::from_facts(with, false), Accelerator::Tcg);
        assert_eq!(Accelerator::from_facts(without, true), Accelerator::Tcg);
    }
}
