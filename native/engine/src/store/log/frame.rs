//! Bytes of the log: a segment begins with a header, frames follow.
//!
//! A *position* counts the bytes of frames since the log was made; headers and unused ends of segments do not count. So a frame
//! that is written again to another segment keeps its position, and where one segment ends is where the next one begins.
//!
//! Header of a segment, in its first page: magic (8 bytes), version u32, 0 u32, database u64, number u64, salt u64, length of the
//! file u64, check u64. It is written and synced before the file gets the name of a segment, and never changed then.
//!
//! Header of a frame: check u64 (over the salt, the place in the file, and what follows), hash of the payload u64, highest
//! position known synced u64, length of the payload u32, kind u8, three zeros. The payload follows, filled up to eight bytes. All
//! numbers are little endian. The first frame of a segment says at which position it begins; it does not count in positions
//! itself.

use rapidhash::v3::rapidhash_v3;

pub const VERSION: u32 = 1;
pub const MAGIC: [u8; 8] = *b"RMNSIALG";
/// Where the first frame is in a segment.
pub const SEGMENT_HEAD: u64 = 4096;
pub const HEAD: usize = 32;
/// Where the frames are that count, behind the [`Kind::Begin`].
pub const DATA: u64 = SEGMENT_HEAD + HEAD as u64 + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A transaction.
    Whole = 1,
    /// A piece of a transaction: u64 that names it (where its first piece begins), then bytes.
    Part = 2,
    /// The last piece: with it the transaction is committed.
    Last = 3,
    /// Atoms that frames after this one use: u32 id, u16 length, text, again and again.
    Atoms = 4,
    /// Here a process took over: pieces before it that have no last one never get it.
    Restart = 5,
    /// Nothing; it carries the mark in its head.
    Mark = 6,
    /// The first of a segment: the position of the next one, u64.
    Begin = 7,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        [Whole, Part, Last, Atoms, Restart, Mark, Begin].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Bytes a frame takes.
#[inline]
pub fn size(payload: usize) -> usize {
    HEAD + payload.next_multiple_of(8)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline]
fn check(salt: u64, at: u64, rest: &[u8]) -> u64 {
    let mut all = [0; 16 + HEAD - 8];
    all[..8].copy_from_slice(&salt.to_le_bytes());
    all[8..16].copy_from_slice(&at.to_le_bytes());
    all[16..].copy_from_slice(rest);
    rapidhash_v3(&all)
}

/// Appends a frame that will stand at byte `at` of its file; its payload is the parts one after the other, `hash` the hash of
/// them all (see [`hash`]).
#[inline]
pub fn put(out: &mut Vec<u8>, kind: Kind, salt: u64, at: u64, synced: u64, parts: [&[u8]; 2], hash: u64) {
    let len = parts[0].len() + parts[1].len();
    let mut head = [0; HEAD];
    head[8..16].copy_from_slice(&hash.to_le_bytes());
    head[16..24].copy_from_slice(&synced.to_le_bytes());
    head[24..28].copy_from_slice(&(len as u32).to_le_bytes());
    head[28] = kind as u8;
    let check = check(salt, at, &head[8..]);
    head[..8].copy_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
    let fill = len.next_multiple_of(8) - len;
    out.extend_from_slice(&[0; 8][..fill]);
}

/// Hash of a payload in two parts. The first is empty or the eight bytes of a transaction's name.
#[inline]
pub fn hash(parts: [&[u8]; 2]) -> u64 {
    let mut hash = rapidhash_v3(parts[1]);
    if !parts[0].is_empty() {
        hash ^= rapidhash_v3(parts[0]).rotate_left(32);
    }
    hash
}

/// A frame in memory.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub kind: Kind,
    pub synced: u64,
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub size: usize,
}

impl<'a> Frame<'a> {
    /// The transaction that a piece belongs to, and its bytes.
    pub fn piece(&self) -> Option<(u64, &'a [u8])> {
        let (name, bytes) = self.payload.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*name), bytes))
    }
}

/// The head at the beginning of `bytes`, if it is sound: kind, synced, length, hash.
fn head(bytes: &[u8], salt: u64, at: u64) -> Option<(Kind, u64, usize, u64)> {
    let head = bytes.get(..HEAD)?;
    // What looks for heads anywhere looks here first.
    if head[28] == 0 || head[28] > Kind::Begin as u8 || head[29..] != [0; 3] {
        return None;
    }
    if word(head, 0) != check(salt, at, &head[8..]) {
        return None;
    }
    let len = (word(head, 24) & 0xffff_ffff) as usize;
    Some((Kind::of(head[28])?, word(head, 16), len, word(head, 8)))
}

/// The frame at the beginning of `bytes`, which are at byte `at` of their file, if it is sound.
pub fn read(bytes: &[u8], salt: u64, at: u64) -> Option<Frame<'_>> {
    let (kind, synced, len, want) = head(bytes, salt, at)?;
    let payload = bytes.get(HEAD..HEAD + len)?;
    let size = size(len);
    let whole = bytes.len() >= size;
    let cut = if matches!(kind, Kind::Part | Kind::Last) { 8.min(len) } else { 0 };
    let (name, rest) = payload.split_at(cut);
    (whole && hash([name, rest]) == want).then_some(Frame { kind, synced, payload, size })
}

/// How many bytes it takes to say whether the frame at the beginning of `bytes` is sound.
pub fn wanted(bytes: &[u8], salt: u64, at: u64) -> usize {
    head(bytes, salt, at).map_or(HEAD, |(_, _, len, _)| size(len))
}

/// The highest mark in any sound head of `bytes`, whatever lies between them; None if there is no sound head.
pub fn highest_mark(bytes: &[u8], salt: u64, at: u64) -> Option<u64> {
    let heads = (0..bytes.len() / 8).filter_map(|n| head(&bytes[8 * n..], salt, at + 8 * n as u64));
    heads.map(|(_, synced, ..)| synced).max()
}

/// Gives the frames of `bytes` another salt and place.
pub fn resalt(bytes: &mut [u8], salt: u64, place: u64) {
    let mut at = 0;
    while at + HEAD <= bytes.len() {
        let check = check(salt, place + at as u64, &bytes[at + 8..at + HEAD]);
        bytes[at..at + 8].copy_from_slice(&check.to_le_bytes());
        at += length(&bytes[at..]);
    }
}

/// Bytes of the frame at the beginning of bytes that are known to be frames.
pub fn length(bytes: &[u8]) -> usize {
    size((word(bytes, 24) & 0xffff_ffff) as usize)
}

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    pub database: u64,
    pub number: u64,
    pub salt: u64,
    pub len: u64,
}

/// What is in the first bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked {
    Head(SegmentHead),
    Foreign,
    Newer(u32),
    Bad,
}

impl SegmentHead {
    pub const LEN: usize = 56;
    const CHECK: usize = Self::LEN - 8;

    pub fn bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        for (i, word) in [self.database, self.number, self.salt, self.len].into_iter().enumerate() {
            out[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        let check = rapidhash_v3(&out[..Self::CHECK]);
        out[Self::CHECK..].copy_from_slice(&check.to_le_bytes());
        out
    }

    pub fn read(bytes: &[u8]) -> Looked {
        let Some(bytes) = bytes.get(..Self::LEN) else { return Looked::Bad };
        if bytes[..8] != MAGIC {
            return Looked::Foreign;
        }
        let version = (word(bytes, 8) & 0xffff_ffff) as u32;
        if version > VERSION {
            return Looked::Newer(version);
        }
        if word(bytes, Self::CHECK) != rapidhash_v3(&bytes[..Self::CHECK]) || version == 0 {
            return Looked::Bad;
        }
        let [database, number, salt, len] = std::array::from_fn(|i| word(bytes, 16 + 8 * i));
        Looked::Head(SegmentHead { database, number, salt, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let mut out = Vec::new();
        let payload = b"hello frame";
        put(&mut out, Kind::Whole, 7, 100, 3, [&[], payload], hash([&[], payload]));
        assert_eq!(out.len(), size(payload.len()));
        let frame = read(&out, 7, 100).expect("sound");
        assert_eq!((frame.kind, frame.synced, frame.payload), (Kind::Whole, 3, &payload[..]));
        assert!(read(&out, 8, 100).is_none() && read(&out, 7, 101).is_none(), "salt and place count");
        for bit in 0..8 * (HEAD + payload.len()) {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, 7, 100).is_none(), "bit {bit}");
        }
        assert_eq!(highest_mark(&out, 7, 100), Some(3));
        resalt(&mut out, 9, 200);
        assert!(read(&out, 9, 200).is_some());
    }

    #[test]
    fn heads() {
        let head = SegmentHead { database: 1, number: 2, salt: 3, len: 4 };
        let bytes = head.bytes();
        assert_eq!(SegmentHead::read(&bytes), Looked::Head(head));
        assert_eq!(SegmentHead::read(&[0; 56]), Looked::Foreign);
        for at in 0..56 {
            let mut bad = bytes;
            bad[at] ^= 0x40;
            assert!(!matches!(SegmentHead::read(&bad), Looked::Head(_)), "byte {at}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert_eq!(SegmentHead::read(&newer), Looked::Newer(2));
    }
}
