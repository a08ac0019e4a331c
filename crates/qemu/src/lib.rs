//! One virtual machine: accelerator, command line, network segment, control, and the exec channel into it.

pub mod accelerator;
pub mod console;
pub mod exec;
pub mod machine;
pub mod qmp;
pub mod segment;
pub mod switch;
