//! What a record must be for a clause to match it: bounds out of head and guards.
//!
//! They are necessary, never sufficient: a planner visits the records within them and runs the program on each, so a guard that
//! is not understood here, or could fail, bounds nothing and changes nothing. A clause becomes alternatives (a union), each a conjunction
//! of conditions on different places.
//!
//! Guard code is walked once, with what each value says if it is `true` on the stack instead of the value.

use super::interval::{Interval, Intervals};
use super::program::{Clause, Comparison, Guard, Op, Operand, Program};
use crate::term::order;
use crate::term::{key, read, Term};

/// A field or a variable within a field, and the values it may have.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub place: Operand,
    pub values: Intervals,
}

pub(super) type Conjunction = Vec<Condition>;

/// A union. None of them: nothing can be true. One without a condition: anything can.
type Truth = Vec<Conjunction>;

/// Products of unions beyond this many parts are not multiplied out.
const MAX_PRODUCT: usize = 64;

/// One way to fulfil the spec.
#[derive(Clone, Debug)]
pub struct Alternative {
    pub(super) clause: usize,
    pub(super) conditions: Conjunction,
}

impl Program {
    /// All ways to fulfil the spec; none if no record of any kind can match.
    pub fn alternatives(&self) -> Vec<Alternative> {
        let mut all = Vec::new();
        for (number, clause) in self.clauses.iter().enumerate() {
            let ways = self.clause_truth(clause);
            all.extend(ways.into_iter().map(|mut conditions| {
                spread(clause, &mut conditions);
                Alternative { clause: number, conditions }
            }));
        }
        all
    }

    fn clause_truth(&self, clause: &Clause) -> Truth {
        let mut truth = anything();
        if let Some(keys) = &self.exact_keys {
            // A clause may match a record that another clause's key led to.
            let mut values = Intervals::default();
            keys.iter().for_each(|&literal| values.push(Interval::point(literal, self.form(literal), true)));
            truth = vec![vec![Condition { place: Operand::Field(0), values }]];
        }
        for &(field, literal) in &clause.literals {
            truth = both(truth, where_(Operand::Field(field), Interval::point(literal, self.form(literal), true)));
        }
        for guard in &clause.guards {
            truth = both(truth, self.guard_truth(guard));
        }
        truth
    }

    fn guard_truth(&self, guard: &Guard) -> Truth {
        match guard {
            Guard::Any(parts) => parts.iter().map(|part| self.simple_truth(part)).reduce(either).unwrap_or_default(),
            Guard::Code(code) => self.code_truth(code),
            other => self.simple_truth(other),
        }
    }

    fn simple_truth(&self, guard: &Guard) -> Truth {
        match *guard {
            Guard::Integer { field, op, literal, .. } | Guard::Number { field, op, literal } => {
                self.comparison(op, Operand::Field(field), Operand::Literal(literal))
            }
            Guard::Bytes { field, literal, equal: true } => {
                self.comparison(Comparison::Same, Operand::Field(field), Operand::Literal(literal))
            }
            Guard::Compare { op, left, right } => self.comparison(op, left, right),
            Guard::In { field, ref literals } => {
                let mut values = Intervals::default();
                literals.iter().for_each(|&literal| values.push(Interval::point(literal, self.form(literal), true)));
                vec![vec![Condition { place: Operand::Field(field), values }]]
            }
            Guard::Never => Vec::new(),
            Guard::Bytes { equal: false, .. } | Guard::Any(_) | Guard::Code(_) => anything(),
        }
    }

    fn comparison(&self, op: Comparison, left: Operand, right: Operand) -> Truth {
        let (op, place, literal) = match (left, right) {
            (Operand::Literal(a), Operand::Literal(b)) => return self.constant(op, a, b),
            (place @ (Operand::Field(_) | Operand::Slot(_)), Operand::Literal(literal)) => (op, place, literal),
            (Operand::Literal(literal), place @ (Operand::Field(_) | Operand::Slot(_))) => (op.flipped(), place, literal),
            _ => return anything(),
        };
        let form = || self.form(literal);
        let interval = match op {
            Comparison::Less => Interval::below(literal, form(), false),
            Comparison::LessOrEqual => Interval::below(literal, form(), true),
            Comparison::Greater => Interval::above(literal, form(), false),
            Comparison::GreaterOrEqual => Interval::above(literal, form(), true),
            Comparison::Equal => Interval::point(literal, form(), false),
            Comparison::Same => Interval::point(literal, form(), true),
            Comparison::NotEqual | Comparison::NotSame => return anything(),
        };
        where_(place, interval)
    }

    fn constant(&self, op: Comparison, a: usize, b: usize) -> Truth {
        if matches!(op, Comparison::Same | Comparison::NotSame) {
            return anything();
        }
        let beside = self.attached.as_deref();
        if super::value::holds(op, order::compare(&self.literals[a], &self.literals[b], beside, beside)) {
            anything()
        } else {
            Vec::new()
        }
    }

    /// What must hold for the code to end with `true`.
    fn code_truth(&self, code: &[Op]) -> Truth {
        let mut stack: Vec<Truth> = Vec::new();
        // Short-circuit forms under way: where they end, whether it is `andalso`, and what was known there.
        let mut open: Vec<(usize, bool, Truth)> = Vec::new();
        for at in 0..=code.len() {
            while open.last().is_some_and(|(end, ..)| *end == at) {
                let (Some((_, and, first)), Some(second)) = (open.pop(), stack.pop()) else { return anything() };
                stack.push(if and { both(first, second) } else { either(first, second) });
            }
            let Some(op) = code.get(at) else { break };
            let arguments = match *op {
                Op::Load(Operand::Literal(literal)) => {
                    let is_true = matches!(read(&self.literals[literal]).0, Term::Atom(word) if word == self.words.true_);
                    stack.push(if is_true { anything() } else { Vec::new() });
                    continue;
                }
                Op::Compare(op, left, right) => {
                    stack.push(self.comparison(op, left, right));
                    continue;
                }
                Op::And(count) | Op::Or(count) if count > 0 && count <= stack.len() => {
                    let parts = stack.split_off(stack.len() - count);
                    let join = if matches!(op, Op::And(_)) { both } else { either };
                    stack.extend(parts.into_iter().reduce(join));
                    continue;
                }
                Op::AndAlso(end) | Op::OrElse(end) => {
                    let Some(first) = stack.pop() else { return anything() };
                    open.push((end, matches!(op, Op::AndAlso(_)), first));
                    continue;
                }
                Op::Load(_) | Op::SelfPid | Op::Node => 0,
                Op::Call(_, count) | Op::Tuple(count) | Op::List(count) | Op::Improper(count) | Op::Map(count) => count,
                Op::And(_) | Op::Or(_) => return anything(),
            };
            if arguments > stack.len() {
                return anything();
            }
            stack.truncate(stack.len() - arguments);
            stack.push(anything());
        }
        stack.pop().unwrap_or_else(anything)
    }

    /// Ordered form of a literal.
    pub(super) fn form(&self, literal: usize) -> Vec<u8> {
        let mut form = Vec::with_capacity(16);
        key::write(&self.literals[literal], self.attached.as_deref(), &mut form);
        form
    }
}

fn anything() -> Truth {
    vec![Vec::new()]
}

fn where_(place: Operand, interval: Interval) -> Truth {
    vec![vec![Condition { place, values: interval.into() }]]
}

fn either(mut a: Truth, mut b: Truth) -> Truth {
    if a.iter().chain(&b).any(Vec::is_empty) {
        return anything();
    }
    if let ([a_], [b_]) = (&mut a[..], &mut b[..]) {
        if let ([x], [y]) = (&mut a_[..], &mut b_[..]) {
            if x.place == y.place {
                x.values.join(std::mem::take(&mut y.values));
                return a;
            }
        }
    }
    if b.len() > a.len() {
        std::mem::swap(&mut a, &mut b);
    }
    a.append(&mut b);
    a
}

fn both(a: Truth, b: Truth) -> Truth {
    let (mut few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    match &few[..] {
        [] => return few,
        [one] if one.is_empty() => return many,
        [_] => {}
        _ if few.len() * many.len() > MAX_PRODUCT => return few,
        _ => {}
    }
    let mut product = Vec::with_capacity(many.len());
    if let ([_], [_]) = (&few[..], &many[..]) {
        let (mut one, Some(other)) = (few.swap_remove(0), many.into_iter().next()) else { return anything() };
        if narrow(&mut one, other) {
            product.push(one);
        }
        return product;
    }
    for one in &few {
        for other in &many {
            let mut conditions = one.clone();
            if narrow(&mut conditions, other.clone()) {
                product.push(conditions);
            }
        }
    }
    product
}

/// Adds conditions to others; false if they contradict each other.
fn narrow(conditions: &mut Conjunction, more: Conjunction) -> bool {
    for condition in more {
        match conditions.iter_mut().find(|known| known.place == condition.place) {
            Some(known) => {
                known.values.meet(condition.values);
                if known.values.is_empty() {
                    return false;
                }
            }
            None => conditions.push(condition),
        }
    }
    true
}

/// A variable that stands in several fields bounds them all.
fn spread(clause: &Clause, conditions: &mut Conjunction) {
    for &(field, home) in &clause.repeats {
        let known = conditions.iter().find(|c| c.place == home).map(|c| c.values.clone());
        let here = conditions.iter().any(|c| c.place == Operand::Field(field));
        if let (Some(values), false) = (known, here) {
            conditions.push(Condition { place: Operand::Field(field), values });
        }
    }
}
