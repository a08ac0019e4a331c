//! A profile: what one sort of image is made of. Read and checked as a whole, with every complaint at once.
//!
//! ```text
//! NAME.toml ─┐
//! base.toml ─┴▶ tree (values with their places) ─▶ merge ─▶ section (keys, complaints) ─▶ Profile
//! ```

mod load;
mod model;
mod nearest;
mod read;
mod section;
mod tree;
pub(crate) mod verbs;

pub(crate) use load::{find, known, load};
pub(crate) use model::{Artefact, Debian, Init, Keyboard, PartitionTable, Profile, RootPlace, User};
pub(crate) use read::{is_one_word as is_kernel_argument, is_ssh_key};

#[cfg(test)]
mod tests;
