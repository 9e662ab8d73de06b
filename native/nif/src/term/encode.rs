//! BEAM terms to flat bytes.

mod rare;

use super::external::{self, External};
use super::live::{aligned, binary, new_binary, Live, LiveTerms, Transient};
use super::{no_term, word, Env, RawTerm};
use remnesia_engine::term::{tag, Attached, Open, Record, Writer, BLOB_MIN};
use rustler::sys::*;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// More work than a normal scheduler should do: call again on a dirty one.
    TooLong,
    /// Not a record of this table: no tuple, other arity, other name.
    NotRecord,
    /// A term the external format does not know.
    Unsupported,
}

/// Containers being walked.
#[derive(Clone, Copy)]
enum Frame {
    Tuple {
        next: *const RawTerm,
        left: usize,
        count: usize,
        open: Open,
    },
    List {
        rest: RawTerm,
        count: usize,
        open: Open,
    },
    Tail {
        count: usize,
        open: Open,
    },
    /// Pairs from `pairs[start..]`, `at` being the next; the value of a pair is next if its key is written.
    Map {
        at: usize,
        start: usize,
        key_done: bool,
        /// All keys are atoms and the pairs are in canonical order.
        sorted: bool,
        open: Open,
    },
    /// Free variables of a closure, from `terms`.
    Fun {
        at: usize,
        start: usize,
        fun_at: usize,
        fun: Open,
        tuple: Open,
        term: RawTerm,
    },
}

/// Walks terms and writes them; made once per thread and used again.
#[derive(Default)]
pub struct Encoder {
    pub writer: Writer,
    live: Vec<Live>,
    frames: Vec<Frame>,
    /// Free variables of the closures being walked.
    terms: Vec<RawTerm>,
    /// Pairs of the maps being walked.
    pairs: Vec<(RawTerm, RawTerm)>,
    /// Closures around the present term. What lives inside a closure is kept alive by it.
    closures: usize,
    pub starts: Vec<u32>,
    /// A container or a living term was met since the encoder was emptied.
    walked: bool,
    work: usize,
    limit: usize,
}

/// Work for one term beside its bytes, in the unit of bytes copied.
const TERM_COST: usize = 16;
/// Hashing costs about as much as copying four times.
const HASH_COST: usize = 2;
/// Work for a term that goes through the external format.
const EXTERNAL_COST: usize = 128;
/// Memory that an idle encoder may keep: a large term must not hold on to its memory for ever.
const KEEP: usize = 1 << 20;

/// Empties a vector, and frees it if it is large.
fn reset<T>(vec: &mut Vec<T>) {
    vec.clear();
    if vec.capacity() * size_of::<T>() > KEEP {
        *vec = Vec::new();
    }
}

impl Encoder {
    /// Empties the encoder. `limit`: work allowed, in bytes.
    #[inline]
    pub fn begin(&mut self, limit: usize) {
        self.writer.clear();
        self.starts.clear();
        // Scalars, which most terms are, leave nothing behind in the others.
        if self.walked {
            self.forget();
        }
        self.work = 0;
        self.limit = limit;
    }

    #[inline(never)]
    fn forget(&mut self) {
        reset(&mut self.writer.buf);
        reset(&mut self.live);
        reset(&mut self.frames);
        reset(&mut self.terms);
        reset(&mut self.pairs);
        reset(&mut self.starts);
        self.closures = 0;
        self.walked = false;
    }

    /// Flat bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.writer.buf
    }

    /// Living terms met, kept alive for a record.
    pub fn attached(&mut self) -> Option<Arc<dyn Attached>> {
        (!self.live.is_empty()).then(|| Arc::new(LiveTerms::new(std::mem::take(&mut self.live))) as Arc<dyn Attached>)
    }

    /// Living terms met, with their identities.
    pub fn take_live(&mut self) -> Vec<Live> {
        std::mem::take(&mut self.live)
    }

    /// Living terms met, for the duration of the call.
    pub fn transient(&mut self, env: Env) -> Option<Transient> {
        (!self.live.is_empty()).then(|| Transient::new(env, std::mem::take(&mut self.live)))
    }

    /// Makes the row of the fields that were encoded.
    #[inline]
    pub fn record(&mut self) -> Record {
        let attached = self.attached();
        let record = Record::build(&self.starts, &self.writer.buf, self.writer.negative_zero, attached);
        if self.writer.buf.capacity() > KEEP {
            self.forget();
        }
        record
    }

    /// Encodes the fields of a record tuple, all but the record name. `key` is told the flat key before the other fields are looked at.
    #[inline]
    pub fn fields(
        &mut self,
        env: Env,
        tuple: RawTerm,
        arity: usize,
        name: RawTerm,
        key: impl FnOnce(&[u8]),
    ) -> Result<(), EncodeError> {
        let mut count = 0;
        let mut elements = std::ptr::null();
        // SAFETY: a true answer means that `elements` points to `count` terms of the tuple.
        let elements = unsafe {
            if enif_get_tuple(env, tuple, &mut count, &mut elements) == 0 || count as usize != arity {
                return Err(EncodeError::NotRecord);
            }
            std::slice::from_raw_parts(elements, count as usize)
        };
        if elements[0] != name {
            return Err(EncodeError::NotRecord);
        }
        let mut key = Some(key);
        for &element in &elements[1..] {
            self.starts.push(self.writer.len() as u32);
            self.term(env, element)?;
            self.within_limit()?;
            if let Some(key) = key.take() {
                key(self.bytes());
            }
        }
        Ok(())
    }

    #[inline]
    fn within_limit(&self) -> Result<(), EncodeError> {
        if self.work.saturating_add(self.writer.buf.len()) > self.limit {
            return Err(EncodeError::TooLong);
        }
        Ok(())
    }

    /// Encodes one term behind what is there.
    #[inline]
    pub fn term(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        self.one(env, term)?;
        if self.frames.is_empty() {
            return Ok(());
        }
        self.walk(env)
    }

    /// Writes the containers that are open. Each arm goes on with its container for as long as the elements are scalars; an element
    /// that opened a container leaves its frame on top.
    fn walk(&mut self, env: Env) -> Result<(), EncodeError> {
        'frames: while let Some(at) = self.frames.len().checked_sub(1) {
            match self.frames[at] {
                Frame::Tuple { mut next, mut left, count, open } => {
                    while left > 0 {
                        // SAFETY: `left` terms are still to come at `next`; the tuple lives during the call.
                        let term = unsafe {
                            let term = *next;
                            next = next.add(1);
                            term
                        };
                        left -= 1;
                        if self.element(env, term)? {
                            self.frames[at] = Frame::Tuple { next, left, count, open };
                            continue 'frames;
                        }
                    }
                    self.frames.pop();
                    self.writer.close_tuple(open, count);
                }
                Frame::List { mut rest, mut count, open } => {
                    let (mut head, mut tail) = (no_term(), no_term());
                    // SAFETY: only reads the list; sets head and tail when it is a cell.
                    while unsafe { enif_get_list_cell(env, rest, &mut head, &mut tail) } != 0 {
                        rest = tail;
                        count += 1;
                        if self.element(env, head)? {
                            self.frames[at] = Frame::List { rest, count, open };
                            continue 'frames;
                        }
                    }
                    // SAFETY: only looks at the term.
                    if unsafe { enif_is_empty_list(env, rest) } != 0 {
                        self.frames.pop();
                        self.writer.close_list(open, count);
                    } else {
                        self.frames[at] = Frame::Tail { count, open };
                        self.element(env, rest)?;
                    }
                }
                Frame::Tail { count, open } => {
                    self.frames.pop();
                    self.writer.close_improper(open, count);
                }
                Frame::Map { at: mut pair, start, mut key_done, sorted, open } => {
                    while let Some(&(key, value)) = self.pairs.get(pair) {
                        if !key_done && sorted {
                            self.writer.atom(word(key));
                            key_done = true;
                        }
                        let term = if key_done { value } else { key };
                        pair += usize::from(key_done);
                        key_done = !key_done;
                        if self.element(env, term)? {
                            self.frames[at] = Frame::Map { at: pair, start, key_done, sorted, open };
                            continue 'frames;
                        }
                    }
                    let count = self.pairs.len() - start;
                    self.pairs.truncate(start);
                    self.frames.pop();
                    if sorted {
                        self.writer.close_sorted_map(open, count);
                    } else {
                        self.writer.close_map(open, count);
                    }
                }
                Frame::Fun { at: mut variable, start, fun_at, fun, tuple, term } => {
                    while let Some(&free) = self.terms.get(variable) {
                        variable += 1;
                        if self.element(env, free)? {
                            self.frames[at] = Frame::Fun { at: variable, start, fun_at, fun, tuple, term };
                            continue 'frames;
                        }
                    }
                    let count = self.terms.len() - start;
                    self.terms.truncate(start);
                    self.frames.pop();
                    self.writer.close_tuple(tuple, count);
                    self.writer.close_fun(fun);
                    self.closures -= 1;
                    self.keep(fun_at, term);
                }
            }
        }
        Ok(())
    }

    /// Writes an element of a container; true if it is a container itself, now the topmost.
    #[inline(always)]
    fn element(&mut self, env: Env, term: RawTerm) -> Result<bool, EncodeError> {
        self.work += TERM_COST;
        self.within_limit()?;
        let before = self.frames.len();
        self.one(env, term)?;
        Ok(self.frames.len() > before)
    }

    /// Notes that the term whose identity was written from `at` on must be kept alive.
    fn keep(&mut self, at: usize, term: RawTerm) {
        if self.closures == 0 {
            self.live.push((SmallVec::from_slice(&self.writer.buf[at..]), term));
        }
    }

    /// Writes a scalar, or opens a container.
    #[inline(always)]
    fn one(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        use ErlNifTermType::*;
        // SAFETY: these calls only look at a term that is alive in `env`, and fill in what they are given when they answer true.
        unsafe {
            match enif_term_type(env, term) {
                ERL_NIF_TERM_TYPE_ATOM => self.writer.atom(word(term)),
                ERL_NIF_TERM_TYPE_INTEGER => {
                    let mut i = 0;
                    if enif_get_int64(env, term, &mut i) == 0 {
                        return self.big(env, term);
                    }
                    self.writer.int(i);
                }
                ERL_NIF_TERM_TYPE_BITSTRING => return self.bitstring(env, term),
                kind => return self.less_frequent(env, term, kind),
            }
        }
        Ok(())
    }

    /// Apart from `one`, so that the most frequent terms need no large stack frame.
    #[inline(never)]
    fn less_frequent(&mut self, env: Env, term: RawTerm, kind: ErlNifTermType) -> Result<(), EncodeError> {
        use ErlNifTermType::*;
        self.walked |= !matches!(kind, ERL_NIF_TERM_TYPE_FLOAT);
        // SAFETY: as in `one`.
        unsafe {
            match kind {
                ERL_NIF_TERM_TYPE_FLOAT => {
                    let mut f = 0.0;
                    enif_get_double(env, term, &mut f);
                    self.writer.float(f);
                }
                ERL_NIF_TERM_TYPE_LIST => {
                    if enif_is_empty_list(env, term) != 0 {
                        self.writer.nil();
                    } else {
                        let open = self.writer.open();
                        self.frames.push(Frame::List { rest: term, count: 0, open });
                    }
                }
                ERL_NIF_TERM_TYPE_TUPLE => {
                    let (mut count, mut next) = (0, std::ptr::null());
                    enif_get_tuple(env, term, &mut count, &mut next);
                    let open = self.writer.open();
                    self.frames.push(Frame::Tuple { next, left: count as usize, count: count as usize, open });
                }
                ERL_NIF_TERM_TYPE_MAP => return self.map(env, term),
                ERL_NIF_TERM_TYPE_PID => {
                    let mut pid = MaybeUninit::uninit();
                    if enif_get_local_pid(env, term, pid.as_mut_ptr()) == 0 {
                        return self.external(env, term, tag::EXT_PID);
                    }
                    self.writer.local_pid(word(term));
                }
                ERL_NIF_TERM_TYPE_PORT => {
                    let mut port = MaybeUninit::uninit();
                    if enif_get_local_port(env, term, port.as_mut_ptr()) == 0 {
                        return self.external(env, term, tag::EXT_PORT);
                    }
                    self.writer.local_port(word(term));
                }
                ERL_NIF_TERM_TYPE_REFERENCE => return self.reference(env, term),
                ERL_NIF_TERM_TYPE_FUN => return self.fun(env, term),
                _ => return Err(EncodeError::Unsupported),
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn bitstring(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        match binary(env, term) {
            Some(content) if content.len() < BLOB_MIN => self.writer.binary(content),
            Some(content) => {
                self.walked = true;
                self.work += content.len() / HASH_COST;
                if self.work > self.limit {
                    return Err(EncodeError::TooLong);
                }
                // A binary that begins inside a byte is copied by every look at it. One copy for all looks, as looking into the
                // environment of a record must not write there.
                let term = if aligned(env, term, content) { term } else { new_binary(env, content) };
                let at = self.writer.len();
                self.writer.blob(content.len() as u64, blake3::hash(content).as_bytes());
                // Not `keep`: the content is asked for inside closures too.
                self.live.push((SmallVec::from_slice(&self.writer.buf[at..]), term));
            }
            None => {
                self.walked = true;
                let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
                let (bytes, last_bits) = external::bits(external.bytes()).ok_or(EncodeError::Unsupported)?;
                self.work += EXTERNAL_COST;
                self.writer.bits(bytes, last_bits);
            }
        }
        Ok(())
    }

    fn map(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        let start = self.pairs.len();
        let mut all_atoms = true;
        let mut iter = MaybeUninit::<ErlNifMapIterator>::uninit();
        // SAFETY: the iterator is made, used and destroyed here; the map lives during the call.
        unsafe {
            let first = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
            if enif_map_iterator_create(env, term, iter.as_mut_ptr(), first) == 0 {
                return Err(EncodeError::Unsupported);
            }
            let iter = iter.as_mut_ptr();
            let (mut key, mut value) = (no_term(), no_term());
            // The pairs of a large map are work too, before any of them is written.
            let most = self.limit.saturating_sub(self.work) / TERM_COST;
            let mut within = true;
            while within && enif_map_iterator_get_pair(env, iter, &mut key, &mut value) != 0 {
                all_atoms = all_atoms && enif_is_atom(env, key) != 0;
                self.pairs.push((key, value));
                enif_map_iterator_next(env, iter);
                within = self.pairs.len() - start <= most;
            }
            enif_map_iterator_destroy(env, iter);
            if !within {
                return Err(EncodeError::TooLong);
            }
        }
        if all_atoms {
            // The order of words is the canonical order, see `Writer::atom`.
            self.pairs[start..].sort_unstable_by_key(|pair| pair.0);
        }
        let open = self.writer.open();
        self.frames.push(Frame::Map { at: start, start, key_done: false, sorted: all_atoms, open });
        Ok(())
    }
}
