//! Segments: files of one length, but for short ones that somebody waits for, numbered in the order of their use.

use super::frame::{self, Kind, SegmentHead, DATA, SEGMENT_HEAD};
use crate::store::file::{Dir, File};
use crate::store::StoreError;
use std::hash::{BuildHasher, RandomState};

/// An open segment with a header.
pub struct Segment {
    pub number: u64,
    pub salt: u64,
    /// Position of its first frame.
    pub first: u64,
    pub len: u64,
    pub file: Box<dyn File>,
}

/// A segment that takes no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub number: u64,
    pub first: u64,
    pub end: u64,
}

/// A segment in which nothing begins yet: header and name are on disc.
pub struct Spare {
    pub number: u64,
    pub len: u64,
    salt: u64,
    file: Box<dyn File>,
}

/// A file on its way to become a segment has a name that begins so; one that is found at start is of no use.
pub const NEW: &str = "new-";

fn new_name(number: u64) -> String {
    format!("{NEW}{number:016x}")
}

pub fn name(number: u64) -> String {
    format!("log-{number:016x}")
}

/// The number in the name of a segment.
pub fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-").filter(|d| d.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A number that nobody can foresee.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The longest frame of segments of this length: what a segment may leave unused at its end.
pub fn most(len: u64) -> u64 {
    (64 * 1024).min((len - DATA) / 4) & !7
}

/// The length of a segment that somebody waits for: a longer one is made while it is used.
pub fn short(len: u64) -> u64 {
    len.min(2 << 20)
}

/// Bytes of frames that a segment of this length takes at least.
pub fn credit(len: u64) -> i64 {
    (len - DATA - most(len)) as i64
}

impl Spare {
    /// The one to begin with at once: an old one if it has the length, else a short one.
    pub fn at_once(dir: &dyn Dir, database: u64, number: u64, len: u64, old: Option<u64>) -> Result<Spare, StoreError> {
        let whole = match old {
            Some(old) => dir.open(&name(old))?.len()? == len,
            None => false,
        };
        Self::prepare(dir, database, number, if whole { len } else { short(len) }, old)
    }

    /// Makes a file, or takes one that is no longer needed.
    pub fn prepare(dir: &dyn Dir, database: u64, number: u64, len: u64, old: Option<u64>) -> Result<Spare, StoreError> {
        let prepared = Self::try_prepare(dir, database, number, len, old);
        if prepared.is_err() {
            let _ = dir.remove(&new_name(number));
        }
        prepared
    }

    fn try_prepare(dir: &dyn Dir, database: u64, number: u64, len: u64, old: Option<u64>) -> Result<Spare, StoreError> {
        let new = new_name(number);
        let file = match old {
            Some(old) => Self::recycle(dir, &new, len, old)?,
            None => dir.create(&new, len)?,
        };
        let salt = random();
        // With a header and without a beginning: what an earlier life left has another salt.
        let mut page = [0; (DATA - SEGMENT_HEAD) as usize + SEGMENT_HEAD as usize];
        page[..SegmentHead::LEN].copy_from_slice(&SegmentHead { database, number, salt, len }.bytes());
        file.write_at(0, &page)?;
        file.sync()?;
        dir.rename(&new, &name(number))?;
        dir.sync_names()?;
        Ok(Spare { number, len, salt, file })
    }

    fn recycle(dir: &dyn Dir, new: &str, len: u64, old: u64) -> Result<Box<dyn File>, StoreError> {
        dir.rename(&name(old), new)?;
        // Durable before the header changes: a name never stands for another segment's header.
        dir.sync_names()?;
        let file = dir.open(new)?;
        if file.len()? != len {
            dir.remove(new)?;
            return dir.create(new, len);
        }
        // Read once, so that a committer does not wait for the disc when it writes a part of a page.
        let mut page = vec![0; 64 * 1024];
        let mut at = 0;
        while at < len {
            at += file.read_at(at, &mut page)?.max(1) as u64;
        }
        Ok(file)
    }

    /// Writes the frame that begins it at a position.
    pub fn begin(self, first: u64, synced: u64) -> Result<Segment, StoreError> {
        let mut begin = Vec::with_capacity(frame::HEAD + 8);
        let payload = first.to_le_bytes();
        let hash = frame::hash([&[], &payload]);
        frame::put(&mut begin, Kind::Begin, self.salt, SEGMENT_HEAD, synced, [&[], &payload], hash);
        self.file.write_at(SEGMENT_HEAD, &begin)?;
        Ok(Segment { number: self.number, salt: self.salt, first, len: self.len, file: self.file })
    }
}
