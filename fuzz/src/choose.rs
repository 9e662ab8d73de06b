//! Terms and specs out of bytes: each byte is a choice, and when they end, the choice is the first.

use remnesia_engine::term::atom::plain::intern;
use remnesia_engine::term::Writer;

pub struct Choices<'a>(&'a [u8]);

const ATOMS: &[&str] = &["a", "b", "", "true", "false", "nil", "_", "$1", "r", "é", "undefined"];
const INTEGERS: &[i64] = &[0, 1, 2, -1, 127, 128, -128, 255, 65_536, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1, 1 << 31];
const FLOATS: &[f64] = &[0.0, -0.0, 1.0, 2.0, -1.0, 0.5, 1.5e300, -1.5e300, 5e-324, 9007199254740992.0, 9.223_372_036_854_776e18];
const FUNCTIONS: &[(&str, usize)] = &[
    ("==", 2),
    ("=:=", 2),
    ("/=", 2),
    ("=/=", 2),
    ("<", 2),
    ("=<", 2),
    (">", 2),
    (">=", 2),
    ("and", 2),
    ("or", 2),
    ("andalso", 2),
    ("orelse", 2),
    ("andalso", 3),
    ("orelse", 4),
    ("not", 1),
    ("xor", 2),
    ("+", 2),
    ("-", 2),
    ("*", 2),
    ("/", 2),
    ("div", 2),
    ("rem", 2),
    ("bsl", 2),
    ("bsr", 2),
    ("band", 2),
    ("bor", 2),
    ("bxor", 2),
    ("bnot", 1),
    ("-", 1),
    ("abs", 1),
    ("round", 1),
    ("trunc", 1),
    ("float", 1),
    ("hd", 1),
    ("tl", 1),
    ("length", 1),
    ("size", 1),
    ("byte_size", 1),
    ("bit_size", 1),
    ("map_size", 1),
    ("map_get", 2),
    ("is_map_key", 2),
    ("element", 2),
    ("is_record", 2),
    ("is_record", 3),
    ("is_atom", 1),
    ("is_integer", 1),
    ("is_list", 1),
    ("is_map", 1),
    ("is_tuple", 1),
    ("is_binary", 1),
    ("is_number", 1),
    ("is_float", 1),
    ("is_function", 1),
    ("node", 0),
    ("self", 0),
    ("node", 1),
    ("const", 1),
    ("nonsense", 1),
    ("hd", 2),
];

impl<'a> Choices<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Choices(data)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub fn term(&mut self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write_term(&mut writer, 12);
        writer.buf
    }

    pub fn write_term(&mut self, w: &mut Writer, depth: usize) {
        match self.below(if depth > 0 { 16 } else { 12 }) {
            0 => w.int(i64::from(self.byte() as i8)),
            1 | 2 => w.int(INTEGERS[self.below(INTEGERS.len())]),
            3 => w.int(i64::from_le_bytes(self.bytes())),
            4 => {
                let mut magnitude: [u8; 12] = self.bytes();
                magnitude[9] |= 1;
                let negative = self.byte() & 1 != 0;
                w.big(negative, &magnitude);
            }
            5 => w.float(FLOATS[self.below(FLOATS.len())]),
            6 => {
                let float = f64::from_le_bytes(self.bytes());
                w.float(if float.is_finite() { float } else { 1.0 });
            }
            7 | 8 => w.atom(intern(ATOMS[self.below(ATOMS.len())])),
            9 => {
                let bytes: [u8; 4] = self.bytes();
                let len = self.below(5);
                w.binary(&bytes[..len]);
            }
            10 => {
                let bytes: [u8; 2] = self.bytes();
                let last = 1 + self.below(7) as u8;
                w.bits(&bytes, last);
            }
            11 => w.nil(),
            12 => {
                let (open, count) = (w.open(), self.below(4));
                (0..count).for_each(|_| self.write_term(w, depth - 1));
                w.close_tuple(open, count);
            }
            13 => {
                let (open, count) = (w.open(), 1 + self.below(3));
                (0..count).for_each(|_| self.write_term(w, depth - 1));
                w.close_list(open, count);
            }
            14 => {
                let (open, count) = (w.open(), 1 + self.below(2));
                (0..count).for_each(|_| self.write_term(w, depth - 1));
                // A tail that is no list.
                w.int(i64::from(self.byte()));
                w.close_improper(open, count);
            }
            _ => self.map(w, |choices, w| choices.write_term(w, depth - 1)),
        }
    }

    /// Up to three different keys.
    fn map(&mut self, w: &mut Writer, mut value: impl FnMut(&mut Self, &mut Writer)) {
        let open = w.open();
        let count = self.below(4);
        for (key, atom) in ATOMS.iter().enumerate().take(count) {
            match self.below(3) {
                0 => w.int(key as i64),
                1 => w.float(key as f64 + 0.5),
                _ => w.atom(intern(atom)),
            }
            value(self, w);
        }
        w.close_map(open, count);
    }

    pub fn spec(&mut self, fields: usize) -> Vec<u8> {
        let mut w = Writer::new();
        if self.byte() == 0xff {
            self.write_term(&mut w, 5);
            return w.buf;
        }
        let (list, clauses) = (w.open(), 1 + self.below(3));
        for _ in 0..clauses {
            let clause = w.open();
            self.head(&mut w, fields);
            let guards = self.below(3);
            self.list(&mut w, guards, |choices, w| choices.expression(w, 4));
            let bodies = 1 + self.below(2);
            self.list(&mut w, bodies, |choices, w| choices.expression(w, 3));
            w.close_tuple(clause, 3);
        }
        w.close_list(list, clauses);
        w.buf
    }

    fn list(&mut self, w: &mut Writer, count: usize, mut element: impl FnMut(&mut Self, &mut Writer)) {
        if count == 0 {
            return w.nil();
        }
        let open = w.open();
        (0..count).for_each(|_| element(self, w));
        w.close_list(open, count);
    }

    fn head(&mut self, w: &mut Writer, fields: usize) {
        if self.below(8) == 1 {
            return w.atom(intern(["_", "$1", "a"][self.below(3)]));
        }
        let open = w.open();
        w.atom(intern(if self.below(4) == 1 { "_" } else { "r" }));
        for field in 1..=fields {
            match self.below(3) {
                0 => w.atom(intern(&format!("${field}"))),
                _ => self.pattern(w, 3),
            }
        }
        w.close_tuple(open, fields + 1);
    }

    fn pattern(&mut self, w: &mut Writer, depth: usize) {
        match self.below(if depth > 0 { 8 } else { 3 }) {
            0 => w.atom(intern("_")),
            1 => {
                let number = self.below(7);
                w.atom(intern(&format!("${number}")));
            }
            2 | 3 => self.write_term(w, depth.min(2)),
            4 | 5 => {
                let (open, count) = (w.open(), self.below(4));
                (0..count).for_each(|_| self.pattern(w, depth - 1));
                w.close_tuple(open, count);
            }
            6 => {
                let (open, count) = (w.open(), 1 + self.below(2));
                (0..count).for_each(|_| self.pattern(w, depth - 1));
                w.atom(intern(["$5", "_", "a"][self.below(3)]));
                w.close_improper(open, count);
            }
            _ => self.map(w, |choices, w| choices.pattern(w, depth - 1)),
        }
    }

    fn expression(&mut self, w: &mut Writer, depth: usize) {
        match self.below(if depth > 0 { 12 } else { 5 }) {
            0 | 1 => {
                let number = 1 + self.below(5);
                w.atom(intern(&format!("${number}")));
            }
            2 => w.atom(intern(["$_", "$$", "true"][self.below(3)])),
            3 => self.write_term(w, 0),
            4 => {
                let open = w.open();
                w.atom(intern("const"));
                self.write_term(w, 2);
                w.close_tuple(open, 2);
            }
            5 => {
                let (outer, inner, count) = (w.open(), w.open(), self.below(3));
                (0..count).for_each(|_| self.expression(w, depth - 1));
                w.close_tuple(inner, count);
                w.close_tuple(outer, 1);
            }
            6 => {
                let count = self.below(3);
                self.list(w, count, |choices, w| choices.expression(w, depth - 1));
            }
            7 => self.map(w, |choices, w| choices.expression(w, depth - 1)),
            _ => {
                let (name, operands) = FUNCTIONS[self.below(FUNCTIONS.len())];
                let open = w.open();
                w.atom(intern(name));
                (0..operands).for_each(|_| self.expression(w, depth - 1));
                w.close_tuple(open, operands + 1);
            }
        }
    }
}
