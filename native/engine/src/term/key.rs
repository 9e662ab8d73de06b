//! The ordered key form: bytes whose `memcmp` order is Erlang's term order.
//!
//! Numbers are written by value, so `1` and `1.0` have one form, except inside the keys of maps, where the BEAM puts every integer before
//! every float. Each form is prefix-free, so forms can stand one after the other and still compare right. Nothing is ever read back:
//! the term itself is in the record.
//!
//! Bignums and floats are written as sign, binary exponent and mantissa without trailing zeros; strings are written with `00` escaped
//! and a terminator; lists as cells. (The idea of order-preserving encodings with terminators is that of Erlang's `sext` and of
//! FoundationDB's tuple layer.)

use super::atom::{self, host};
use super::order::Beside;
use super::{read, Ident, Term};

/// First bytes, in term order. Public for the few callers that make bounds of them.
pub mod class {
    pub const NEGATIVE: u8 = 0x10;
    pub const ZERO: u8 = 0x11;
    pub const POSITIVE: u8 = 0x12;
    /// In map keys: floats after all integers.
    pub const KEY_FLOAT: u8 = 0x14;
    pub const ATOM: u8 = 0x20;
    pub const REF: u8 = 0x30;
    pub const CLOSURE: u8 = 0x40;
    pub const EXPORT: u8 = 0x41;
    pub const PORT: u8 = 0x50;
    pub const PID: u8 = 0x60;
    pub const TUPLE: u8 = 0x70;
    pub const MAP: u8 = 0x80;
    pub const NIL: u8 = 0x90;
    pub const CONS: u8 = 0xa0;
    pub const BITS: u8 = 0xb0;
}

/// Work left to do, taken from the end.
enum Op<'a> {
    /// Write this term; inside a map key numbers are exact.
    Term(&'a [u8], bool),
    Byte(u8),
    /// `n` elements from here on, each after the byte `CONS` if `cells`.
    Many(&'a [u8], u32, bool, bool),
    /// Keys of a map go to buffers of their own, which are sorted when all are there.
    BeginKey,
    EndKey,
    Join(Vec<&'a [u8]>, bool),
}

/// Appends the ordered form of the first term of `bytes`; `beside` holds the content of its large binaries.
pub fn write(bytes: &[u8], beside: Beside, out: &mut Vec<u8>) {
    match read(bytes).0 {
        Term::Int(i) => return integer(i, out),
        // What leaves no work behind needs no list of it.
        Term::Float(_) | Term::Atom(_) | Term::Binary(_) => return term(bytes, false, beside, out, &mut Vec::new()),
        _ => {}
    }
    let mut ops = vec![Op::Term(bytes, false)];
    let mut outer: Vec<Vec<u8>> = Vec::new();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut buf = std::mem::take(out);
    while let Some(op) = ops.pop() {
        match op {
            Op::Term(b, exact) => term(b, exact, beside, &mut buf, &mut ops),
            Op::Byte(b) => buf.push(b),
            Op::Many(_, 0, _, _) => {}
            Op::Many(b, left, cells, exact) => {
                if cells {
                    buf.push(class::CONS);
                }
                ops.push(Op::Many(super::skip(b), left - 1, cells, exact));
                ops.push(Op::Term(b, exact));
            }
            Op::BeginKey => outer.push(std::mem::take(&mut buf)),
            Op::EndKey => keys.push(std::mem::replace(&mut buf, outer.pop().unwrap_or_default())),
            Op::Join(values, exact) => {
                let mine = keys.split_off(keys.len() - values.len());
                let mut pairs: Vec<_> = mine.into_iter().zip(values).collect();
                pairs.sort_unstable();
                for (key, _) in &pairs {
                    buf.extend_from_slice(key);
                }
                ops.extend(pairs.into_iter().rev().map(|(_, value)| Op::Term(value, exact)));
            }
        }
    }
    *out = buf;
}

fn term<'a>(bytes: &'a [u8], exact: bool, beside: Beside, out: &mut Vec<u8>, ops: &mut Vec<Op<'a>>) {
    match read(bytes).0 {
        Term::Int(i) => integer(i, out),
        Term::Big { negative, magnitude } => big(negative, magnitude, out),
        Term::Float(f) => {
            if exact {
                out.push(class::KEY_FLOAT);
            }
            float(f, out);
            if exact && f == 0.0 && host().signed_zero() {
                out.push(u8::from(f.is_sign_positive()));
            }
        }
        Term::Atom(word) => {
            out.push(class::ATOM);
            text(atom::text(word), out);
        }
        Term::Ref(numbers) => {
            let (node, creation) = atom::home();
            out.push(class::REF);
            reference(node, *creation, numbers, false, out);
        }
        Term::ExtRef(id) => {
            out.push(class::REF);
            reference(atom::text(id.node), id.creation, id.numbers, true, out);
        }
        Term::Fun(identity) => {
            out.push(class::CLOSURE);
            closure(identity, exact, out, ops);
        }
        Term::Export { module, function, arity } => {
            out.push(class::EXPORT);
            text(atom::text(module), out);
            text(atom::text(function), out);
            integer(arity, out);
        }
        Term::Port(word) => local(word, true, out),
        Term::ExtPort(id) => external(id, true, out),
        Term::Pid(word) => local(word, false, out),
        Term::ExtPid(id) => external(id, false, out),
        Term::Tuple(e) => {
            out.push(class::TUPLE);
            out.extend_from_slice(&e.count.to_be_bytes());
            ops.push(Op::Many(e.body, e.count, false, exact));
        }
        Term::Map(e) => {
            out.push(class::MAP);
            out.extend_from_slice(&e.count.to_be_bytes());
            let all: Vec<&[u8]> = e.iter().collect();
            ops.push(Op::Join(all.iter().skip(1).step_by(2).copied().collect(), exact));
            for key in all.iter().step_by(2).rev() {
                ops.extend([Op::EndKey, Op::Term(key, true), Op::BeginKey]);
            }
        }
        Term::Nil => out.push(class::NIL),
        Term::List(e) => {
            ops.push(Op::Byte(class::NIL));
            ops.push(Op::Many(e.body, e.count, true, exact));
        }
        Term::Improper(e) => {
            let mut tail = e.body;
            for _ in 0..e.count {
                tail = super::skip(tail);
            }
            ops.push(Op::Term(tail, exact));
            ops.push(Op::Many(e.body, e.count, true, exact));
        }
        Term::Binary(b) => bits(b, 8, out),
        Term::Bits { bytes, last_bits } => bits(bytes, last_bits, out),
        Term::Blob { .. } => {
            let one = &bytes[..41];
            let content = beside.and_then(|a| a.content(one));
            bits(content.expect("a large binary has its content attached"), 8, out);
        }
    }
}

fn integer(i: i64, out: &mut Vec<u8>) {
    if i == 0 {
        return out.push(class::ZERO);
    }
    let magnitude = i.unsigned_abs();
    let exponent = 63 - i64::from(magnitude.leading_zeros());
    // The leading one is implied by the exponent.
    let mantissa = magnitude.checked_shl(magnitude.leading_zeros() + 1).unwrap_or(0);
    scientific(i < 0, exponent, Chunks::word(mantissa), out);
}

fn float(f: f64, out: &mut Vec<u8>) {
    if f == 0.0 {
        return out.push(class::ZERO);
    }
    let bits = f.to_bits();
    let (raw, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
    let (exponent, mantissa) = if raw == 0 {
        let zeros = i64::from(fraction.leading_zeros());
        (-1011 - zeros, fraction.checked_shl(zeros as u32 + 1).unwrap_or(0))
    } else {
        (raw - 1023, fraction << 12)
    };
    scientific(f < 0.0, exponent, Chunks::word(mantissa), out);
}

fn big(negative: bool, magnitude: &[u8], out: &mut Vec<u8>) {
    let top = magnitude.last().copied().unwrap_or(1);
    let exponent = 8 * magnitude.len() as i64 - i64::from(top.leading_zeros()) - 1;
    let chunks =
        Chunks { bytes: magnitude, lowest: magnitude.iter().position(|&b| b != 0).unwrap_or(0), word: 0, next: exponent - 1 };
    scientific(negative, exponent, chunks, out);
}

/// Groups of seven mantissa bits, highest first; `word` holds the bits left-aligned when there are no bytes.
struct Chunks<'a> {
    bytes: &'a [u8],
    /// Index of the lowest byte that is not zero.
    lowest: usize,
    word: u64,
    /// Index of the next bit of `bytes`.
    next: i64,
}

impl Chunks<'_> {
    fn word(word: u64) -> Self {
        Chunks { bytes: &[], lowest: 0, word, next: -1 }
    }

    /// The next seven bits and whether any bit after them is set.
    fn take(&mut self) -> (u8, bool) {
        if self.bytes.is_empty() {
            let chunk = (self.word >> 57) as u8;
            self.word <<= 7;
            return (chunk, self.word != 0);
        }
        let mut chunk = 0;
        for _ in 0..7 {
            let bit = if self.next < 0 { 0 } else { self.bytes[(self.next / 8) as usize] >> (self.next % 8) & 1 };
            chunk = chunk << 1 | bit;
            self.next -= 1;
        }
        let more = self.next >= 0 && {
            let (byte, bit) = ((self.next / 8) as usize, self.next % 8);
            let partial = self.bytes[byte] & (0xffu8 >> (7 - bit));
            partial != 0 || self.lowest < byte
        };
        (chunk, more)
    }
}

fn scientific(negative: bool, exponent: i64, mut mantissa: Chunks, out: &mut Vec<u8>) {
    out.push(if negative { class::NEGATIVE } else { class::POSITIVE });
    let start = out.len();
    // Exponents of floats and of integers up to 16,000 bits take two bytes; the rest begin with ff ff.
    let biased = exponent + 0x4000;
    if biased < 0xffff {
        out.extend_from_slice(&(biased as u16).to_be_bytes());
    } else {
        out.extend_from_slice(&[0xff, 0xff]);
        out.extend_from_slice(&(exponent as u64).to_be_bytes());
    }
    loop {
        let (chunk, more) = mantissa.take();
        out.push(chunk << 1 | u8::from(more));
        if !more {
            break;
        }
    }
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
}

/// Text of an atom: `00` is written `00 ff`, the end `00 00`.
fn text(bytes: &[u8], out: &mut Vec<u8>) {
    escaped(bytes, out);
    out.extend_from_slice(&[0, 0]);
}

fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|&b| b == 0) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xff]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
}

/// A bit string: content, end mark, bits used in the last byte.
fn bits(bytes: &[u8], last_bits: u8, out: &mut Vec<u8>) {
    out.push(class::BITS);
    escaped(bytes, out);
    out.extend_from_slice(&[0, 0, if bytes.is_empty() { 0 } else { last_bits }]);
}

fn number(le: &[u8]) -> [u8; 4] {
    [le[3], le[2], le[1], le[0]]
}

/// References: node, creation, then numbers from the last (most significant) to the first; absent ones count as zero.
fn reference(node: &[u8], creation: u32, numbers: &[u8], foreign: bool, out: &mut Vec<u8>) {
    text(node, out);
    out.extend_from_slice(&creation.to_be_bytes());
    padded(numbers, REF_NUMBERS, out);
    numbers.chunks_exact(4).rev().for_each(|le| out.extend_from_slice(&number(le)));
    out.push(u8::from(foreign));
}

/// Most numbers that a reference has; those of aliases have five, others three.
const REF_NUMBERS: usize = 5;

/// Zeros for the numbers that are missing to `full`.
fn padded(numbers: &[u8], full: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + (4 * full).saturating_sub(numbers.len()), 0);
}

/// A pid or port of this node, by the name the node had when the first key was made (see [`atom::home`]).
fn local(word: u64, port: bool, out: &mut Vec<u8>) {
    let numbers: Vec<u8> = host().local(word, port).numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let (node, creation) = atom::home();
    named(node, *creation, &numbers, port, false, out);
}

fn external(id: Ident, port: bool, out: &mut Vec<u8>) {
    named(atom::text(id.node), id.creation, id.numbers, port, true, out);
}

/// Ports go by node, then number (of one word or two). Pids go by serial and id first on older VMs, by node first on newer ones
/// (the host knows). The last byte keeps a term of this node and one of a node of the same name apart.
fn named(node: &[u8], creation: u32, numbers: &[u8], port: bool, foreign: bool, out: &mut Vec<u8>) {
    out.push(if port { class::PORT } else { class::PID });
    let put_numbers = |out: &mut Vec<u8>| {
        if port {
            padded(numbers, 2, out);
            numbers.chunks_exact(4).for_each(|le| out.extend_from_slice(&number(le)));
        } else {
            numbers.chunks_exact(4).rev().for_each(|le| out.extend_from_slice(&number(le)));
        }
    };
    if !port && !host().pids_by_node() {
        put_numbers(out);
    }
    text(node, out);
    out.extend_from_slice(&creation.to_be_bytes());
    if port || host().pids_by_node() {
        put_numbers(out);
    }
    out.push(u8::from(foreign));
}

/// Closures go by module, index, uniq, number and values of free variables.
fn closure<'a>(identity: &'a [u8], exact: bool, out: &mut Vec<u8>, ops: &mut Vec<Op<'a>>) {
    let rest = super::skip(identity);
    if let Term::Atom(module) = read(identity).0 {
        text(atom::text(module), out);
    }
    out.extend_from_slice(&number(&rest[..4]));
    out.extend_from_slice(&rest[4..21]);
    ops.push(Op::Term(&rest[21..], exact));
}
