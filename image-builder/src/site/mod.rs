//! What belongs to one site and not to an image: the room for it, and `customise`, which changes it in place.

pub(crate) mod area;
mod arguments;
mod customise;
mod own;

pub(crate) use area::{AREA, empty as empty_area};
pub(crate) use arguments::{ARGUMENTS_ROOM, blank as blank_arguments};
pub(crate) use customise::{CustomiseArgs, run, with_argument, without_secret};
pub(crate) use own::{Own, show};
