//! One virtual machine: accelerator, firmware, command line, QMP, and the exec channel into it.

pub mod exec;
