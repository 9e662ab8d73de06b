//! The guard functions.

use super::construct::lookup;
use super::number::{self, Bitwise, Number, Rounding};
use super::program::Comparison;
use super::value::{Machine, Value};
use crate::term::atom::host;
use crate::term::tag;
use crate::term::{read, skip, Term, Writer};

/// A function that specs may call; the argument count was checked by [`find`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Is(Kind),
    IsFunctionOf,
    IsRecord,
    IsMapKey,
    MapGet,
    MapSize,
    Element,
    Head,
    Tail,
    Length,
    Size,
    ByteSize,
    BitSize,
    TupleSize,
    BinaryPart,
    NodeOf,
    Not,
    Xor,
    Compare(Comparison),
    Least,
    Greatest,
    Plus,
    Minus,
    Add,
    Subtract,
    Multiply,
    Divide,
    Quotient,
    Remainder,
    Bits(Bitwise),
    Complement,
    ShiftLeft,
    ShiftRight,
    Absolute,
    ToFloat,
    ToInteger(Rounding),
}

/// Type tests of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Atom,
    Binary,
    Bitstring,
    Boolean,
    Float,
    Function,
    Integer,
    List,
    Map,
    Number,
    Pid,
    Port,
    Reference,
    Tuple,
}

/// Name, arguments, function, release that has it. `is_record/2` never was one.
const FUNCTIONS: &[(&[u8], usize, Function, u32)] = &[
    (b"is_atom", 1, Function::Is(Kind::Atom), 0),
    (b"is_binary", 1, Function::Is(Kind::Binary), 0),
    (b"is_bitstring", 1, Function::Is(Kind::Bitstring), 26),
    (b"is_boolean", 1, Function::Is(Kind::Boolean), 26),
    (b"is_float", 1, Function::Is(Kind::Float), 0),
    (b"is_function", 1, Function::Is(Kind::Function), 0),
    (b"is_integer", 1, Function::Is(Kind::Integer), 0),
    (b"is_list", 1, Function::Is(Kind::List), 0),
    (b"is_map", 1, Function::Is(Kind::Map), 0),
    (b"is_number", 1, Function::Is(Kind::Number), 0),
    (b"is_pid", 1, Function::Is(Kind::Pid), 0),
    (b"is_port", 1, Function::Is(Kind::Port), 0),
    (b"is_reference", 1, Function::Is(Kind::Reference), 0),
    (b"is_tuple", 1, Function::Is(Kind::Tuple), 0),
    (b"is_function", 2, Function::IsFunctionOf, 26),
    (b"is_record", 3, Function::IsRecord, 0),
    (b"is_map_key", 2, Function::IsMapKey, 0),
    (b"map_get", 2, Function::MapGet, 0),
    (b"map_size", 1, Function::MapSize, 0),
    (b"element", 2, Function::Element, 0),
    (b"hd", 1, Function::Head, 0),
    (b"tl", 1, Function::Tail, 0),
    (b"length", 1, Function::Length, 0),
    (b"size", 1, Function::Size, 0),
    (b"byte_size", 1, Function::ByteSize, 0),
    (b"bit_size", 1, Function::BitSize, 0),
    (b"tuple_size", 1, Function::TupleSize, 26),
    (b"binary_part", 2, Function::BinaryPart, 0),
    (b"binary_part", 3, Function::BinaryPart, 0),
    (b"node", 1, Function::NodeOf, 0),
    (b"not", 1, Function::Not, 0),
    (b"xor", 2, Function::Xor, 0),
    (b"<", 2, Function::Compare(Comparison::Less), 0),
    (b"=<", 2, Function::Compare(Comparison::LessOrEqual), 0),
    (b">", 2, Function::Compare(Comparison::Greater), 0),
    (b">=", 2, Function::Compare(Comparison::GreaterOrEqual), 0),
    (b"==", 2, Function::Compare(Comparison::Equal), 0),
    (b"/=", 2, Function::Compare(Comparison::NotEqual), 0),
    (b"=:=", 2, Function::Compare(Comparison::Same), 0),
    (b"=/=", 2, Function::Compare(Comparison::NotSame), 0),
    (b"min", 2, Function::Least, 26),
    (b"max", 2, Function::Greatest, 26),
    (b"+", 1, Function::Plus, 0),
    (b"-", 1, Function::Minus, 0),
    (b"+", 2, Function::Add, 0),
    (b"-", 2, Function::Subtract, 0),
    (b"*", 2, Function::Multiply, 0),
    (b"/", 2, Function::Divide, 0),
    (b"div", 2, Function::Quotient, 0),
    (b"rem", 2, Function::Remainder, 0),
    (b"band", 2, Function::Bits(Bitwise::And), 0),
    (b"bor", 2, Function::Bits(Bitwise::Or), 0),
    (b"bxor", 2, Function::Bits(Bitwise::Xor), 0),
    (b"bnot", 1, Function::Complement, 0),
    (b"bsl", 2, Function::ShiftLeft, 0),
    (b"bsr", 2, Function::ShiftRight, 0),
    (b"abs", 1, Function::Absolute, 0),
    (b"float", 1, Function::ToFloat, 0),
    (b"round", 1, Function::ToInteger(Rounding::Round), 0),
    (b"trunc", 1, Function::ToInteger(Rounding::Trunc), 0),
    (b"floor", 1, Function::ToInteger(Rounding::Floor), 26),
    (b"ceil", 1, Function::ToInteger(Rounding::Ceil), 26),
];

/// The function of this name, if this release lets specs call it.
pub(super) fn find(name: &[u8], arguments: usize, release: u32) -> Option<Function> {
    let found = FUNCTIONS.iter().find(|f| f.0 == name && f.1 == arguments && f.3 <= release);
    found.map(|f| f.2)
}

impl<'a> Machine<'a, '_> {
    /// `None` is `badarg`, `badarith`, `system_limit` ..: nobody asks which.
    #[inline]
    pub fn call(&mut self, function: Function, arguments: &[Value<'a>]) -> Option<Value<'a>> {
        match *arguments {
            [one] => self.call_one(function, one),
            [one, two] => self.call_two(function, one, two),
            [one, two, three] => self.call_three(function, one, two, three),
            _ => None,
        }
    }

    fn call_one(&mut self, function: Function, value: Value<'a>) -> Option<Value<'a>> {
        if let Value::Whole = value {
            // What the record answers without being written.
            match function {
                Function::Is(kind) => return Some(Value::Bool(kind == Kind::Tuple)),
                Function::Size | Function::TupleSize => return Some(Value::Int(self.record.fields() as i64 + 1)),
                _ => return None,
            }
        }
        let bits = |len: usize, last_bits: u8| (len as i64 - 1) * 8 + i64::from(last_bits);
        let term = self.look(value);
        let integer = match (function, term) {
            (Function::Is(Kind::Boolean), _) => return Some(Value::Bool(self.boolean(value).is_some())),
            (Function::Is(kind), term) => return Some(Value::Bool(is(kind, &term))),
            (Function::Not, _) => return self.boolean(value).map(|b| Value::Bool(!b)),
            (Function::Head, Term::List(_) | Term::Improper(_)) => {
                return self.part(value, |all| match read(all).0 {
                    Term::List(e) | Term::Improper(e) => e.iter().next(),
                    _ => None,
                })
            }
            (Function::Tail, _) => return self.tail(value),
            (Function::NodeOf, term) => return self.node_of(&term),
            (Function::Length, Term::Nil) => 0,
            (Function::Length, Term::List(e)) => i64::from(e.count),
            (Function::MapSize, Term::Map(e)) => i64::from(e.count),
            (Function::Size | Function::TupleSize, Term::Tuple(e)) => i64::from(e.count),
            (Function::Size | Function::ByteSize, Term::Binary(b)) => b.len() as i64,
            (Function::Size | Function::ByteSize, Term::Blob { len, .. }) => len as i64,
            (Function::Size, Term::Bits { bytes, .. }) => bytes.len() as i64 - 1,
            (Function::ByteSize, Term::Bits { bytes, .. }) => bytes.len() as i64,
            (Function::BitSize, Term::Binary(b)) => b.len() as i64 * 8,
            (Function::BitSize, Term::Blob { len, .. }) => len as i64 * 8,
            (Function::BitSize, Term::Bits { bytes, last_bits }) => bits(bytes.len(), last_bits),
            (function, term) => {
                let number = Number::of(&term)?;
                let answer = match function {
                    Function::Plus => Some(number),
                    Function::Minus => number::negate(number),
                    Function::Complement => number::complement(number),
                    Function::Absolute => number::absolute(number),
                    Function::ToFloat => number.float().map(Number::Float),
                    Function::ToInteger(how) => number::to_integer(number, how),
                    _ => None,
                };
                return answer.map(|number| self.number(number));
            }
        };
        Some(Value::Int(integer))
    }

    fn call_two(&mut self, function: Function, one: Value<'a>, two: Value<'a>) -> Option<Value<'a>> {
        match function {
            Function::Compare(op) => return Some(Value::Bool(self.compare(op, one, two))),
            Function::Least => return Some(if self.compare(Comparison::LessOrEqual, one, two) { one } else { two }),
            Function::Greatest => return Some(if self.compare(Comparison::GreaterOrEqual, one, two) { one } else { two }),
            Function::Element => return self.element(one, two),
            Function::Xor => return Some(Value::Bool(self.boolean(one)? != self.boolean(two)?)),
            Function::MapGet | Function::IsMapKey => return self.map_get(function, one, two),
            Function::BinaryPart => {
                let two = self.written(two);
                let (start, len) = pair_of_integers(&self.look(two))?;
                return self.binary_part(one, start, len);
            }
            Function::IsFunctionOf => return self.is_function_of(one, two),
            _ => {}
        }
        if matches!(one, Value::Whole) || matches!(two, Value::Whole) {
            return None;
        }
        let (a, b) = (Number::of(&self.look(one))?, Number::of(&self.look(two))?);
        let answer = match function {
            Function::Add => number::add(a, b),
            Function::Subtract => number::subtract(a, b),
            Function::Multiply => number::multiply(a, b),
            Function::Divide => number::divide(a, b),
            Function::Quotient => number::quotient(a, b, false),
            Function::Remainder => number::quotient(a, b, true),
            Function::Bits(op) => number::bitwise(a, b, op),
            Function::ShiftLeft => number::shift(a, b, true),
            Function::ShiftRight => number::shift(a, b, false),
            _ => None,
        };
        answer.map(|number| self.number(number))
    }

    fn call_three(&mut self, function: Function, one: Value<'a>, two: Value<'a>, three: Value<'a>) -> Option<Value<'a>> {
        let (two, three) = (self.written(two), self.written(three));
        // The usual `is_record` asks about the record itself, which need not be written for that.
        let is_whole = matches!(one, Value::Whole);
        let one = if is_whole && function == Function::IsRecord { one } else { self.written(one) };
        match (function, self.look(two), self.look(three)) {
            (Function::BinaryPart, Term::Int(start), Term::Int(len)) => self.binary_part(one, start, len),
            // The BEAM wants a small integer here, and calls a large one a bad argument.
            (Function::IsRecord, Term::Atom(name), Term::Int(size)) if (-(1 << 59)..1 << 59).contains(&size) => {
                if is_whole {
                    let found = name == self.program.words.name && size == self.record.fields() as i64 + 1;
                    return Some(Value::Bool(found));
                }
                let found = match self.look(one) {
                    Term::Tuple(e) if i64::from(e.count) == size => {
                        matches!(e.iter().next().map(|first| read(first).0), Some(Term::Atom(first)) if first == name)
                    }
                    _ => false,
                };
                Some(Value::Bool(found))
            }
            _ => None,
        }
    }

    /// `element/2`. Elements of the record itself are reached without writing it.
    fn element(&mut self, index: Value<'a>, tuple: Value<'a>) -> Option<Value<'a>> {
        if let Value::Whole = index {
            return None;
        }
        let Term::Int(index) = self.look(index) else { return None };
        let index = usize::try_from(index).ok()?.checked_sub(1)?;
        if let Value::Whole = tuple {
            return match index {
                0 => Some(Value::Atom(self.program.words.name)),
                _ => (index <= self.record.fields()).then(|| Value::Bytes(self.record.field(index - 1))),
            };
        }
        self.part(tuple, |all| match read(all).0 {
            Term::Tuple(e) => e.iter().nth(index),
            _ => None,
        })
    }

    fn map_get(&mut self, function: Function, key: Value<'a>, map: Value<'a>) -> Option<Value<'a>> {
        if let Value::Whole = map {
            return None;
        }
        let key = self.written(key);
        let key = self.flat(key);
        let may_differ = self.may_differ();
        if let Function::IsMapKey = function {
            let Term::Map(e) = self.look(map) else { return None };
            return Some(Value::Bool(lookup(e.body, self.bytes(key), may_differ).is_some()));
        }
        self.part(map, |all| match read(all).0 {
            Term::Map(e) => lookup(e.body, self.bytes(key), may_differ),
            _ => None,
        })
    }

    /// A negative length counts backwards from `start`. Where there are bits after the last whole byte, OTP 27 refuses; before, they are out of reach.
    fn binary_part(&mut self, binary: Value<'a>, start: i64, len: i64) -> Option<Value<'a>> {
        let (from, to) = if len < 0 { (start.checked_add(len)?, start) } else { (start, start.checked_add(len)?) };
        let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
        if let Value::Whole = binary {
            return None;
        }
        let whole = match self.look(binary) {
            Term::Binary(bytes) => bytes,
            Term::Bits { bytes, .. } if host().release() < 27 => &bytes[..bytes.len() - 1],
            Term::Blob { .. } => self.content(self.bytes(binary))?,
            _ => return None,
        };
        // The arena may be what is read, so the part is taken out before it is written.
        let part = whole.get(from..to)?.to_vec();
        let from = self.arena.len();
        binary_of_any_size(self.arena, &part);
        Some(Value::Made(from, self.arena.len()))
    }

    fn is_function_of(&mut self, fun: Value<'a>, arity: Value<'a>) -> Option<Value<'a>> {
        let (fun, arity) = (self.written(fun), self.written(arity));
        let wanted = match self.look(arity) {
            Term::Int(i) if i >= 0 => i,
            Term::Big { negative: false, .. } => return Some(Value::Bool(false)),
            _ => return None,
        };
        let found = match self.look(fun) {
            Term::Export { arity, .. } => arity == wanted,
            // Module, then index and uniq, then the number of arguments.
            Term::Fun(identity) => i64::from(skip(identity)[20]) == wanted,
            _ => false,
        };
        Some(Value::Bool(found))
    }

    fn node_of(&self, term: &Term) -> Option<Value<'a>> {
        let word = match term {
            Term::Pid(_) | Term::Port(_) | Term::Ref(_) => return Some(Value::Bytes(self.env.node)),
            Term::ExtPid(id) | Term::ExtPort(id) | Term::ExtRef(id) => id.node,
            _ => return None,
        };
        Some(Value::Atom(word))
    }

    #[inline]
    fn number(&mut self, number: Number) -> Value<'a> {
        match number {
            Number::Int(i) => Value::Int(i),
            Number::Float(f) => {
                self.arena.negative_zero |= f == 0.0 && f.is_sign_negative();
                Value::Float(f)
            }
            Number::Big(b) => {
                let (sign, magnitude) = b.to_bytes_le();
                let from = self.arena.len();
                self.arena.big(sign == num_bigint::Sign::Minus, &magnitude);
                Value::Made(from, self.arena.len())
            }
        }
    }
}

/// The arithmetic of machine words, where it stays one.
#[inline]
pub(super) fn of_integers(function: Function, x: i64, y: i64) -> Option<i64> {
    match function {
        Function::Add => x.checked_add(y),
        Function::Subtract => x.checked_sub(y),
        Function::Multiply => x.checked_mul(y),
        Function::Quotient => x.checked_div(y),
        Function::Remainder => x.checked_rem(y),
        Function::Bits(Bitwise::And) => Some(x & y),
        Function::Bits(Bitwise::Or) => Some(x | y),
        Function::Bits(Bitwise::Xor) => Some(x ^ y),
        _ => None,
    }
}

fn pair_of_integers(term: &Term) -> Option<(i64, i64)> {
    let Term::Tuple(e) = term else { return None };
    let mut parts = e.iter().map(|part| read(part).0);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Term::Int(one)), Some(Term::Int(two)), None) => Some((one, two)),
        _ => None,
    }
}

fn is(kind: Kind, term: &Term) -> bool {
    match term {
        Term::Int(_) | Term::Big { .. } => matches!(kind, Kind::Integer | Kind::Number),
        Term::Float(_) => matches!(kind, Kind::Float | Kind::Number),
        Term::Atom(_) => kind == Kind::Atom,
        Term::Pid(_) | Term::ExtPid(_) => kind == Kind::Pid,
        Term::Port(_) | Term::ExtPort(_) => kind == Kind::Port,
        Term::Ref(_) | Term::ExtRef(_) => kind == Kind::Reference,
        Term::Fun(_) | Term::Export { .. } => kind == Kind::Function,
        Term::Nil | Term::List(_) | Term::Improper(_) => kind == Kind::List,
        Term::Tuple(_) => kind == Kind::Tuple,
        Term::Map(_) => kind == Kind::Map,
        Term::Binary(_) | Term::Blob { .. } => matches!(kind, Kind::Binary | Kind::Bitstring),
        Term::Bits { .. } => kind == Kind::Bitstring,
    }
}

/// [`Writer::binary`] refuses what should be a large binary; here it is a passing value that the host decodes at once.
fn binary_of_any_size(out: &mut Writer, bytes: &[u8]) {
    if bytes.len() < crate::term::BLOB_MIN {
        return out.binary(bytes);
    }
    out.buf.push(tag::BINARY_L);
    out.buf.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.buf.extend_from_slice(bytes);
}
