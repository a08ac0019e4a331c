//! The links that CRIU makes for deleted files which still have another name (`--link-remap`), out of `files.img` and
//! `remap-fpath.img`.
//!
//! ```text
//! file  = two magics, record*     record = length: u32 (little-endian), protobuf message
//! files       = 1: type, 2: id, 3: a regular file { 1: id, …, 6: name }, …
//! remap-fpath = 1: id of the deleted file, 2: id of the link, …
//! ```
//!
//! A file that was deleted while NFS had it open is such a file: its other name is `.nfs…`. CRIU removes its links again
//! after a dump that leaves the process alive, so they have to be made anew for the restore, which uses them up
//! (CRIU 4.1.1, `images/fdinfo.proto`, `regfile.proto`, `remap-file-path.proto`).

use crate::protobuf::{self, Value};
use std::collections::BTreeMap;

const HEADER: usize = 8;
const REGULAR_FILE: u64 = 3;
const ID: u64 = 1;
const NAME: u64 = 6;
const ORIGINAL: u64 = 1;
const LINK: u64 = 2;
/// How CRIU calls them.
const PREFIX: &str = "link_remap.";

/// The bytes are no list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the image's list of files is damaged")]
pub struct Damaged;

/// A link that a restore wants to find; both paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name that the file has.
    pub of: String,
    /// The name that the restore looks for.
    pub path: String,
}

/// The links of an image.
///
/// # Errors
/// [`Damaged`].
pub fn links(files: &[u8], remaps: &[u8]) -> Result<Vec<Link>, Damaged> {
    let mut names = BTreeMap::new();
    for message in records(files)? {
        for file in bytes(message, REGULAR_FILE)? {
            let name = bytes(file, NAME)?.first().map(|name| String::from_utf8_lossy(name).into_owned());
            if let (Some(id), Some(name)) = (number(file, ID)?, name) {
                names.insert(id, format!("/{}", name.trim_start_matches('/')));
            }
        }
    }
    let mut found = Vec::new();
    for message in records(remaps)? {
        let name = |key| Ok::<_, Damaged>(number(message, key)?.and_then(|id| names.get(&id)));
        let (Some(of), Some(path)) = (name(ORIGINAL)?, name(LINK)?) else { continue };
        let is_link = path.rsplit('/').next().is_some_and(|last| last.starts_with(PREFIX));
        if is_link && ![of, path].iter().any(|path| path.split('/').any(|part| part == "..")) {
            found.push(Link { of: of.clone(), path: path.clone() });
        }
    }
    Ok(found)
}

fn records(image: &[u8]) -> Result<Vec<&[u8]>, Damaged> {
    let (_, mut rest) = image.split_at_checked(HEADER).ok_or(Damaged)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(Damaged)?;
        let (message, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(Damaged)?;
        records.push(message);
        rest = after;
    }
    Ok(records)
}

fn bytes(message: &[u8], key: u64) -> Result<Vec<&[u8]>, Damaged> {
    let fields =
        protobuf::fields(message).map_err(|_| Damaged)?.into_iter().filter(|field| field.number == key);
    Ok(fields
        .filter_map(|field| if let Value::Bytes(bytes) = field.value { Some(bytes) } else { None })
        .collect())
}

fn number(message: &[u8], key: u64) -> Result<Option<u64>, Damaged> {
    let fields = protobuf::fields(message).map_err(|_| Damaged)?;
    let field = fields.into_iter().find(|field| field.number == key);
    Ok(field.and_then(|field| if let Value::Number(number) = field.value { Some(number) } else { None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage;

    fn image(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut image = vec![1, 2, 3, 4, 5, 6, 7, 8];
        for message in messages {
            image.extend(u32::try_from(message.len()).unwrap().to_le_bytes());
            image.extend(message);
        }
        image
    }

    fn file(id: u64, name: &str) -> Vec<u8> {
        let (mut file, mut entry) = (Vec::new(), Vec::new());
        protobuf::number(&mut file, ID, id);
        protobuf::bytes(&mut file, NAME, name.as_bytes());
        protobuf::number(&mut entry, 1, 1);
        protobuf::bytes(&mut entry, REGULAR_FILE, &file);
        entry
    }

    fn remap(original: u64, link: u64) -> Vec<u8> {
        let mut entry = Vec::new();
        protobuf::number(&mut entry, ORIGINAL, original);
        protobuf::number(&mut entry, LINK, link);
        entry
    }

    #[test]
    fn a_link_is_named_with_the_file_it_is_of() {
        let files = image(&[
            file(1, "/usr/bin/perl"),
            file(25, "home/brant/.nfs01"),
            file(26, "home/brant/link_remap.26"),
            file(27, "/a/../link_remap.2"),
        ]);
        let remaps = image(&[remap(25, 26), remap(1, 27), remap(1, 99), remap(26, 25)]);
        let link = Link { of: "/home/brant/.nfs01".to_owned(), path: "/home/brant/link_remap.26".to_owned() };
        assert_eq!(links(&files, &remaps).unwrap(), [link]);
    }

    #[test]
    fn damaged_lists_are_refused_or_read_and_nothing_else_happens() {
        let files = image(&[file(25, "a/.nfs1"), file(26, "a/link_remap.26")]);
        let remaps = image(&[remap(25, 26)]);
        damage::damaged(&files, 10_000, |bytes| drop(links(bytes, &remaps)));
        damage::damaged(&remaps, 10_000, |bytes| drop(links(&files, bytes)));
        assert_eq!(links(b"short", &remaps), Err(Damaged));
    }
}
