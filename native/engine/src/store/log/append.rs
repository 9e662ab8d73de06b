//! Writing frames: what happens under the latch of the log.

use super::frame::{self, Kind, DATA};
use super::segment::{credit, most, Closed, Segment, Spare};
use super::{Log, OK, REPAIRING};
use crate::store::disc_atoms::Dictionary;
use crate::store::StoreError;
use crate::sync::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

/// The segment that is written.
pub(super) struct Active {
    pub segment: Arc<Segment>,
    /// Where in the file the next frame goes.
    pub at: u64,
}

impl Active {
    pub fn new(segment: Segment) -> Active {
        Active { segment: Arc::new(segment), at: DATA }
    }

    /// What it takes for certain, less what it has taken.
    pub fn left(&self) -> i64 {
        credit(self.segment.len) - (self.at - DATA) as i64
    }
}

pub(super) struct Append {
    /// None while the log is broken: frames are kept in `pending` alone.
    pub active: Option<Active>,
    pub spares: VecDeque<Spare>,
    /// Segments that are closed and may hold bytes that are not synced.
    pub left: Vec<Arc<Segment>>,
    /// Closed segments that the flush has not done with, in order.
    pub closed: VecDeque<Closed>,
    pub tail: u64,
    /// Every frame from `pending_from` to the tail. After a failed sync the page cache cannot be trusted, so they are here as well.
    pub pending: Vec<u8>,
    pub pending_from: u64,
    /// By atom: the last segment that defines it.
    pub defined: Vec<u64>,
    pub next_number: u64,
    /// The sync thread sleeps until the next frame.
    pub idle: bool,
    /// Why `active` is none.
    pub cause: Option<StoreError>,
}

/// What an append did.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The commit is durable when everything below this is.
    pub position: u64,
    /// Bytes of the log that it took.
    pub bytes: u64,
    /// Not in any file, because the log is broken: it is in memory, queued for when the log is repaired.
    pub unfiled: Option<StoreError>,
}

impl Log {
    /// Appends a transaction, which uses these atoms. It is whole in the log file when this returns, so that it survives the death
    /// of the process. Takes bounded time; a large one is written in pieces, between which others may write.
    pub fn append(&self, payload: &[u8], atoms: &[u32], dictionary: &Dictionary) -> Appended {
        let most = most(self.config.segment_bytes) as usize - frame::HEAD - 8;
        if payload.len() <= most {
            let hash = frame::hash([&[], payload]);
            return self.locked(|append, log| {
                let before = append.tail;
                append.define(log, atoms, dictionary, frame::size(payload.len()) as u64);
                append.put(log, Kind::Whole, [&[], payload], hash);
                append.tail - before
            });
        }
        let mut pieces = payload.chunks(most).peekable();
        let (mut name, mut bytes) = (None, 0);
        loop {
            let piece = pieces.next().unwrap_or_default();
            let kind = if pieces.peek().is_some() { Kind::Part } else { Kind::Last };
            let mut appended = self.locked(|append, log| {
                let before = append.tail;
                append.define(log, atoms, dictionary, frame::size(8 + piece.len()) as u64);
                let name = name.get_or_insert(append.tail).to_le_bytes();
                append.put(log, kind, [&name, piece], frame::hash([&name, piece]));
                append.tail - before
            });
            bytes += appended.bytes;
            if kind == Kind::Last {
                appended.bytes = bytes;
                return appended;
            }
        }
    }

    fn locked(&self, write: impl FnOnce(&mut Append, &Log) -> u64) -> Appended {
        let mut append = self.append.lock();
        let bytes = write(&mut append, self);
        let position = append.tail;
        self.tail.store(position, Ordering::Release);
        let idle = std::mem::take(&mut append.idle);
        let unfiled = if append.active.is_none() { append.cause.clone() } else { None };
        drop(append);
        if idle {
            self.sync_signal.notify();
        }
        Appended { position, bytes, unfiled }
    }

    /// A frame without content: [`Kind::Restart`] or [`Kind::Mark`].
    pub(super) fn append_empty(&self, kind: Kind) -> Appended {
        self.locked(|append, log| {
            append.put(log, kind, [&[], &[]], frame::hash([&[], &[]]));
            frame::HEAD as u64
        })
    }
}

impl Append {
    /// Sees to it that a frame of `size` bytes has room in a segment that defines these atoms.
    #[inline]
    fn define(&mut self, log: &Log, atoms: &[u32], dictionary: &Dictionary, size: u64) {
        // The definitions may fill a segment, so that the frame goes to the next one: once more. What small segments cannot hold
        // together is defined in an earlier one.
        for _ in 0..2 {
            self.make_room(log, size);
            let segment = self.active.as_ref().map_or(0, |a| a.segment.number);
            if atoms.iter().all(|&id| self.defined.get(id as usize) == Some(&segment)) {
                return;
            }
            self.define_in(log, segment, atoms, dictionary);
        }
    }

    #[cold]
    fn define_in(&mut self, log: &Log, segment: u64, atoms: &[u32], dictionary: &Dictionary) {
        let most = most(log.config.segment_bytes) as usize - frame::HEAD - 8;
        let mut payload = Vec::new();
        for &id in atoms {
            let at = id as usize;
            if self.defined.len() <= at {
                self.defined.resize(at + 1, u64::MAX);
            }
            if std::mem::replace(&mut self.defined[at], segment) == segment {
                continue;
            }
            let text = dictionary.text(id);
            if payload.len() + 6 + text.len() > most {
                self.put(log, Kind::Atoms, [&[], &payload], frame::hash([&[], &payload]));
                payload.clear();
            }
            payload.extend_from_slice(&id.to_le_bytes());
            payload.extend_from_slice(&(text.len() as u16).to_le_bytes());
            payload.extend_from_slice(text);
        }
        self.put(log, Kind::Atoms, [&[], &payload], frame::hash([&[], &payload]));
    }

    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn put(&mut self, log: &Log, kind: Kind, parts: [&[u8]; 2], hash: u64) {
        let size = frame::size(parts[0].len() + parts[1].len());
        self.make_room(log, size as u64);
        let (salt, at) = self.place();
        let from = self.pending.len();
        frame::put(&mut self.pending, kind, salt, at, log.synced.load(Ordering::Relaxed), parts, hash);
        self.file(log, from);
    }

    /// Salt and place of the next frame.
    #[inline]
    fn place(&self) -> (u64, u64) {
        self.active.as_ref().map_or((0, 0), |a| (a.segment.salt, a.at))
    }

    /// Takes frames that are in no file, and whose first is at the tail, into the segments.
    pub(super) fn refile(&mut self, log: &Log, frames: &[u8]) {
        let mut at = 0;
        while at < frames.len() {
            let size = frame::length(&frames[at..]);
            self.make_room(log, size as u64);
            let (salt, place) = self.place();
            let from = self.pending.len();
            self.pending.extend_from_slice(&frames[at..at + size]);
            frame::resalt(&mut self.pending[from..], salt, place);
            self.file(log, from);
            at += size;
        }
    }

    /// Writes the frame that ends `pending` to the active segment.
    #[inline]
    fn file(&mut self, log: &Log, from: usize) {
        let bytes = &self.pending[from..];
        self.tail += bytes.len() as u64;
        if let Some(active) = &mut self.active {
            match active.segment.file.write_at(active.at, bytes) {
                Ok(()) => active.at += bytes.len() as u64,
                Err(cause) => self.break_off(log, cause),
            }
        }
    }

    /// Goes on to the next segment when the frame does not fit.
    #[inline]
    fn make_room(&mut self, log: &Log, size: u64) {
        if self.active.as_ref().is_some_and(|a| a.at + size > a.segment.len) {
            self.rotate(log);
        }
    }

    #[cold]
    pub(super) fn rotate(&mut self, log: &Log) {
        let begun = self.begin_next(log);
        match begun {
            Ok(next) => {
                self.leave(log);
                self.active = Some(next);
                log.keep_signal.notify();
                log.flush_signal.notify();
            }
            Err(cause) => self.break_off(log, cause),
        }
    }

    fn begin_next(&mut self, log: &Log) -> Result<Active, StoreError> {
        let spare = match self.spares.pop_front() {
            Some(spare) => spare,
            // Reservations see to it that this does not happen, but for many atoms at the end of the last segment.
            None => {
                let number = self.take_number();
                let spare = Spare::at_once(&*log.dir, log.database, number, log.config.segment_bytes, None)?;
                log.count_short(&spare);
                log.room.fetch_add(credit(spare.len), Ordering::Relaxed);
                spare
            }
        };
        let credit = credit(spare.len);
        let begun = spare.begin(self.tail, log.synced.load(Ordering::Relaxed));
        if begun.is_err() {
            log.room.fetch_sub(credit, Ordering::Relaxed);
        }
        Ok(Active::new(begun?))
    }

    /// Closes the active segment.
    fn leave(&mut self, log: &Log) {
        if let Some(old) = self.active.take() {
            log.room.fetch_sub(old.left(), Ordering::Relaxed);
            self.closed.push_back(Closed { number: old.segment.number, first: old.segment.first, end: self.tail });
            self.left.push(old.segment);
        }
    }

    /// The active segment can no longer be written.
    pub(super) fn break_off(&mut self, log: &Log, cause: StoreError) {
        self.leave(log);
        for spare in &self.spares {
            log.room.fetch_sub(credit(spare.len), Ordering::Relaxed);
        }
        self.cause = Some(cause);
        let _ = log.state.compare_exchange(OK, REPAIRING, Ordering::SeqCst, Ordering::SeqCst);
        log.sync_signal.notify();
    }
}
