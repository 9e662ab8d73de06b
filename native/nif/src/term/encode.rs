//! BEAM terms to flat bytes.

use super::external::{self, External};
use super::live::{binary, Live, LiveTerms, Transient};
use super::{no_term, word, Env, RawTerm};
use remnesia_engine::term::{tag, Attached, Open, Record, Writer, BLOB_MIN};
use rustler::sys::*;
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
    /// Keys and values in turn, from `terms`.
    Map {
        at: usize,
        start: usize,
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
    /// Elements of the maps and closures being walked.
    terms: Vec<RawTerm>,
    pub starts: Vec<u32>,
    work: usize,
    limit: usize,
}

/// Work for one term beside its bytes, in the unit of bytes copied.
const TERM_COST: usize = 16;
/// Hashing costs about as much as copying four times.
const HASH_COST: usize = 2;

impl Encoder {
    /// Empties the encoder. `limit`: work allowed, in bytes.
    #[inline]
    pub fn begin(&mut self, limit: usize) {
        self.writer.clear();
        self.live.clear();
        self.frames.clear();
        self.terms.clear();
        self.starts.clear();
        self.work = 0;
        self.limit = limit;
        // A large term must not keep its memory for ever.
        if self.writer.buf.capacity() > 1 << 20 {
            self.writer.buf = Vec::new();
        }
    }

    /// Flat bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.writer.buf
    }

    /// Living terms met, kept alive for a record.
    pub fn attached(&mut self) -> Option<Arc<dyn Attached>> {
        (!self.live.is_empty()).then(|| Arc::new(LiveTerms::new(std::mem::take(&mut self.live))) as Arc<dyn Attached>)
    }

    /// Living terms met, for the duration of the call.
    pub fn transient(&mut self, env: Env) -> Option<Transient> {
        (!self.live.is_empty()).then(|| Transient::new(env, std::mem::take(&mut self.live)))
    }

    /// Encodes a record tuple and makes the row of it.
    #[inline]
    pub fn record(&mut self, env: Env, tuple: RawTerm, arity: usize, name: RawTerm) -> Result<Record, EncodeError> {
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
        for &element in &elements[1..] {
            self.starts.push(self.writer.len() as u32);
            self.term(env, element)?;
        }
        let attached = self.attached();
        Ok(Record::build(&self.starts, &self.writer.buf, self.writer.negative_zero, attached))
    }

    /// Encodes one term behind what is there.
    #[inline]
    pub fn term(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        self.one(env, term)?;
        while let Some(frame) = self.frames.last_mut() {
            if self.work + self.writer.buf.len() > self.limit {
                return Err(EncodeError::TooLong);
            }
            let next = match frame {
                Frame::Tuple { next, left, count, open } => {
                    if *left == 0 {
                        let (open, count) = (*open, *count);
                        self.frames.pop();
                        self.writer.close_tuple(open, count);
                        continue;
                    }
                    // SAFETY: `left` terms are still to come at `next`; the tuple lives during the call.
                    unsafe {
                        let term = **next;
                        *next = next.add(1);
                        *left -= 1;
                        term
                    }
                }
                Frame::List { rest, count, open } => {
                    let (mut head, mut tail) = (no_term(), no_term());
                    // SAFETY: only reads the list; sets head and tail when it is a cell.
                    if unsafe { enif_get_list_cell(env, *rest, &mut head, &mut tail) } != 0 {
                        *rest = tail;
                        *count += 1;
                        head
                    } else {
                        let (rest, count, open) = (*rest, *count, *open);
                        self.frames.pop();
                        // SAFETY: only looks at the term.
                        if unsafe { enif_is_empty_list(env, rest) } != 0 {
                            self.writer.close_list(open, count);
                            continue;
                        }
                        self.frames.push(Frame::Tail { count, open });
                        rest
                    }
                }
                Frame::Tail { count, open } => {
                    let (count, open) = (*count, *open);
                    self.frames.pop();
                    self.writer.close_improper(open, count);
                    continue;
                }
                Frame::Map { at, start, open } => {
                    if *at == self.terms.len() {
                        let (start, open) = (*start, *open);
                        let count = (self.terms.len() - start) / 2;
                        self.terms.truncate(start);
                        self.frames.pop();
                        self.writer.close_map(open, count);
                        continue;
                    }
                    *at += 1;
                    self.terms[*at - 1]
                }
                Frame::Fun { at, start, fun_at, fun, tuple, term } => {
                    if *at == self.terms.len() {
                        let (start, fun_at, fun, tuple, term) = (*start, *fun_at, *fun, *tuple, *term);
                        let count = self.terms.len() - start;
                        self.terms.truncate(start);
                        self.frames.pop();
                        self.writer.close_tuple(tuple, count);
                        self.writer.close_fun(fun);
                        self.live.push((self.writer.buf[fun_at..].into(), term));
                        continue;
                    }
                    *at += 1;
                    self.terms[*at - 1]
                }
            };
            self.work += TERM_COST;
            self.one(env, next)?;
        }
        Ok(())
    }

    /// Writes a scalar, or opens a container.
    #[inline]
    fn one(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        use ErlNifTermType::*;
        // SAFETY: these calls only look at a term that is alive in `env`, and fill in what they are given when they answer true.
        unsafe {
            match enif_term_type(env, term) {
                ERL_NIF_TERM_TYPE_ATOM => self.writer.atom(word(term)),
                ERL_NIF_TERM_TYPE_INTEGER => {
                    let mut i = 0;
                    if enif_get_int64(env, term, &mut i) != 0 {
                        self.writer.int(i);
                    } else {
                        self.work += TERM_COST;
                        let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
                        let (negative, magnitude) = external::big(external.bytes()).ok_or(EncodeError::Unsupported)?;
                        self.writer.big(negative, magnitude);
                    }
                }
                ERL_NIF_TERM_TYPE_FLOAT => {
                    let mut f = 0.0;
                    enif_get_double(env, term, &mut f);
                    self.writer.float(f);
                }
                ERL_NIF_TERM_TYPE_BITSTRING => return self.bitstring(env, term),
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
                    if enif_get_local_pid(env, term, pid.as_mut_ptr()) != 0 {
                        self.writer.local_pid(word(term));
                    } else {
                        return self.external(env, term, tag::EXT_PID);
                    }
                }
                ERL_NIF_TERM_TYPE_PORT => {
                    let mut port = MaybeUninit::uninit();
                    if enif_get_local_port(env, term, port.as_mut_ptr()) != 0 {
                        self.writer.local_port(word(term));
                    } else {
                        return self.external(env, term, tag::EXT_PORT);
                    }
                }
                ERL_NIF_TERM_TYPE_REFERENCE => return self.reference(env, term),
                ERL_NIF_TERM_TYPE_FUN => return self.fun(env, term),
                _ => return Err(EncodeError::Unsupported),
            }
        }
        Ok(())
    }

    #[inline]
    fn bitstring(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        match binary(env, term) {
            Some(content) if content.len() < BLOB_MIN => self.writer.binary(content),
            Some(content) => {
                self.work += content.len() / HASH_COST;
                if self.work > self.limit {
                    return Err(EncodeError::TooLong);
                }
                let at = self.writer.len();
                self.writer.blob(content.len() as u64, blake3::hash(content).as_bytes());
                self.live.push((self.writer.buf[at..].into(), term));
            }
            None => {
                let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
                let (bytes, last_bits) = external::bits(external.bytes()).ok_or(EncodeError::Unsupported)?;
                self.writer.bits(bytes, last_bits);
            }
        }
        Ok(())
    }

    fn map(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        let start = self.terms.len();
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
            while enif_map_iterator_get_pair(env, iter, &mut key, &mut value) != 0 {
                all_atoms = all_atoms && enif_is_atom(env, key) != 0;
                self.terms.push(key);
                self.terms.push(value);
                enif_map_iterator_next(env, iter);
            }
            enif_map_iterator_destroy(env, iter);
        }
        self.work += (self.terms.len() - start) * 4;
        if all_atoms {
            sort_by_word(&mut self.terms[start..]);
        }
        let open = self.writer.open();
        self.frames.push(Frame::Map { at: start, start, open });
        Ok(())
    }

    fn external(&mut self, env: Env, term: RawTerm, tag: u8) -> Result<(), EncodeError> {
        let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
        let named = external::named(external.bytes()).ok_or(EncodeError::Unsupported)?;
        let (node, _) = external::atom(env, named.node).ok_or(EncodeError::Unsupported)?;
        self.writer.external(tag, named.creation, &named.numbers, word(node));
        Ok(())
    }

    /// A reference is local if it has node and creation of one that is made now; both are written in one step, so a node that is just
    /// being named cannot come between.
    fn reference(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        // SAFETY: makes a list of two terms in the caller's environment.
        let both = unsafe {
            let pair = [term, enif_make_ref(env)];
            enif_make_list_from_array(env, pair.as_ptr(), 2)
        };
        let external = External::of(env, both).ok_or(EncodeError::Unsupported)?;
        let named = external.bytes().get(5..).and_then(external::named).ok_or(EncodeError::Unsupported)?;
        let own = external::named(named.rest).ok_or(EncodeError::Unsupported)?;
        if (named.node, named.creation) == (own.node, own.creation) {
            let at = self.writer.len();
            self.writer.local_ref(&named.numbers);
            self.live.push((self.writer.buf[at..].into(), term));
        } else {
            let (node, _) = external::atom(env, named.node).ok_or(EncodeError::Unsupported)?;
            self.writer.external(tag::EXT_REF, named.creation, &named.numbers, word(node));
        }
        Ok(())
    }

    fn fun(&mut self, env: Env, term: RawTerm) -> Result<(), EncodeError> {
        let external = External::of(env, term).ok_or(EncodeError::Unsupported)?;
        self.work += external.bytes().len();
        if let Some((module, function, arity)) = external::export(env, external.bytes()) {
            self.writer.export(word(module), word(function), arity);
            return Ok(());
        }
        let closure = external::closure(env, external.bytes()).ok_or(EncodeError::Unsupported)?;
        let start = self.terms.len();
        self.terms.extend_from_slice(&closure.free);
        let fun_at = self.writer.len();
        let fun = self.writer.open_fun(word(closure.module), closure.index, &closure.uniq, closure.arity);
        let tuple = self.writer.open();
        self.frames.push(Frame::Fun { at: start, start, fun_at, fun, tuple, term });
        Ok(())
    }
}

/// Sorts pairs of atom key and value by the word of the key, which is the canonical order.
fn sort_by_word(terms: &mut [RawTerm]) {
    // Pairs side by side: insertion sort for the few keys of a struct, else through a vector.
    let count = terms.len() / 2;
    if count <= 12 {
        for i in 1..count {
            let mut j = i;
            while j > 0 && terms[2 * j - 2] > terms[2 * j] {
                terms.swap(2 * j - 2, 2 * j);
                terms.swap(2 * j - 1, 2 * j + 1);
                j -= 1;
            }
        }
        return;
    }
    let mut pairs: Vec<_> = terms.chunks_exact(2).map(|p| (p[0], p[1])).collect();
    pairs.sort_unstable();
    for (place, pair) in terms.chunks_exact_mut(2).zip(pairs) {
        (place[0], place[1]) = pair;
    }
}
