//! Running heads.
//!
//! Elements of a container stand one after the other, so a pattern is a walk with a stack of cursors. Literals are compared as prefixes:
//! a term's length is in its first bytes, so a term that begins with another term's bytes is that term.

use super::construct::lookup;
use super::program::{Clause, Step};
use super::value::{Machine, Value};
use crate::term::{read, skip, Term};
use smallvec::SmallVec;

/// The rest of a container.
struct Cursor<'a> {
    rest: &'a [u8],
    /// Cells left and kind of tail, for lists of any length.
    left: usize,
    proper: bool,
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Cursor { rest, left: 0, proper: true }
    }

    /// The next term.
    fn next(&mut self) -> &'a [u8] {
        let after = skip(self.rest);
        let one = &self.rest[..self.rest.len() - after.len()];
        self.rest = after;
        self.left = self.left.saturating_sub(1);
        one
    }
}

impl<'a> Machine<'a, '_> {
    /// Does the head match? Literals of fields have been looked at before.
    #[inline]
    pub fn head(&mut self, clause: &'a Clause) -> bool {
        for &(field, operand) in &clause.repeats {
            let (field, other) = (Value::Bytes(self.record.field(field)), self.load(operand));
            if !self.same(field, other) {
                return false;
            }
        }
        if clause.patterns.is_empty() {
            return true;
        }
        self.slots.resize(clause.slots, Value::Bytes(&[]));
        clause.patterns.iter().all(|(field, steps)| self.walk(self.record.field(*field), steps))
    }

    fn walk(&mut self, field: &'a [u8], steps: &'a [Step]) -> bool {
        let mut cursors: SmallVec<[Cursor<'a>; 8]> = SmallVec::new();
        cursors.push(Cursor::new(field));
        for step in steps {
            let Some(top) = cursors.last_mut() else { return false };
            let inner = match *step {
                Step::Skip => {
                    top.next();
                    continue;
                }
                Step::Literal(index) => {
                    if top.next() != &self.program.literals[index][..] {
                        return false;
                    }
                    continue;
                }
                Step::Bind(slot) => {
                    self.slots[slot] = Value::Bytes(top.next());
                    continue;
                }
                Step::Check(operand) => {
                    let (one, other) = (Value::Bytes(top.next()), self.load(operand));
                    if !self.same(one, other) {
                        return false;
                    }
                    continue;
                }
                Step::Leave => {
                    cursors.pop();
                    continue;
                }
                Step::RestBind(slot) => {
                    let (rest, left, proper) = (top.rest, top.left, top.proper);
                    self.slots[slot] = self.remaining(rest, left, proper);
                    continue;
                }
                Step::RestCheck(operand) => {
                    let (rest, left, proper) = (top.rest, top.left, top.proper);
                    let (rest, other) = (self.remaining(rest, left, proper), self.load(operand));
                    if !self.same(rest, other) {
                        return false;
                    }
                    continue;
                }
                Step::Key(index) => {
                    let may_differ = self.may_differ();
                    lookup(top.rest, &self.program.literals[index], may_differ).map(Cursor::new)
                }
                Step::Tuple(count) => match read(top.next()).0 {
                    Term::Tuple(e) if e.count as usize == count => Some(Cursor::new(e.body)),
                    _ => None,
                },
                Step::List(count) => match read(top.next()).0 {
                    Term::List(e) if e.count as usize == count => Some(Cursor::new(e.body)),
                    _ => None,
                },
                Step::Improper(count) => match read(top.next()).0 {
                    Term::Improper(e) if e.count as usize == count => Some(Cursor::new(e.body)),
                    _ => None,
                },
                Step::Cells(count) => match read(top.next()).0 {
                    Term::List(e) if e.count as usize >= count => {
                        Some(Cursor { rest: e.body, left: e.count as usize, proper: true })
                    }
                    Term::Improper(e) if e.count as usize >= count => {
                        Some(Cursor { rest: e.body, left: e.count as usize, proper: false })
                    }
                    _ => None,
                },
                Step::Map => match read(top.next()).0 {
                    Term::Map(e) => Some(Cursor::new(e.body)),
                    _ => None,
                },
            };
            match inner {
                Some(cursor) => cursors.push(cursor),
                None => return false,
            }
        }
        true
    }
}
