//! Running guards and bodies.
//!
//! A guard that fails is false. In a body a function that fails answers `'EXIT'`, and what uses that answer goes on with the atom.

use super::functions::{of_integers, Function};
use super::program::{Body, Comparison, Guard, Op, Program};
use super::value::{holds, Machine, Value};
use crate::term::{int, order, Record};
use smallvec::SmallVec;

impl Program {
    /// The answer of a guard that looks at one field only.
    #[inline(always)]
    pub(super) fn simple(&self, guard: &Guard, record: &Record) -> Option<bool> {
        let &Guard::Integer { field, op, with, literal } = guard else { return self.other_simple(guard, record) };
        let bytes = record.field(field);
        let order = match int(bytes) {
            Some(i) => i.cmp(&with),
            // No large binary is on either side where it would be looked into: the other side is a number.
            _ => order::compare(bytes, &self.literals[literal], None, None),
        };
        Some(holds(op, order))
    }

    /// Apart, so that the most frequent guard needs no call.
    #[inline(never)]
    fn other_simple(&self, guard: &Guard, record: &Record) -> Option<bool> {
        match *guard {
            Guard::Integer { .. } => self.simple(guard, record),
            // As above: the other side is a number.
            Guard::Number { field, op, literal } => {
                Some(holds(op, order::compare(record.field(field), &self.literals[literal], None, None)))
            }
            Guard::Bytes { field, literal, equal } => Some((record.field(field) == &self.literals[literal][..]) == equal),
            Guard::In { field, ref literals } => {
                let value = record.field(field);
                Some(literals.binary_search_by(|&literal| self.literals[literal][..].cmp(value)).is_ok())
            }
            Guard::Never => Some(false),
            Guard::Any(ref parts) => {
                let mut known = Some(false);
                for part in parts {
                    match self.simple(part, record) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => known = None,
                    }
                }
                known
            }
            Guard::Compare { .. } | Guard::Code(_) => None,
        }
    }
}

impl<'a> Machine<'a, '_> {
    /// Is this guard true? Those that [`Program::simple`] answers have been asked before, and were not false.
    #[inline]
    pub fn guard(&mut self, guard: &'a Guard) -> bool {
        match guard {
            Guard::Compare { op, left, right } => {
                let (left, right) = (self.load(*left), self.load(*right));
                self.compare(*op, left, right)
            }
            Guard::Code(code) => {
                let value = self.code(code, true);
                value.and_then(|value| self.boolean(value)) == Some(true)
            }
            Guard::Any(parts) => parts.iter().any(|part| match self.program.simple(part, self.record) {
                Some(known) => known,
                None => self.guard(part),
            }),
            Guard::Integer { .. } | Guard::Number { .. } | Guard::Bytes { .. } | Guard::In { .. } | Guard::Never => true,
        }
    }

    /// The range of the answer in the arena; none if it is the record itself.
    #[inline]
    pub fn body(&mut self, body: &'a Body) -> Option<(usize, usize)> {
        let value = match body {
            Body::Load(operand) => self.load(*operand),
            Body::Code(code) => self.code(code, false).unwrap_or(self.program.literal(self.program.exit)),
        };
        match value {
            Value::Whole => None,
            Value::Made(from, to) => Some((from, to)),
            other => {
                let from = self.arena.len();
                self.put(other);
                Some((from, self.arena.len()))
            }
        }
    }

    fn code(&mut self, code: &'a [Op], in_guard: bool) -> Option<Value<'a>> {
        let mut stack: SmallVec<[Value<'a>; 8]> = SmallVec::new();
        let mut at = 0;
        while let Some(op) = code.get(at) {
            at += 1;
            let (arguments, answer) = match *op {
                // The three arms that make up nearly all code put their answer right where it belongs: a value that is
                // passed on as `Option<Value>` is written and read in pieces of different size, which costs 20 ns each time.
                Op::Load(operand) => {
                    stack.push(self.load(operand));
                    continue;
                }
                Op::Compare(op, left, right) => {
                    let (left, right) = (self.load(left), self.load(right));
                    let holds = self.compare(op, left, right);
                    stack.push(Value::Bool(holds));
                    continue;
                }
                Op::Call(function, 2) if self.of_small(function, &mut stack) => continue,
                Op::SelfPid => (0, Some(Value::Bytes(self.env.self_pid))),
                Op::Node => (0, Some(Value::Bytes(self.env.node))),
                Op::Call(function, count) => (count, self.call(function, &stack[stack.len() - count..])),
                Op::And(count) => (count, self.all_booleans(&stack[stack.len() - count..], |a, b| a & b)),
                Op::Or(count) => (count, self.all_booleans(&stack[stack.len() - count..], |a, b| a | b)),
                Op::Tuple(count) => (count, Some(self.tuple(&stack[stack.len() - count..]))),
                Op::List(count) => (count, Some(self.list(&stack[stack.len() - count..], None))),
                Op::Improper(count) => {
                    let parts = &stack[stack.len() - count..];
                    (count, parts.split_last().map(|(tail, heads)| self.list(heads, Some(*tail))))
                }
                Op::Map(count) => (count, Some(self.map(&stack[stack.len() - count..]))),
                Op::AndAlso(end) | Op::OrElse(end) => {
                    let goes_on = matches!(op, Op::AndAlso(_));
                    let value = stack.last().and_then(|&value| self.boolean(value));
                    if value == Some(goes_on) {
                        stack.pop();
                        continue;
                    }
                    at = end;
                    (1, value.map(Value::Bool))
                }
            };
            stack.truncate(stack.len() - arguments);
            match answer {
                Some(value) => stack.push(value),
                None if in_guard => return None,
                None => stack.push(self.program.literal(self.program.exit)),
            }
        }
        stack.pop()
    }

    /// Does the function on two small integers at the top of the stack, if that is what they are and it is easy.
    #[inline]
    fn of_small(&self, function: Function, stack: &mut SmallVec<[Value<'a>; 8]>) -> bool {
        let [.., one, two] = stack[..] else { return false };
        let (Some(x), Some(y)) = (self.small(one), self.small(two)) else { return false };
        let answer = match function {
            Function::Compare(op) => Value::Bool(holds(op, x.cmp(&y))),
            other => match of_integers(other, x, y) {
                Some(answer) => Value::Int(answer),
                None => return false,
            },
        };
        stack.pop();
        stack.pop();
        stack.push(answer);
        true
    }

    fn all_booleans(&self, values: &[Value<'a>], join: fn(bool, bool) -> bool) -> Option<Value<'a>> {
        let mut all = values.iter().map(|&value| self.boolean(value));
        let first = all.next()??;
        all.try_fold(first, |so_far, value| value.map(|value| join(so_far, value))).map(Value::Bool)
    }
}

impl Comparison {
    /// The comparison that holds for `(b, a)` when this one holds for `(a, b)`.
    pub(super) fn flipped(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            other => other,
        }
    }
}
