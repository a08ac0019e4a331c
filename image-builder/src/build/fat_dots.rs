//! Repairs the folders that crate `fatfs` 0.3 writes on FAT16.
//!
//! It gives "." and ".." long names, which they must not have, so that they are not the first two entries of
//! their folder. Firmware may look for them there, and `fsck.fat` calls every such folder broken.

const ENTRY: usize = 32;
const DELETED: u8 = 0xe5;
const LONG_NAME: u8 = 0x0f;
const VOLUME_LABEL: u8 = 0x08;
const FOLDER: u8 = 0x10;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

/// A file system that this repair does not understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DotsError {
    /// The boot sector, or a chain of clusters, is not that of FAT16; nothing was changed after it was found.
    #[error("the file system is not a sound FAT16")]
    NotFat16,
    /// A folder has no "." and ".." at all.
    #[error("a folder lacks its first two entries")]
    NoDots,
}

/// Where things are in a FAT16 image.
#[derive(Debug)]
struct Layout {
    table: usize,
    root: usize,
    root_length: usize,
    data: usize,
    cluster: usize,
}

impl Layout {
    fn read(image: &[u8]) -> Result<Self, DotsError> {
        let word = |at: usize| {
            let bytes = image.get(at..at + 2).ok_or(DotsError::NotFat16)?;
            Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        let byte = |at: usize| image.get(at).copied().map(usize::from).ok_or(DotsError::NotFat16);
        let (sector, cluster, tables, sectors_per_table) = (word(11)?, byte(13)?, byte(16)?, word(22)?);
        // A FAT32 says 0 here, and keeps the length of its table elsewhere.
        if sector < 512 || cluster == 0 || sectors_per_table == 0 {
            return Err(DotsError::NotFat16);
        }
        let table = word(14)? * sector;
        let root = table + tables * sectors_per_table * sector;
        let root_length = word(17)? * ENTRY;
        Ok(Self { table, root, root_length, data: root + root_length, cluster: cluster * sector })
    }

    /// The bytes that a chain of clusters covers, in order.
    fn chain(&self, image: &[u8], first: u16) -> Result<Vec<usize>, DotsError> {
        let mut places = Vec::new();
        let mut cluster = first;
        while (2..0xfff0).contains(&cluster) {
            let place = self.data + (usize::from(cluster) - 2) * self.cluster;
            if place + self.cluster > image.len() || places.len() > 0xffff {
                return Err(DotsError::NotFat16);
            }
            places.push(place);
            let link = self.table + 2 * usize::from(cluster);
            cluster = u16::from_le_bytes([image[link], image[link + 1]]);
        }
        Ok(places)
    }
}

/// Repairs every folder of the image.
///
/// # Errors
/// [`DotsError`]; the image is not to be used then.
pub(crate) fn repair(image: &mut [u8]) -> Result<(), DotsError> {
    let layout = Layout::read(image)?;
    let root: Vec<usize> = entries(layout.root, layout.root_length).collect();
    let mut pending = folders(image, &root);
    while let Some(first) = pending.pop() {
        let chain = layout.chain(image, first)?;
        let slots: Vec<usize> = chain.iter().flat_map(|place| entries(*place, layout.cluster)).collect();
        put_dots_first(image, &slots)?;
        pending.extend(folders(image, &slots));
    }
    Ok(())
}

fn entries(start: usize, length: usize) -> impl Iterator<Item = usize> {
    (start..start + length).step_by(ENTRY)
}

/// The first clusters of the folders in a folder.
fn folders(image: &[u8], slots: &[usize]) -> Vec<u16> {
    let used = slots.iter().map(|at| &image[*at..*at + ENTRY]).take_while(|entry| entry[0] != 0);
    let is_folder = |entry: &&[u8]| {
        let attributes = entry[11];
        entry[0] != DELETED
            && attributes & LONG_NAME != LONG_NAME
            && attributes & VOLUME_LABEL == 0
            && attributes & FOLDER != 0
            && entry[..11] != *DOT
            && entry[..11] != *DOT_DOT
    };
    used.filter(is_folder).map(|entry| u16::from_le_bytes([entry[26], entry[27]])).collect()
}

fn put_dots_first(image: &mut [u8], slots: &[usize]) -> Result<(), DotsError> {
    let find = |image: &[u8], name: &[u8; 11]| {
        let is_it =
            |at: &&usize| image[**at..**at + 11] == *name && image[**at + 11] & LONG_NAME != LONG_NAME;
        slots.iter().take(4).find(is_it).map(|at| image[*at..*at + ENTRY].to_vec()).ok_or(DotsError::NoDots)
    };
    let (dot, dot_dot) = (find(image, DOT)?, find(image, DOT_DOT)?);
    if image[slots[0]..slots[0] + ENTRY] == *dot && image[slots[1]..slots[1] + ENTRY] == *dot_dot {
        return Ok(());
    }
    for (slot, entry) in slots.iter().zip([Some(dot), Some(dot_dot), None, None]) {
        match entry {
            Some(entry) => image[*slot..*slot + ENTRY].copy_from_slice(&entry),
            None => {
                image[*slot..*slot + ENTRY].fill(0);
                image[*slot] = DELETED;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fat16_is_refused() {
        assert_eq!(repair(&mut []), Err(DotsError::NotFat16));
        assert_eq!(repair(&mut vec![0; 4096]), Err(DotsError::NotFat16));
    }
}
