//! What a profile wants made from its ISO besides: the image of a stick, the files for the network.

use super::args::Plan;
use crate::failure::{Advice, Kind};
use crate::host::HostTool;
use crate::profile::Artefact;
use crate::progress::Progress;
use crate::usb::Shape;
use crate::{netboot, usb};
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The tools that the artefacts of this plan take, beside those for the ISO.
pub(super) fn tools(plan: &Plan) -> &'static [HostTool] {
    if plan.profile.image.artefacts.contains(&Artefact::Usb) { &usb::BIOS_TOOLS } else { &[] }
}

/// Makes those that are not there, or are older than the ISO, or all of them where it is new; gives where they are.
///
/// # Errors
/// One cannot be made; what was there under its name is as it was.
pub(super) fn make(plan: &Plan, iso: &Path, new: bool, progress: &Progress) -> anyhow::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for artefact in &plan.profile.image.artefacts {
        let (what, place) = match artefact {
            Artefact::Iso => continue,
            Artefact::Usb => ("making the image of a stick", iso.with_extension("img")),
            Artefact::Netboot => ("making the files for the network", iso.with_extension("netboot")),
        };
        if place == iso {
            let what = format!("{what}: `{}` is the ISO", iso.display());
            return Err(Advice::new(Kind::Output, what).hint("name an ISO with `--output`").error());
        }
        if new || !is_newer(&place, iso) {
            let stage = progress.stage(what);
            match artefact {
                Artefact::Iso => {}
                Artefact::Usb => {
                    usb::make(iso, &place, Shape { bios: true, persistence: None }).context(what)?;
                }
                Artefact::Netboot => netboot::make(iso, &place, false, None).map(drop).context(what)?,
            }
            stage.done("");
        }
        made.push(place);
    }
    Ok(made)
}

fn is_newer(one: &Path, other: &Path) -> bool {
    let written = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    written(one).zip(written(other)).is_some_and(|(one, other)| one >= other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_older_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (iso, image) = (folder.path().join("x.iso"), folder.path().join("x.img"));
        fs::write(&image, "").unwrap();
        assert!(!is_newer(&image, &iso));
        fs::write(&iso, "").unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::options().write(true).open(&iso).unwrap().set_modified(later).unwrap();
        assert!(!is_newer(&image, &iso));
        assert!(is_newer(&iso, &image));
    }
}
