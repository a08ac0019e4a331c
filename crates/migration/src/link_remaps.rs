//! The links that CRIU makes for deleted files which still have another name (`--link-remap`), out of `files.img`.
//!
//! ```text
//! file  = magic of all images, magic of files, record*     record = length: u32 (little-endian), protobuf message
//! entry = 1: type, 2: id, 3: a regular file { …, 6: name }, …
//! ```
//!
//! A restore uses such a link up. A move that is called off leaves it, and a folder that NFS remembers from before may
//! not show it; so whoever restores looks for them, and whoever calls off removes them (CRIU 4.1.1, `images/fdinfo.proto`
//! and `regfile.proto`).

use crate::protobuf::{self, Value};

const HEADER: usize = 8;
const REGULAR_FILE: u64 = 3;
const NAME: u64 = 6;
/// How CRIU calls them.
const PREFIX: &str = "link_remap.";

/// The bytes are no list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the image's list of files is damaged")]
pub struct Damaged;

/// The absolute paths of the links.
///
/// # Errors
/// [`Damaged`].
pub fn paths(image: &[u8]) -> Result<Vec<String>, Damaged> {
    let (_, mut rest) = image.split_at_checked(HEADER).ok_or(Damaged)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(Damaged)?;
        let (message, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Damaged)?;
        rest = after;
        for name in names(message)? {
            let path = format!("/{}", name.trim_start_matches('/'));
            let is_link = path.rsplit('/').next().is_some_and(|last| last.starts_with(PREFIX));
            if is_link && !path.split('/').any(|part| part == "..") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn names(message: &[u8]) -> Result<Vec<String>, Damaged> {
    let inside = |message, number| -> Result<Vec<&[u8]>, Damaged> {
        let fields = protobuf::fields(message).map_err(|_| Damaged)?;
        let bytes = fields.into_iter().filter(|field| field.number == number);
        Ok(bytes
            .filter_map(|field| if let Value::Bytes(bytes) = field.value { Some(bytes) } else { None })
            .collect())
    };
    let mut names = Vec::new();
    for file in inside(message, REGULAR_FILE)? {
        names.extend(inside(file, NAME)?.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage;

    fn image(names: &[&str]) -> Vec<u8> {
        let mut image = vec![1, 2, 3, 4, 5, 6, 7, 8];
        for name in names {
            let (mut file, mut entry) = (Vec::new(), Vec::new());
            protobuf::number(&mut file, 1, 26);
            protobuf::bytes(&mut file, NAME, name.as_bytes());
            protobuf::number(&mut entry, 1, 1);
            protobuf::bytes(&mut entry, REGULAR_FILE, &file);
            image.extend(u32::try_from(entry.len()).unwrap().to_le_bytes());
            image.extend(entry);
        }
        image
    }

    #[test]
    fn only_links_are_named() {
        let image =
            image(&["/usr/bin/perl", "home/brant/link_remap.26", "/a/link_remap.1/b", "/a/../link_remap.2"]);
        assert_eq!(paths(&image).unwrap(), ["/home/brant/link_remap.26"]);
    }

    #[test]
    fn damaged_lists_are_refused_or_read_and_nothing_else_happens() {
        damage::damaged(&image(&["home/brant/link_remap.26", "x"]), 20_000, |bytes| {
            let _refused_or_not = paths(bytes);
        });
        assert_eq!(paths(b"short"), Err(Damaged));
    }
}
