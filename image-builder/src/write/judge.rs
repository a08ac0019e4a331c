//! Whether a device may be written to. Pure.

/// What is known of a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceFacts {
    /// The kernel's name for it, without `/dev/`.
    pub name: String,
    /// Maker and model, as far as it says.
    pub model: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Counts media: another one after it was changed.
    pub sequence: String,
    /// The disk that it is a partition of.
    pub part_of: Option<String>,
    /// Whether it can be taken out, or hangs on USB.
    pub removable: bool,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Where it, or a partition of it, is mounted; or what else uses it.
    pub used: Vec<String>,
}

/// Why a device is not written to. Nothing was done to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It is part of a disk.
    #[error("`/dev/{name}` is a partition of `/dev/{disk}`; an image goes onto a whole disk")]
    Partition {
        /// The partition.
        name: String,
        /// The disk.
        disk: String,
    },
    /// It has less room than the image takes.
    #[error("the image has {wanted} bytes, and there is room for {bytes}")]
    TooSmall {
        /// What there is.
        bytes: u64,
        /// What is needed.
        wanted: u64,
    },
    /// It has a switch against it, or no medium.
    #[error("it can only be read")]
    ReadOnly,
    /// Something on it is in use.
    #[error("it is in use: {}", .0.join(", "))]
    Used(Vec<String>),
    /// It is built in.
    #[error("it is not removable: a disk of this machine")]
    NotRemovable,
}

impl Refusal {
    /// What to do about it.
    pub(super) fn hint(&self, name: &str) -> String {
        match self {
            Self::Partition { disk, .. } => format!("name the disk: /dev/{disk}"),
            Self::TooSmall { .. } => "take a larger one".to_owned(),
            Self::ReadOnly => "look for a switch on it, or take another one".to_owned(),
            Self::Used(_) => {
                format!("unmount it first; if it is really to be overwritten: `--overwrite {name}`")
            }
            Self::NotRemovable => {
                format!("`lsblk` lists the disks; if it is really to be overwritten: `--overwrite {name}`")
            }
        }
    }
}

/// Decides; `overwrite` is the name of a device that may be overwritten whatever it is used for.
///
/// # Errors
/// The first reason against it.
pub(super) fn judge(device: &DeviceFacts, image: u64, overwrite: Option<&str>) -> Result<(), Refusal> {
    if let Some(disk) = &device.part_of {
        return Err(Refusal::Partition { name: device.name.clone(), disk: disk.clone() });
    }
    if device.read_only {
        return Err(Refusal::ReadOnly);
    }
    if device.bytes < image {
        return Err(Refusal::TooSmall { bytes: device.bytes, wanted: image });
    }
    let told = overwrite == Some(device.name.as_str());
    if !device.used.is_empty() && !told {
        return Err(Refusal::Used(device.used.clone()));
    }
    if !device.removable && !told {
        return Err(Refusal::NotRemovable);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick() -> DeviceFacts {
        DeviceFacts {
            name: "sdb".to_owned(),
            model: "Maker Stick".to_owned(),
            bytes: 1000,
            sequence: "7".to_owned(),
            part_of: None,
            removable: true,
            read_only: false,
            used: Vec::new(),
        }
    }

    #[test]
    fn a_free_stick_is_written_to() {
        assert_eq!(judge(&stick(), 1000, None), Ok(()));
    }

    #[test]
    fn each_reason_is_named() {
        let used = vec!["/dev/sdb1 on /media/me".to_owned()];
        let cases = [
            (DeviceFacts { bytes: 999, ..stick() }, Refusal::TooSmall { bytes: 999, wanted: 1000 }),
            (DeviceFacts { read_only: true, ..stick() }, Refusal::ReadOnly),
            (DeviceFacts { used: used.clone(), ..stick() }, Refusal::Used(used.clone())),
            (DeviceFacts { removable: false, ..stick() }, Refusal::NotRemovable),
            (
                DeviceFacts { part_of: Some("sdb".to_owned()), name: "sdb1".to_owned(), ..stick() },
                Refusal::Partition { name: "sdb1".to_owned(), disk: "sdb".to_owned() },
            ),
        ];
        for (device, refusal) in cases {
            assert_eq!(judge(&device, 1000, None), Err(refusal.clone()));
            assert!(!refusal.hint("sdb").is_empty());
        }
    }

    #[test]
    fn only_its_own_name_overrides_and_never_what_cannot_work() {
        let disk = DeviceFacts { removable: false, used: vec!["x".to_owned()], ..stick() };
        assert_eq!(judge(&disk, 1000, Some("sdb")), Ok(()));
        assert!(judge(&disk, 1000, Some("sda")).is_err());
        assert!(judge(&DeviceFacts { bytes: 1, ..disk }, 1000, Some("sdb")).is_err());
    }
}
