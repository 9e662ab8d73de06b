//! Looking at the flat form without decoding it.
//!
//! The bytes were made by [`super::Writer`]; a slice that is not whole makes these functions panic, never read beyond it.

use super::tag::*;

/// One term: scalars by value, containers as an iterator over their elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term<'a> {
    Int(i64),
    /// An integer beyond `i64`: sign, magnitude in little endian.
    Big {
        negative: bool,
        magnitude: &'a [u8],
    },
    Float(f64),
    Atom(u64),
    Pid(u64),
    Port(u64),
    ExtPid(Ident<'a>),
    ExtPort(Ident<'a>),
    ExtRef(Ident<'a>),
    /// Numbers of a local reference, little-endian u32.
    Ref(&'a [u8]),
    /// Identity of a closure, see [`FUN`].
    Fun(&'a [u8]),
    /// `fun M:F/A`.
    Export {
        module: u64,
        function: u64,
        arity: i64,
    },
    Nil,
    List(Elements<'a>),
    /// `count` heads, then the tail.
    Improper(Elements<'a>),
    Tuple(Elements<'a>),
    /// `count` pairs.
    Map(Elements<'a>),
    Binary(&'a [u8]),
    Bits {
        bytes: &'a [u8],
        last_bits: u8,
    },
    Blob {
        len: u64,
        hash: &'a [u8],
    },
}

/// What names a pid, port or reference of another node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ident<'a> {
    pub creation: u32,
    /// Little-endian u32 numbers, in the order of the external term format.
    pub numbers: &'a [u8],
    pub node: u64,
}

/// Body of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elements<'a> {
    pub count: u32,
    pub body: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The bytes of each element, one after the other (a map's keys and values in turn).
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut body = self.body;
        std::iter::from_fn(move || {
            if body.is_empty() {
                return None;
            }
            let rest = skip(body);
            let one = &body[..body.len() - rest.len()];
            body = rest;
            Some(one)
        })
    }
}

#[inline]
fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

#[inline]
fn array<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut a = [0; N];
    a.copy_from_slice(&b[at..at + N]);
    a
}

/// Bytes of the term that begins `b`.
#[inline]
pub(crate) fn size(b: &[u8]) -> usize {
    match b[0] {
        0..=0x7f | NIL => 1,
        INT1 => 2,
        INT2 => 3,
        INT4 => 5,
        INT8 | FLOAT | ATOM8 | PID | PORT => 9,
        ATOM3 => 4,
        BIG_POS | BIG_NEG | FUN | BINARY_L => 5 + u32_at(b, 1) as usize,
        EXT_PID | EXT_PORT | EXT_REF | EXPORT | BINARY => 2 + b[1] as usize,
        REF => 2 + 4 * b[1] as usize,
        LIST | IMPROPER | TUPLE | MAP => 3 + b[1] as usize,
        LIST_L | IMPROPER_L | TUPLE_L | MAP_L => 9 + u32_at(b, 1) as usize,
        BITS => 6 + u32_at(b, 2) as usize,
        BLOB => 41,
        other => panic!("no term begins with byte {other:#x}"),
    }
}

/// The integer that `b` is, if it is one of machine size: the most frequent question, without the other kinds of terms.
#[inline(always)]
pub fn int(b: &[u8]) -> Option<i64> {
    Some(match *b {
        [small @ 0..=0x7f] => i64::from(small),
        [INT1, i] => i64::from(i as i8),
        [INT2, a, b] => i64::from(i16::from_le_bytes([a, b])),
        [INT4, a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [INT8, a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return None,
    })
}

/// What follows the first term of `b`.
#[inline]
pub fn skip(b: &[u8]) -> &[u8] {
    &b[size(b)..]
}

/// The first term of `b` and what follows it.
#[inline]
pub fn read(b: &[u8]) -> (Term<'_>, &[u8]) {
    let (one, rest) = b.split_at(size(b));
    let term = match one[0] {
        small @ 0..=0x7f => Term::Int(i64::from(small)),
        INT1 => Term::Int(i64::from(one[1] as i8)),
        INT2 => Term::Int(i64::from(i16::from_le_bytes(array(one, 1)))),
        INT4 => Term::Int(i64::from(i32::from_le_bytes(array(one, 1)))),
        INT8 => Term::Int(i64::from_le_bytes(array(one, 1))),
        BIG_POS | BIG_NEG => Term::Big { negative: one[0] == BIG_NEG, magnitude: &one[5..] },
        FLOAT => Term::Float(f64::from_be_bytes(array(one, 1))),
        ATOM3 | ATOM8 => Term::Atom(atom_word(one)),
        PID => Term::Pid(u64::from_le_bytes(array(one, 1))),
        PORT => Term::Port(u64::from_le_bytes(array(one, 1))),
        EXT_PID => Term::ExtPid(ident(one)),
        EXT_PORT => Term::ExtPort(ident(one)),
        EXT_REF => Term::ExtRef(ident(one)),
        REF => Term::Ref(&one[2..]),
        FUN => Term::Fun(&one[5..]),
        EXPORT => {
            let function = skip(&one[2..]);
            let arity = skip(function);
            Term::Export {
                module: atom_word(&one[2..]),
                function: atom_word(function),
                arity: match read(arity).0 {
                    Term::Int(i) => i,
                    _ => 0,
                },
            }
        }
        NIL => Term::Nil,
        LIST | LIST_L => Term::List(elements(one)),
        IMPROPER | IMPROPER_L => Term::Improper(elements(one)),
        TUPLE | TUPLE_L => Term::Tuple(elements(one)),
        MAP | MAP_L => Term::Map(elements(one)),
        BINARY => Term::Binary(&one[2..]),
        BINARY_L => Term::Binary(&one[5..]),
        BITS => Term::Bits { bytes: &one[6..], last_bits: one[1] },
        _ => Term::Blob { len: u64::from_le_bytes(array(one, 1)), hash: &one[9..] },
    };
    (term, rest)
}

/// The word of an atom in either form.
#[inline]
pub(super) fn atom_word(one: &[u8]) -> u64 {
    if one[0] == ATOM3 {
        u64::from(one[1]) << 16 | u64::from(one[2]) << 8 | u64::from(one[3])
    } else {
        u64::from_be_bytes(array(one, 1))
    }
}

fn ident(one: &[u8]) -> Ident<'_> {
    let count = one[6] as usize;
    Ident { creation: u32_at(one, 2), numbers: &one[7..7 + 4 * count], node: atom_word(&one[7 + 4 * count..]) }
}

#[inline]
fn elements(one: &[u8]) -> Elements<'_> {
    // Small tags are odd, large ones even.
    if one[0] & 1 == 1 {
        Elements { count: u32::from(one[2]), body: &one[3..] }
    } else {
        Elements { count: u32_at(one, 5), body: &one[9..] }
    }
}
