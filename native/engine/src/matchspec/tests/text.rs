//! Erlang terms as text, for tests: what `io:format("~w")` prints, read into a [`Value`] and written as flat bytes.

use crate::term::atom::plain::intern;
use crate::term::{Record, Writer};
use num_bigint::{BigInt, Sign};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Int(BigInt),
    Float(f64),
    Atom(String),
    Binary(Vec<u8>),
    /// Bytes and bits used in the last one (1..=7).
    Bits(Vec<u8>, u8),
    Tuple(Vec<Value>),
    /// Heads and a tail that is no cell.
    List(Vec<Value>, Box<Value>),
    Nil,
    Map(Vec<(Value, Value)>),
}

pub fn atom(text: &str) -> Value {
    Value::Atom(text.into())
}

pub fn int(i: i64) -> Value {
    Value::Int(BigInt::from(i))
}

/// A list with this tail; cells of the tail become cells of the list.
pub fn cells(mut heads: Vec<Value>, tail: Value) -> Value {
    match tail {
        tail if heads.is_empty() => tail,
        Value::List(more, tail) => {
            heads.extend(more);
            Value::List(heads, tail)
        }
        tail => Value::List(heads, Box::new(tail)),
    }
}

impl Value {
    pub fn write(&self, w: &mut Writer) {
        match self {
            Value::Int(i) => {
                let (sign, magnitude) = i.to_bytes_le();
                w.big(sign == Sign::Minus, &magnitude);
            }
            Value::Float(f) => w.float(*f),
            Value::Atom(text) => w.atom(intern(text)),
            Value::Binary(bytes) => w.binary(bytes),
            Value::Bits(bytes, last) => w.bits(bytes, *last),
            Value::Nil => w.nil(),
            Value::Tuple(parts) => {
                let open = w.open();
                parts.iter().for_each(|part| part.write(w));
                w.close_tuple(open, parts.len());
            }
            Value::List(heads, tail) => {
                let open = w.open();
                heads.iter().for_each(|head| head.write(w));
                if **tail == Value::Nil {
                    w.close_list(open, heads.len());
                } else {
                    tail.write(w);
                    w.close_improper(open, heads.len());
                }
            }
            Value::Map(pairs) => {
                let open = w.open();
                for (key, value) in pairs {
                    key.write(w);
                    value.write(w);
                }
                w.close_map(open, pairs.len());
            }
        }
    }

    pub fn flat(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.buf
    }

    /// The row of a table for this tuple.
    pub fn record(&self) -> Record {
        let Value::Tuple(parts) = self else { panic!("a record is a tuple") };
        let (mut starts, mut writer) = (Vec::new(), Writer::new());
        for part in &parts[1..] {
            starts.push(writer.len() as u32);
            part.write(&mut writer);
        }
        Record::build(&starts, &writer.buf, writer.negative_zero, None)
    }
}

/// The term that a text denotes.
pub fn parse(text: &str) -> Value {
    let mut reader = Reader { rest: text };
    let value = reader.term();
    assert_eq!(reader.rest.trim(), "", "in {text}");
    value
}

pub fn flat(text: &str) -> Vec<u8> {
    parse(text).flat()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, mark: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, mark: &str) {
        assert!(self.eat(mark), "expected {mark} before {}", self.rest);
    }

    fn take(&mut self, while_: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !while_(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.into()
    }

    fn many(&mut self, end: &str) -> Vec<Value> {
        let mut all = Vec::new();
        while !self.eat(end) {
            if !all.is_empty() {
                self.expect(",");
            }
            all.push(self.term());
        }
        all
    }

    fn term(&mut self) -> Value {
        if self.eat("{") {
            Value::Tuple(self.many("}"))
        } else if self.eat("#{") {
            let mut pairs = Vec::new();
            while !self.eat("}") {
                if !pairs.is_empty() {
                    self.expect(",");
                }
                let key = self.term();
                self.expect("=>");
                pairs.push((key, self.term()));
            }
            Value::Map(pairs)
        } else if self.eat("[") {
            let mut heads = Vec::new();
            loop {
                if self.eat("]") {
                    return cells(heads, Value::Nil);
                }
                if self.eat("|") {
                    let tail = self.term();
                    self.expect("]");
                    return cells(heads, tail);
                }
                if !heads.is_empty() {
                    self.expect(",");
                }
                heads.push(self.term());
            }
        } else if self.eat("<<") {
            self.binary()
        } else if self.eat("'") {
            let text = self.take(|c| c != '\'');
            self.expect("'");
            Value::Atom(text)
        } else if self.rest.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            let text = self.take(|c| c.is_ascii_digit() || "-.e".contains(c));
            if text.contains('.') {
                Value::Float(text.parse().expect("a float"))
            } else {
                Value::Int(text.parse().expect("an integer"))
            }
        } else {
            let text = self.take(|c| c.is_alphanumeric() || c == '_' || c == '@');
            assert!(!text.is_empty(), "no term: {}", self.rest);
            Value::Atom(text)
        }
    }

    fn binary(&mut self) -> Value {
        let mut bytes = Vec::new();
        while !self.eat(">>") {
            if !bytes.is_empty() {
                self.expect(",");
            }
            self.eat("");
            let byte: u16 = self.take(|c| c.is_ascii_digit()).parse().expect("a byte");
            if self.eat(":") {
                let bits: u8 = self.take(|c| c.is_ascii_digit()).parse().expect("bits");
                bytes.push((byte << (8 - bits)) as u8);
                self.expect(">>");
                return Value::Bits(bytes, bits);
            }
            bytes.push(byte as u8);
        }
        Value::Binary(bytes)
    }
}
