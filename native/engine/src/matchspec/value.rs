//! Values of a run, and how they compare.
//!
//! A value is a slice of the record, the program or the environment as long as possible. Small results of functions are kept
//! unwritten; what must be bytes is written to the arena and named by its range, for the arena moves while it grows.

use super::program::{Comparison, Env, Operand, Program};
use crate::term::order::{self, Beside};
use crate::term::{self, read, tag, Attached, Record, Term, Writer, BLOB_MIN};
use smallvec::SmallVec;
use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    /// From and to in the arena.
    Made(usize, usize),
    Int(i64),
    Float(f64),
    Bool(bool),
    Atom(u64),
    /// The record as a tuple, not written yet.
    Whole,
}

/// One record on its way through one clause.
pub(super) struct Machine<'a, 'm> {
    pub program: &'a Program,
    pub record: &'a Record,
    pub env: &'a Env<'a>,
    pub arena: &'m mut Writer,
    pub slots: SmallVec<[Value<'a>; 8]>,
}

impl<'a, 'm> Machine<'a, 'm> {
    #[inline]
    pub fn new(program: &'a Program, record: &'a Record, env: &'a Env<'a>, arena: &'m mut Writer) -> Self {
        arena.clear();
        Machine { program, record, env, arena, slots: SmallVec::new() }
    }

    #[inline]
    pub fn load(&self, operand: Operand) -> Value<'a> {
        match operand {
            Operand::Literal(index) => self.program.literal(index),
            Operand::Field(index) => Value::Bytes(self.record.field(index)),
            Operand::Slot(index) => self.slots[index],
            Operand::Whole => Value::Whole,
        }
    }

    /// Looks at a value; the whole record must have been written before.
    #[inline]
    pub fn look(&self, value: Value<'a>) -> Term<'_> {
        match value {
            Value::Bytes(bytes) => read(bytes).0,
            Value::Made(from, to) => read(&self.arena.buf[from..to]).0,
            Value::Int(i) => Term::Int(i),
            Value::Float(f) => Term::Float(f),
            Value::Bool(b) => Term::Atom(if b { self.program.words.true_ } else { self.program.words.false_ }),
            Value::Atom(word) => Term::Atom(word),
            Value::Whole => unreachable!("the whole record is written before it is looked at"),
        }
    }

    /// A part of a value, found by `pick` in its bytes.
    #[inline]
    pub fn part(&self, value: Value<'a>, pick: impl for<'b> FnOnce(&'b [u8]) -> Option<&'b [u8]>) -> Option<Value<'a>> {
        match value {
            Value::Bytes(bytes) => pick(bytes).map(Value::Bytes),
            Value::Made(from, to) => {
                let all = &self.arena.buf[from..to];
                pick(all).map(|part| {
                    let start = from + (part.as_ptr() as usize - all.as_ptr() as usize);
                    Value::Made(start, start + part.len())
                })
            }
            _ => None,
        }
    }

    /// Is it this boolean, or none?
    #[inline]
    pub fn boolean(&self, value: Value<'a>) -> Option<bool> {
        match value {
            Value::Bool(b) => Some(b),
            Value::Whole => None,
            other => match self.look(other) {
                Term::Atom(word) if word == self.program.words.true_ => Some(true),
                Term::Atom(word) if word == self.program.words.false_ => Some(false),
                _ => None,
            },
        }
    }

    #[inline]
    pub fn compare(&mut self, op: Comparison, left: Value<'a>, right: Value<'a>) -> bool {
        if let (Some(x), Some(y)) = (self.small(left), self.small(right)) {
            return holds(op, x.cmp(&y));
        }
        match op {
            Comparison::Same => self.same(left, right),
            Comparison::NotSame => !self.same(left, right),
            _ => holds(op, self.order(left, right)),
        }
    }

    /// The value if it is an integer of the usual size, without a look at the rest.
    #[inline]
    pub fn small(&self, value: Value<'a>) -> Option<i64> {
        let bytes = match value {
            Value::Int(i) => return Some(i),
            Value::Bytes(bytes) => bytes,
            _ => return None,
        };
        match *bytes {
            [small @ 0..=0x7f] => Some(i64::from(small)),
            [tag::INT1, a] => Some(i64::from(a as i8)),
            [tag::INT2, a, b] => Some(i64::from(i16::from_le_bytes([a, b]))),
            [tag::INT4, a, b, c, d] => Some(i64::from(i32::from_le_bytes([a, b, c, d]))),
            _ => None,
        }
    }

    /// `=:=`
    pub fn same(&mut self, left: Value<'a>, right: Value<'a>) -> bool {
        if let (Value::Whole, Value::Whole) = (left, right) {
            return true;
        }
        let (left, right) = (self.written(left), self.written(right));
        let (a, b) = (self.look(left), self.look(right));
        match (a, b) {
            (Term::Int(x), Term::Int(y)) => return x == y,
            (Term::Atom(x), Term::Atom(y)) => return x == y,
            (Term::Float(x), Term::Float(y)) => {
                return x == y && (!self.program.words.signed_zero || x.is_sign_negative() == y.is_sign_negative())
            }
            // Cut out of a large binary, and so not in the canonical form of large binaries.
            (Term::Binary(x), Term::Blob { .. }) | (Term::Blob { .. }, Term::Binary(x)) if x.len() >= BLOB_MIN => {
                return self.by_order(left, right) == Ordering::Equal;
            }
            _ => {}
        }
        let (left, right) = (self.flat(left), self.flat(right));
        let may_differ = self.may_differ();
        term::same(self.bytes(left), self.bytes(right), may_differ)
    }

    /// Could a `-0.0` be in anything that is compared?
    pub fn may_differ(&self) -> bool {
        self.record.negative_zero() || self.program.negative_zero || self.arena.negative_zero
    }

    /// Term order with `1 == 1.0`.
    fn order(&mut self, left: Value<'a>, right: Value<'a>) -> Ordering {
        if let (Value::Whole, Value::Whole) = (left, right) {
            return Ordering::Equal;
        }
        let (left, right) = (self.written(left), self.written(right));
        match (self.look(left), self.look(right)) {
            (Term::Int(x), Term::Int(y)) => return x.cmp(&y),
            (Term::Float(x), Term::Float(y)) => return x.partial_cmp(&y).unwrap_or(Ordering::Equal),
            (Term::Int(x), Term::Float(y)) => return order::int_float(x, y),
            (Term::Float(x), Term::Int(y)) => return order::int_float(y, x).reverse(),
            (Term::Atom(x), Term::Atom(y)) if x == y => return Ordering::Equal,
            (Term::Binary(x), Term::Binary(y)) => return x.cmp(y),
            _ => {}
        }
        let (left, right) = (self.flat(left), self.flat(right));
        self.by_order(left, right)
    }

    #[inline(never)]
    fn by_order(&self, left: Value<'a>, right: Value<'a>) -> Ordering {
        let (a, b) = (self.bytes(left), self.bytes(right));
        let joined;
        let beside: Beside = match (self.record.attached(), &self.program.attached) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(&**one),
            (Some(record), Some(program)) => {
                joined = Joined(record.clone(), program.clone());
                Some(&joined)
            }
        };
        order::compare(a, b, beside, beside)
    }

    /// Content of a large binary of the record or the spec.
    pub fn content(&self, identity: &[u8]) -> Option<&'a [u8]> {
        let in_record = self.record.attached().and_then(|a| a.content(identity));
        in_record.or_else(|| self.program.attached.as_ref().and_then(|a| a.content(identity)))
    }

    /// Bytes of a value that was made flat.
    #[inline]
    pub fn bytes(&self, value: Value<'a>) -> &[u8] {
        match value {
            Value::Bytes(bytes) => bytes,
            Value::Made(from, to) => &self.arena.buf[from..to],
            _ => unreachable!("the value is flat"),
        }
    }
}

/// Does an order satisfy a comparison by value?
#[inline]
pub(super) fn holds(op: Comparison, order: Ordering) -> bool {
    match op {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Equal | Comparison::Same => order.is_eq(),
        Comparison::NotEqual | Comparison::NotSame => order.is_ne(),
    }
}

/// Attachments of a record and of a spec: a constructed term may hold binaries of both.
struct Joined(Arc<dyn Attached>, Arc<dyn Attached>);

impl Attached for Joined {
    fn content(&self, identity: &[u8]) -> Option<&[u8]> {
        self.0.content(identity).or_else(|| self.1.content(identity))
    }
    fn bytes(&self) -> usize {
        0
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
