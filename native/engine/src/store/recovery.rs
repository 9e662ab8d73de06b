//! Opening: the base store stands at a position, the log goes on from there. What was torn is cut off; what was synced and is not
//! there any more is an error, and nothing is changed then.
//!
//! Every header and frame carries a *mark*: a position up to which the log was known to be synced. What is bad below the highest
//! mark that can be found anywhere, even behind the damage, is damage. What is bad above it was being written when the machine
//! stopped: it and all that follows goes, its place is filled with zeros and synced before anything is appended.
//!
//! A log that was closed and ends where it ended then is not looked through for marks.

use super::file::{Dir, File};
use super::flush::{begins, meta};
use super::log::frame::{self, Looked, SegmentHead, DATA, HEAD, SEGMENT_HEAD};
use super::log::segment::{name, number, random, Closed, NEW};
use super::newest::Newest;
use super::{Base, StoreError};

/// The format of base store and log that this version writes.
pub const FORMAT: u32 = 1;

/// What the log held.
pub struct Found {
    pub newest: Newest,
    /// Where the log ends.
    pub tail: u64,
    pub next_number: u64,
    /// Segments that the base store does not have yet.
    pub closed: Vec<Closed>,
    /// Files of no further use.
    pub old: Vec<u64>,
    /// Where replay began.
    pub from: u64,
    /// Bytes that were cut off, at least.
    pub cut: u64,
}

struct Head {
    head: SegmentHead,
    /// The position of its first frame; none begins in a spare.
    first: u64,
    /// Where the next segment begins.
    end: u64,
}

struct Cut {
    number: u64,
    /// In the file.
    at: u64,
}

/// Bytes of a file that are looked at together.
const PIECE: usize = 256 << 10;

/// Reads format and identity of the base store; gives a new one its own.
pub fn identify(base: &dyn Base, path: &std::path::Path) -> Result<u64, StoreError> {
    let number = |bytes: Option<Vec<u8>>| bytes.and_then(|b| b.first_chunk::<4>().copied()).map(u32::from_le_bytes);
    match number(base.meta(meta::FORMAT)?) {
        Some(found) if found > FORMAT => return Err(StoreError::NewerFormat { path: path.into(), found, known: FORMAT }),
        _ => {}
    }
    match base.meta(meta::DATABASE)? {
        Some(bytes) => {
            let database = bytes.first_chunk::<8>().copied().map(u64::from_le_bytes);
            database.ok_or_else(|| StoreError::corrupt(path, 0, "the database has no identity"))
        }
        None => {
            let database = random();
            let names = [(meta::FORMAT, Some(&FORMAT.to_le_bytes()[..])), (meta::DATABASE, Some(&database.to_le_bytes()[..]))];
            base.apply(&super::base::Batch { meta: &names, ..Default::default() })?;
            Ok(database)
        }
    }
}

/// Reads the log from the position at which the base store stands. Nothing is changed but what was torn. `closed`: where it ended if it was closed
/// in order and nobody has opened it since.
pub fn recover(dir: &dyn Dir, base: &dyn Base, database: u64, closed: Option<u64>) -> Result<Found, StoreError> {
    let from = base.position()?;
    let (heads, spares) = heads(dir, database)?;
    let numbers = heads.iter().chain(&spares).map(|h| h.head.number);
    let mut found = Found {
        newest: Newest::default(),
        tail: from,
        next_number: numbers.max().map_or(1, |n| n.saturating_add(1)),
        closed: Vec::new(),
        old: spares.iter().map(|h| h.head.number).collect(),
        from,
        cut: 0,
    };
    if heads.is_empty() && base.meta(meta::LOG)?.is_some() {
        return Err(StoreError::Missing { path: dir.path(&name(1)) });
    }
    // Segments that end where they begin were written again elsewhere, or hold nothing.
    let (live, dead): (Vec<_>, Vec<_>) = heads.into_iter().partition(|h| h.end > from && h.end > h.first);
    found.old.extend(dead.iter().map(|h| h.head.number));
    if let Some(first) = live.first().filter(|h| h.first > from) {
        let path = dir.path(&name(first.head.number));
        return Err(StoreError::corrupt(&path, 0, "the log before this segment is missing"));
    }
    let mut mark = from;
    let cut = replay(dir, &live, &mut found, &mut mark)?;
    if closed == Some(found.tail) {
        return Ok(found);
    }
    // Where replay ended, and what it did not get to.
    let unread = live.iter().filter_map(|h| match &cut {
        Some(cut) if h.head.number >= cut.number => Some((h, if h.head.number == cut.number { cut.at } else { SEGMENT_HEAD })),
        _ => None,
    });
    mark = mark.max(highest_mark(dir, unread.chain(spares.iter().map(|h| (h, SEGMENT_HEAD))))?);
    if mark > found.tail {
        let number = cut.as_ref().map_or(0, |c| c.number);
        let what = format!("a bad record at position {}, and the log is known to be safe up to {mark}", found.tail);
        return Err(StoreError::corrupt(&dir.path(&name(number)), cut.map_or(0, |c| c.at), what));
    }
    if let Some(cut) = cut {
        found.cut = cut_off(dir, &live, &cut)?;
    }
    for name in dir.list()?.into_iter().filter(|name| name.starts_with(NEW)) {
        dir.remove(&name)?;
    }
    Ok(found)
}

/// All segments in order, and spares.
fn heads(dir: &dyn Dir, database: u64) -> Result<(Vec<Head>, Vec<Head>), StoreError> {
    let (mut heads, mut spares) = (Vec::new(), Vec::new());
    for (file_name, number) in dir.list()?.into_iter().filter_map(|name| number(&name).map(|number| (name, number))) {
        let path = dir.path(&file_name);
        let file = dir.open(&file_name)?;
        let mut bytes = [0; DATA as usize];
        let read = file.read_at(0, &mut bytes)?;
        let head = match SegmentHead::read(&bytes[..read]) {
            Looked::Newer(found) => return Err(StoreError::NewerFormat { path, found, known: frame::VERSION }),
            Looked::Foreign => return Err(StoreError::Foreign { path }),
            Looked::Bad => return Err(StoreError::corrupt(&path, 0, "a bad header")),
            Looked::Head(head) => head,
        };
        if head.database != database {
            return Err(StoreError::corrupt(&path, 16, "the segment belongs to another database"));
        }
        if head.number != number {
            return Err(StoreError::corrupt(&path, 24, "the segment has another number than its name"));
        }
        let len = file.len()?;
        if len < head.len {
            return Err(StoreError::corrupt(&path, len, "the segment is cut off"));
        }
        match begins(&bytes[..read], head.salt) {
            Some(first) => heads.push(Head { head, first, end: u64::MAX }),
            None => spares.push(Head { head, first: u64::MAX, end: u64::MAX }),
        }
    }
    heads.sort_unstable_by_key(|h: &Head| h.head.number);
    let mut end = u64::MAX;
    for head in heads.iter_mut().rev() {
        head.end = end;
        end = end.min(head.first);
    }
    Ok((heads, spares))
}

/// A file that is read as far as it is looked at.
struct Piecewise {
    file: Box<dyn File>,
    bytes: Vec<u8>,
    len: usize,
}

impl Piecewise {
    fn open(dir: &dyn Dir, head: &Head) -> Result<Piecewise, StoreError> {
        let file = dir.open(&name(head.head.number))?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        Ok(Piecewise { file, bytes: Vec::new(), len })
    }

    /// The frame at byte `at`, if it is sound: its size and mark.
    fn frame(&mut self, salt: u64, at: usize) -> Result<Option<(usize, u64)>, StoreError> {
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let wanted = at.saturating_add(frame::wanted(rest, salt, at as u64));
            if wanted <= self.bytes.len() || self.bytes.len() >= self.len {
                return Ok(frame::read(rest, salt, at as u64).map(|frame| (frame.size, frame.synced)));
            }
            let from = self.bytes.len();
            self.bytes.resize(wanted.max(2 * from).max(PIECE).min(self.len), 0);
            let read = self.file.read_at(from as u64, &mut self.bytes[from..])?;
            if from + read < self.bytes.len() {
                self.bytes.truncate(from + read);
                self.len = from + read;
            }
        }
    }
}

/// Reads segments until something is bad, and says where: the end of the log, as a rule. `mark` becomes the highest that was met.
fn replay(dir: &dyn Dir, live: &[Head], found: &mut Found, mark: &mut u64) -> Result<Option<Cut>, StoreError> {
    let Some(first) = live.first() else { return Ok(None) };
    found.tail = first.first;
    for segment in live {
        let Head { head, first, end } = segment;
        let mut file = Piecewise::open(dir, segment)?;
        let mut at = DATA as usize;
        if let Some((_, begun)) = file.frame(head.salt, SEGMENT_HEAD as usize)? {
            *mark = begun.max(*mark);
        }
        // What the segment before lacks up to here was found there.
        while found.tail < *end {
            let Some((size, synced)) = file.frame(head.salt, at)? else { break };
            *mark = synced.max(*mark);
            at += size;
            found.tail += size as u64;
        }
        let path = dir.path(&name(head.number));
        let taken = found.newest.segment(file.bytes, at, head.salt, *first);
        taken.map_err(|at| StoreError::corrupt(&path, at as u64, "a sound frame with wrong contents"))?;
        found.closed.push(Closed { number: head.number, first: *first, end: found.tail });
        if found.tail != *end {
            return Ok(Some(Cut { number: head.number, at: at as u64 }));
        }
    }
    Ok(None)
}

/// The highest mark in any of the segments, each from a place on.
fn highest_mark<'a>(dir: &dyn Dir, segments: impl Iterator<Item = (&'a Head, u64)>) -> Result<u64, StoreError> {
    let mut mark = 0;
    for (segment, from) in segments {
        let file = dir.open(&name(segment.head.number))?;
        // Frames beyond the end were written again to the next segment; of a spare nothing was.
        let end = match segment.first {
            u64::MAX => u64::MAX,
            first => segment.end.saturating_sub(first).saturating_add(DATA),
        };
        mark = mark.max(highest_in(&*file, from..end, segment.head.salt)?.unwrap_or(0));
    }
    Ok(mark)
}

/// The highest mark in a stretch of a file; None if it has no sound head.
fn highest_in(file: &dyn File, range: std::ops::Range<u64>, salt: u64) -> Result<Option<u64>, StoreError> {
    let (mut at, end) = (range.start, range.end.min(file.len()?));
    // A head may begin in one piece and end in the next.
    let mut piece = vec![0; PIECE + HEAD - 8];
    let mut mark = None;
    while at < end {
        let wanted = piece.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = file.read_at(at, &mut piece[..wanted])?;
        mark = mark.max(frame::highest_mark(&piece[..read], salt, at));
        at += PIECE as u64;
    }
    Ok(mark)
}

/// Removes later segments, and fills the rest of the segment with zeros, synced, if frames of its own are there: what an earlier
/// life of the file left has another salt. Answers the bytes that were not zero.
fn cut_off(dir: &dyn Dir, live: &[Head], cut: &Cut) -> Result<u64, StoreError> {
    // The last ones first, so that what is left is always a log.
    for later in live.iter().rev().take_while(|h| h.head.number > cut.number) {
        dir.remove(&name(later.head.number))?;
        dir.sync_names()?;
    }
    let Some(segment) = live.iter().find(|h| h.head.number == cut.number) else { return Ok(0) };
    let file = dir.open(&name(cut.number))?;
    if highest_in(&*file, cut.at..u64::MAX, segment.head.salt)?.is_none() {
        return Ok(0);
    }
    let (zeros, mut piece) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut at, mut gone) = (cut.at, 0);
    loop {
        let read = file.read_at(at, &mut piece)?;
        if read == 0 {
            break;
        }
        let waste = piece[..read].iter().filter(|&&b| b != 0).count() as u64;
        if waste > 0 {
            file.write_at(at, &zeros[..read])?;
            gone += waste;
        }
        at += read as u64;
    }
    file.sync()?;
    Ok(gone)
}
