//! Keys of any length. LMDB takes 511 bytes at most.
//!
//! A key of up to `PLAIN` bytes is stored as it is. The longer ones that begin with the same `PLAIN` bytes are a *family*: its keys lie
//! sorted in chunks, each stored under these bytes and the chunk's number. A chunk that has become large is split, and the new
//! one takes a number between its neighbours. The length of a stored key says which it is, and the byte order of stored keys is the
//! order of keys: a plain key of exactly `PLAIN` bytes stands before the family that it begins.

use super::format::NUMBER;

/// A chunk with more bytes than this and more than one entry is split: with its page head it fills two pages.
pub const LARGE: usize = 8000;
/// The number of a family's first chunk, and how far apart numbers are made where there is room.
pub const FIRST: u64 = 1 << 62;
pub const GAP: u64 = 1 << 40;

/// A key without its first `PLAIN` bytes, and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// The entries of a chunk; None if the bytes are no chunk.
pub fn read(bytes: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (key_len, after) = rest.split_first_chunk::<4>()?;
        let (value_len, after) = after.split_first_chunk::<4>()?;
        let (key, after) = after.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
        let (value, after) = after.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
        entries.push((key, value));
        rest = after;
    }
    let sorted = entries.windows(2).all(|two| two[0].0 < two[1].0);
    (sorted && !entries.is_empty() && entries.iter().all(|(key, _)| !key.is_empty())).then_some(entries)
}

/// The first key of a chunk, without a look at the others.
pub fn first(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(4..)?.get(..u32::from_le_bytes(*len) as usize)
}

pub fn write(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size(entries));
    for (key, value) in entries {
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
    }
    bytes
}

pub fn size(entries: &[Entry<'_>]) -> usize {
    entries.iter().map(|(key, value)| 8 + key.len() + value.len()).sum()
}

/// Where to cut the entries of a large chunk: as near to the middle of its bytes as whole entries allow. None leaves it whole.
pub fn cut(entries: &[Entry<'_>]) -> Option<usize> {
    let total = size(entries);
    if entries.len() < 2 || total <= LARGE {
        return None;
    }
    let mut before = 0;
    let middle = entries.iter().position(|entry| {
        before += size(&[*entry]);
        before * 2 >= total
    });
    // The entry that crosses the middle goes to the left, unless it is the last or the first has it all.
    Some((middle.unwrap_or(0) + 1).min(entries.len() - 1))
}

/// The stored key of a chunk: what all its keys begin with (the table's prefix included), and its number.
pub fn stored_key(family: &[u8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(family.len() + NUMBER);
    key.extend_from_slice(family);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in a chunk's stored key.
pub fn number(stored: &[u8]) -> u64 {
    stored.last_chunk::<NUMBER>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A number for a new chunk after the one at `number`, before `next`. None if there is no room: the family must be numbered anew.
pub fn number_after(number: u64, next: Option<u64>) -> Option<u64> {
    match next {
        Some(next) => (next - number > 1).then(|| number + (next - number) / 2),
        None => number.checked_add(GAP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_is_none() {
        let entries: Vec<Entry> = vec![(b"a", b"1"), (b"ab", b""), (b"b", &[7; 300])];
        let bytes = write(&entries);
        assert_eq!(read(&bytes).as_deref(), Some(&entries[..]));
        assert_eq!(first(&bytes), Some(&b"a"[..]));
        for end in 1..bytes.len() {
            assert!(read(&bytes[..end]).is_none_or(|cut| cut.len() < entries.len()));
        }
        assert_eq!(read(&write(&[(b"b", b""), (b"a", b"")])), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_cut_leaves_both_sides_an_entry() {
        let big = vec![0; 3 * LARGE];
        assert_eq!(cut(&[(b"a", &big)]), None);
        assert_eq!(cut(&[(b"a", &big), (b"b", b"")]), Some(1));
        assert_eq!(cut(&[(b"a", b""), (b"b", &big)]), Some(1));
        let small: Vec<Entry> = vec![(b"k", &big[..1000]); 10];
        assert_eq!(cut(&small), Some(5));
    }
}
