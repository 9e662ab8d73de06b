//! Writing the flat form. The caller walks its own terms and drives the writer; the writer keeps the form canonical.

use super::tag::*;

/// Binaries from this size on are written as [`BLOB`]: hash in the bytes, content attached.
pub const BLOB_MIN: usize = 16 * 1024;

const SMALL_HEAD: usize = 3;
const LARGE_HEAD: usize = 9;

/// A container being written; give it back to the `close` function of its kind.
#[must_use = "an open container must be closed"]
#[derive(Debug, Clone, Copy)]
pub struct Open(usize);

/// Appends terms to a buffer.
#[derive(Default, Debug)]
pub struct Writer {
    pub buf: Vec<u8>,
    /// A `-0.0` was written: equality of this term may need [`super::same`].
    pub negative_zero: bool,
    /// A reference, closure or large binary was written: the term needs its attachments.
    pub attached: bool,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn clear(&mut self) {
        self.buf.clear();
        self.negative_zero = false;
        self.attached = false;
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    #[inline]
    pub fn int(&mut self, i: i64) {
        if (0..0x80).contains(&i) {
            self.buf.push(i as u8);
        } else if let Ok(v) = i8::try_from(i) {
            self.buf.extend_from_slice(&[INT1, v as u8]);
        } else if let Ok(v) = i16::try_from(i) {
            self.tagged(INT2, &v.to_le_bytes());
        } else if let Ok(v) = i32::try_from(i) {
            self.tagged(INT4, &v.to_le_bytes());
        } else {
            self.tagged(INT8, &i.to_le_bytes());
        }
    }

    /// Tag and bytes in one step: one check of the room that is left.
    #[inline]
    fn tagged<const N: usize>(&mut self, tag: u8, bytes: &[u8; N]) {
        let mut all = [tag; LARGE_HEAD];
        all[1..=N].copy_from_slice(bytes);
        self.buf.extend_from_slice(&all[..=N]);
    }

    /// An integer of any size from sign and little-endian magnitude (leading zeros allowed).
    pub fn big(&mut self, negative: bool, magnitude: &[u8]) {
        let end = magnitude.iter().rposition(|&b| b != 0).map_or(0, |p| p + 1);
        let magnitude = &magnitude[..end];
        if magnitude.len() <= 8 {
            let mut word = [0u8; 8];
            word[..magnitude.len()].copy_from_slice(magnitude);
            let word = i128::from(u64::from_le_bytes(word));
            let value = if negative { -word } else { word };
            if let Ok(v) = i64::try_from(value) {
                return self.int(v);
            }
        }
        self.buf.push(if negative { BIG_NEG } else { BIG_POS });
        self.buf.extend_from_slice(&(magnitude.len() as u32).to_le_bytes());
        self.buf.extend_from_slice(magnitude);
    }

    #[inline]
    pub fn float(&mut self, f: f64) {
        if f == 0.0 && f.is_sign_negative() {
            self.negative_zero = true;
        }
        self.tagged(FLOAT, &f.to_be_bytes());
    }

    #[inline]
    pub fn atom(&mut self, word: u64) {
        if word < 1 << 24 {
            let [.., a, b, c] = word.to_be_bytes();
            self.tagged(ATOM3, &[a, b, c]);
        } else {
            self.tagged(ATOM8, &word.to_be_bytes());
        }
    }

    pub fn local_pid(&mut self, word: u64) {
        self.tagged(PID, &word.to_le_bytes());
    }

    pub fn local_port(&mut self, word: u64) {
        self.tagged(PORT, &word.to_le_bytes());
    }

    pub fn local_ref(&mut self, numbers: &[u32]) {
        self.attached = true;
        self.buf.extend_from_slice(&[REF, numbers.len() as u8]);
        for n in numbers {
            self.buf.extend_from_slice(&n.to_le_bytes());
        }
    }

    /// A pid, port or reference of another node; `tag` is one of the `EXT_` tags.
    pub fn external(&mut self, tag: u8, creation: u32, numbers: &[u32], node: u64) {
        debug_assert!(matches!(tag, EXT_PID | EXT_PORT | EXT_REF));
        self.buf.extend_from_slice(&[tag, 0]);
        let start = self.buf.len();
        self.buf.extend_from_slice(&creation.to_le_bytes());
        self.buf.push(numbers.len() as u8);
        for n in numbers {
            self.buf.extend_from_slice(&n.to_le_bytes());
        }
        self.atom(node);
        self.buf[start - 1] = (self.buf.len() - start) as u8;
    }

    pub fn export(&mut self, module: u64, function: u64, arity: u8) {
        self.buf.extend_from_slice(&[EXPORT, 0]);
        let start = self.buf.len();
        self.atom(module);
        self.atom(function);
        self.int(i64::from(arity));
        self.buf[start - 1] = (self.buf.len() - start) as u8;
    }

    /// Begins a closure; write the tuple of its free variables, then [`Writer::close_fun`].
    pub fn open_fun(&mut self, module: u64, index: u32, uniq: &[u8; 16], arity: u8) -> Open {
        self.attached = true;
        let at = self.buf.len();
        self.tagged(FUN, &[0; 4]);
        self.atom(module);
        self.buf.extend_from_slice(&index.to_le_bytes());
        self.buf.extend_from_slice(uniq);
        self.buf.push(arity);
        Open(at)
    }

    pub fn close_fun(&mut self, open: Open) {
        let len = (self.buf.len() - open.0 - 5) as u32;
        self.buf[open.0 + 1..open.0 + 5].copy_from_slice(&len.to_le_bytes());
    }

    #[inline]
    pub fn nil(&mut self) {
        self.buf.push(NIL);
    }

    /// A binary below [`BLOB_MIN`]; larger ones are written by [`Writer::blob`].
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() < BLOB_MIN);
        if let Ok(len) = u8::try_from(bytes.len()) {
            self.buf.extend_from_slice(&[BINARY, len]);
        } else {
            self.tagged(BINARY_L, &(bytes.len() as u32).to_le_bytes());
        }
        self.buf.extend_from_slice(bytes);
    }

    pub fn blob(&mut self, len: u64, hash: &[u8; 32]) {
        self.attached = true;
        self.tagged(BLOB, &len.to_le_bytes());
        self.buf.extend_from_slice(hash);
    }

    /// Bits whose number is no multiple of eight; `last_bits` (1..=7) of the last byte count, from the top.
    pub fn bits(&mut self, bytes: &[u8], last_bits: u8) {
        debug_assert!((1..=7).contains(&last_bits) && !bytes.is_empty());
        self.buf.extend_from_slice(&[BITS, last_bits]);
        self.buf.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.buf.extend_from_slice(bytes);
        if let Some(last) = self.buf.last_mut() {
            *last &= 0xffu8 << (8 - last_bits);
        }
    }

    /// Begins a tuple, list or map: write the elements, then call the `close` of its kind.
    #[inline]
    pub fn open(&mut self) -> Open {
        let at = self.buf.len();
        self.buf.extend_from_slice(&[0; LARGE_HEAD]);
        Open(at)
    }

    #[inline]
    pub fn close_tuple(&mut self, open: Open, count: usize) {
        self.close(open, TUPLE, count);
    }

    #[inline]
    pub fn close_list(&mut self, open: Open, count: usize) {
        self.close(open, LIST, count);
    }

    /// The elements were `count` heads and one tail.
    pub fn close_improper(&mut self, open: Open, count: usize) {
        self.close(open, IMPROPER, count);
    }

    /// The elements were `count` pairs in any order.
    pub fn close_map(&mut self, open: Open, count: usize) {
        let body = open.0 + LARGE_HEAD;
        sort_map(&mut self.buf[body..], count);
        self.close(open, MAP, count);
    }

    /// The elements were `count` pairs in canonical order: rising bytes of the keys.
    #[inline]
    pub fn close_sorted_map(&mut self, open: Open, count: usize) {
        debug_assert!(pairs_sorted(&self.buf[open.0 + LARGE_HEAD..], count));
        self.close(open, MAP, count);
    }

    /// Fills in the head. A small body moves down over the unused bytes of the large head, which bounds the move by 255 bytes.
    #[inline]
    fn close(&mut self, open: Open, small_tag: u8, count: usize) {
        let at = open.0;
        let body = at + LARGE_HEAD;
        let len = self.buf.len() - body;
        if len < 256 && count < 256 {
            self.buf.copy_within(body.., at + SMALL_HEAD);
            self.buf.truncate(at + SMALL_HEAD + len);
            self.buf[at..at + 3].copy_from_slice(&[small_tag, len as u8, count as u8]);
        } else {
            assert!(len <= u32::MAX as usize, "a term of more than 4 GiB");
            self.buf[at] = small_tag + 1;
            self.buf[at + 1..at + 5].copy_from_slice(&(len as u32).to_le_bytes());
            self.buf[at + 5..body].copy_from_slice(&(count as u32).to_le_bytes());
        }
    }
}

/// Puts the pairs of a map's body into canonical order.
pub(crate) fn sort_map(body: &mut [u8], count: usize) {
    if !pairs_sorted(body, count) {
        let sorted = sort_pairs(body, count);
        body.copy_from_slice(&sorted);
    }
}

/// Are the keys of this map's body in canonical order, each once?
pub(crate) fn map_is_sorted(body: &[u8], count: usize) -> bool {
    let mut last: Option<&[u8]> = None;
    pairs(body, count).all(|(key, _)| last.replace(key).is_none_or(|before| before < key))
}

fn pairs(mut body: &[u8], count: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
    (0..count).map(move |_| {
        let value = super::skip(body);
        let rest = super::skip(value);
        let key = &body[..body.len() - value.len()];
        let pair = &body[..body.len() - rest.len()];
        body = rest;
        (key, pair)
    })
}

fn pairs_sorted(body: &[u8], count: usize) -> bool {
    let mut last: &[u8] = &[];
    pairs(body, count).all(|(key, _)| {
        let rising = last <= key;
        last = key;
        rising
    })
}

fn sort_pairs(body: &[u8], count: usize) -> Vec<u8> {
    let mut all: Vec<_> = pairs(body, count).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let mut sorted = Vec::with_capacity(body.len());
    for (_, pair) in all {
        sorted.extend_from_slice(pair);
    }
    sorted
}
