//! Opening: the base store stands at a position, the log goes on from there. What was torn is cut off; what was synced and is not
//! there any more is an error, and nothing is changed then.
//!
//! Every header and frame carries a *mark*: a position up to which the log was known to be synced. What is bad below the highest
//! mark that can be found anywhere, even behind the damage, is damage. What is bad above it was being written when the machine
//! stopped: it and all that follows goes, its place is filled with zeros and synced before anything is appended.

use super::file::Dir;
use super::flush::{begins, meta};
use super::log::frame::{self, Looked, SegmentHead, DATA, SEGMENT_HEAD};
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

/// Reads the log from the position at which the base store stands. Nothing is changed but what was torn.
pub fn recover(dir: &dyn Dir, base: &dyn Base, database: u64) -> Result<Found, StoreError> {
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
    let cut = replay(dir, &live, &mut found)?;
    let mark = highest_mark(dir, live.iter().chain(&spares))?.max(from);
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

fn whole(dir: &dyn Dir, head: &Head) -> Result<Vec<u8>, StoreError> {
    let file = dir.open(&name(head.head.number))?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads segments until something is bad, and says where: the end of the log, as a rule.
fn replay(dir: &dyn Dir, live: &[Head], found: &mut Found) -> Result<Option<Cut>, StoreError> {
    let Some(first) = live.first() else { return Ok(None) };
    found.tail = first.first;
    for segment in live {
        let Head { head, first, end } = segment;
        let bytes = whole(dir, segment)?;
        let mut at = DATA as usize;
        // What the segment before lacks up to here was found there.
        while found.tail < *end {
            let Some(frame) = frame::read(bytes.get(at..).unwrap_or_default(), head.salt, at as u64) else { break };
            at += frame.size;
            found.tail += frame.size as u64;
        }
        let path = dir.path(&name(head.number));
        let taken = found.newest.segment(bytes, at, head.salt, *first);
        taken.map_err(|at| StoreError::corrupt(&path, at as u64, "a sound frame with wrong contents"))?;
        found.closed.push(Closed { number: head.number, first: *first, end: found.tail });
        if found.tail != *end {
            return Ok(Some(Cut { number: head.number, at: at as u64 }));
        }
    }
    Ok(None)
}

/// The highest mark in any of the segments.
fn highest_mark<'a>(dir: &dyn Dir, segments: impl Iterator<Item = &'a Head>) -> Result<u64, StoreError> {
    let mut mark = 0;
    for segment in segments {
        let bytes = whole(dir, segment)?;
        let frames = bytes.get(SEGMENT_HEAD as usize..).unwrap_or_default();
        // Frames beyond the end were written again to the next segment.
        let len = usize::try_from(segment.end.saturating_sub(segment.first)).unwrap_or(usize::MAX);
        let len = len.saturating_add((DATA - SEGMENT_HEAD) as usize).min(frames.len());
        let len = if segment.first == u64::MAX { frames.len() } else { len };
        mark = mark.max(frame::highest_mark(&frames[..len], segment.head.salt, SEGMENT_HEAD).unwrap_or(0));
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
    let mut bytes = whole(dir, segment)?;
    let rest = bytes.split_off(bytes.len().min(cut.at as usize));
    if frame::highest_mark(&rest, segment.head.salt, cut.at).is_none() {
        return Ok(0);
    }
    let file = dir.open(&name(cut.number))?;
    let zeros = vec![0; 64 * 1024];
    let mut gone = 0;
    for (n, page) in rest.chunks(zeros.len()).enumerate() {
        let waste = page.iter().filter(|&&b| b != 0).count() as u64;
        if waste > 0 {
            file.write_at(cut.at + (n * zeros.len()) as u64, &zeros[..page.len()])?;
            gone += waste;
        }
    }
    file.sync()?;
    Ok(gone)
}
