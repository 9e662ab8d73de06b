//! Building terms in the arena.

use super::value::{Machine, Value};
use crate::term::{self, read, skip, Term};

impl<'a> Machine<'a, '_> {
    /// Appends a value to the arena.
    pub fn put(&mut self, value: Value<'a>) {
        match value {
            Value::Bytes(bytes) => self.arena.buf.extend_from_slice(bytes),
            Value::Made(from, to) => self.arena.buf.extend_from_within(from..to),
            Value::Int(i) => self.arena.int(i),
            Value::Float(f) => self.arena.float(f),
            Value::Bool(b) => {
                let words = self.program.words;
                self.arena.atom(if b { words.true_ } else { words.false_ });
            }
            Value::Atom(word) => self.arena.atom(word),
            Value::Whole => {
                let open = self.arena.open();
                self.arena.atom(self.program.words.name);
                self.arena.buf.extend_from_slice(self.record.body());
                self.arena.close_tuple(open, self.record.fields() + 1);
            }
        }
    }

    /// The same value, written if it is the whole record.
    #[inline]
    pub fn written(&mut self, value: Value<'a>) -> Value<'a> {
        match value {
            Value::Whole => self.made(value),
            other => other,
        }
    }

    /// The same value as bytes.
    #[inline]
    pub fn flat(&mut self, value: Value<'a>) -> Value<'a> {
        match value {
            Value::Bytes(_) | Value::Made(..) => value,
            other => self.made(other),
        }
    }

    /// The same value in the arena.
    pub fn made(&mut self, value: Value<'a>) -> Value<'a> {
        let from = self.arena.len();
        self.put(value);
        Value::Made(from, self.arena.len())
    }

    pub fn tuple(&mut self, parts: &[Value<'a>]) -> Value<'a> {
        let from = self.arena.len();
        let open = self.arena.open();
        for &part in parts {
            self.put(part);
        }
        self.arena.close_tuple(open, parts.len());
        Value::Made(from, self.arena.len())
    }

    /// `heads`, then `tail`, whose cells become cells of the new list.
    pub fn list(&mut self, heads: &[Value<'a>], tail: Option<Value<'a>>) -> Value<'a> {
        let tail = tail.map(|t| self.written(t));
        let from = self.arena.len();
        if heads.is_empty() {
            match tail {
                Some(tail) => self.put(tail),
                None => self.arena.nil(),
            }
            return Value::Made(from, self.arena.len());
        }
        let open = self.arena.open();
        for &head in heads {
            self.put(head);
        }
        let (count, proper) = match tail {
            None => (0, true),
            Some(tail) => match self.look(tail) {
                Term::Nil => (0, true),
                Term::List(e) => (e.count, true),
                Term::Improper(e) => (e.count, false),
                _ => {
                    self.put(tail);
                    self.arena.close_improper(open, heads.len());
                    return Value::Made(from, self.arena.len());
                }
            },
        };
        if count > 0 {
            let body = tail.and_then(|tail| self.part(tail, body));
            if let Some(body) = body {
                self.put(body);
            }
        }
        let all = heads.len() + count as usize;
        if proper {
            self.arena.close_list(open, all);
        } else {
            self.arena.close_improper(open, all);
        }
        Value::Made(from, self.arena.len())
    }

    /// The list that is left when `taken` cells of a list are taken away; `rest` is what follows their heads.
    pub fn remaining(&mut self, rest: &'a [u8], left: usize, proper: bool) -> Value<'a> {
        if left == 0 {
            return if proper { self.nil() } else { Value::Bytes(rest) };
        }
        let from = self.arena.len();
        let open = self.arena.open();
        self.arena.buf.extend_from_slice(rest);
        if proper {
            self.arena.close_list(open, left);
        } else {
            self.arena.close_improper(open, left);
        }
        Value::Made(from, self.arena.len())
    }

    pub fn nil(&mut self) -> Value<'a> {
        Value::Bytes(&[term::tag::NIL])
    }

    /// `tl`
    pub fn tail(&mut self, list: Value<'a>) -> Option<Value<'a>> {
        let (left, proper) = match self.look(list) {
            Term::List(e) => (e.count as usize - 1, true),
            Term::Improper(e) => (e.count as usize - 1, false),
            _ => return None,
        };
        let rest = self.part(list, |all| body(all).map(skip))?;
        if let Value::Bytes(rest) = rest {
            return Some(self.remaining(rest, left, proper));
        }
        if left == 0 {
            return Some(if proper { self.nil() } else { rest });
        }
        let from = self.arena.len();
        let open = self.arena.open();
        self.put(rest);
        if proper {
            self.arena.close_list(open, left);
        } else {
            self.arena.close_improper(open, left);
        }
        Some(Value::Made(from, self.arena.len()))
    }

    /// A map of `parts`, keys and values in turn; of equal keys the last wins.
    pub fn map(&mut self, parts: &[Value<'a>]) -> Value<'a> {
        let flat: Vec<Value<'a>> = parts.iter().map(|&part| self.flat(part)).collect();
        let may_differ = self.may_differ();
        let mut kept: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(flat.len() / 2);
        {
            let key_of = |value: Value<'a>| {
                let bytes = self.bytes(value);
                if may_differ && !self.program.words.signed_zero {
                    term::canonical_zero(bytes)
                } else {
                    bytes.to_vec()
                }
            };
            let mut pairs: Vec<_> = flat.chunks_exact(2).map(|pair| (key_of(pair[0]), pair[0], pair[1])).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            for (i, (key, written, value)) in pairs.iter().enumerate() {
                if pairs.get(i + 1).is_none_or(|next| next.0 != *key) {
                    kept.push((*written, *value));
                }
            }
        }
        let from = self.arena.len();
        let open = self.arena.open();
        for &(key, value) in &kept {
            self.put(key);
            self.put(value);
        }
        self.arena.close_map(open, kept.len());
        Value::Made(from, self.arena.len())
    }
}

/// The elements of a container.
fn body(all: &[u8]) -> Option<&[u8]> {
    match read(all).0 {
        Term::List(e) | Term::Improper(e) | Term::Tuple(e) | Term::Map(e) => Some(e.body),
        _ => None,
    }
}

/// The value of a key in a map's elements.
pub(super) fn lookup<'b>(pairs: &'b [u8], key: &[u8], may_differ: bool) -> Option<&'b [u8]> {
    let mut rest = pairs;
    while !rest.is_empty() {
        let after_key = skip(rest);
        let after_value = skip(after_key);
        if term::same(&rest[..rest.len() - after_key.len()], key, may_differ) {
            return Some(&after_key[..after_key.len() - after_value.len()]);
        }
        rest = after_value;
    }
    None
}
