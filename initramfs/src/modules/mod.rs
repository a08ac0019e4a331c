//! Kernel modules: which ones a device asks for, and loading them in order.

mod glob;
mod index;
mod load;

pub(crate) use load::Modules;
