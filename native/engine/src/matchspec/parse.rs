//! Taking a spec apart: `[{Head, [Guard, ..], [Expression, ..]}, ..]`.

use super::head::Head;
use super::program::{BadSpec, Body, Clause, Comparison, Guard, Op, Operand, Program, Step, Words};
use crate::term::atom::{self, host};
use crate::term::{read, skip, tag, Attached, Elements, Term, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values that are tried one by one.
const FEW: usize = 4;

impl Program {
    /// Compiles a spec for records of `arity` elements (the record name counts) that are named `record_name`. `attached` belongs
    /// to the terms of the spec.
    pub fn parse(spec: &[u8], arity: usize, record_name: u64, attached: Option<Arc<dyn Attached>>) -> Result<Program, BadSpec> {
        Self::parse_for(host().release(), spec, arity, record_name, attached)
    }

    /// As an OTP of this release understands the spec.
    pub(super) fn parse_for(
        release: u32,
        spec: &[u8],
        arity: usize,
        record_name: u64,
        attached: Option<Arc<dyn Attached>>,
    ) -> Result<Program, BadSpec> {
        let clauses = list(spec).ok_or_else(|| BadSpec("A match specification is a list.".into()))?;
        let known = host().well_known();
        let mut writer = Writer::new();
        writer.atom(known.exit);
        let mut compiler = Compiler {
            arity,
            name: record_name,
            release,
            true_: known.true_,
            literals: vec![writer.buf.into_boxed_slice()],
            negative_zero: false,
            name_literal: None,
            variables: BTreeMap::new(),
            used: Vec::new(),
            head_key: HeadKey::Nothing,
            map_in_key: false,
            base: 0,
            variable_places: Vec::new(),
            map_places: Vec::new(),
        };
        let (mut live, mut heads) = (Vec::new(), Vec::new());
        for clause in clauses.iter().flat_map(Elements::iter) {
            compiler.head_key = HeadKey::Nothing;
            live.extend(compiler.clause(clause)?);
            heads.push(compiler.head_key);
        }
        let exact_keys = exact_keys(&heads, compiler.map_in_key, &live);
        Ok(Program {
            clauses: live,
            literals: compiler.literals,
            words: Words { true_: known.true_, false_: known.false_, name: record_name, signed_zero: host().signed_zero() },
            exact_keys,
            exit: 0,
            negative_zero: compiler.negative_zero,
            attached,
        })
    }
}

/// What a head says about the key. Heads that are no tuples say nothing, heads of another arity do.
#[derive(Debug, Clone, Copy)]
pub(super) enum HeadKey {
    Nothing,
    Open,
    Bound(usize),
}

/// Maps in a head match maps that hold more. But if every head binds the key, an older ETS ([`Host::exact_map_keys`]) looks up these very keys and then runs the
/// clauses on what it found; so a record must have one of these keys, besides matching. Answers the keys if that makes a difference.
fn exact_keys(heads: &[HeadKey], maps: bool, clauses: &[Clause]) -> Option<Vec<usize>> {
    if !maps || heads.iter().any(|head| matches!(head, HeadKey::Open)) {
        return None;
    }
    let bound = heads.iter().filter_map(|head| match head {
        HeadKey::Bound(literal) => Some(*literal),
        _ => None,
    });
    clauses.iter().all(|clause| clause.key.is_some()).then(|| bound.collect())
}

/// The elements of a proper list; `Some(None)` is the empty one.
fn list(bytes: &[u8]) -> Option<Option<Elements<'_>>> {
    match read(bytes).0 {
        Term::Nil => Some(None),
        Term::List(e) => Some(Some(e)),
        _ => None,
    }
}

/// The number of `$N`. ETS counts in a C int and lets it overflow; a leading zero makes it an ordinary atom.
pub fn variable(text: &[u8]) -> Option<i32> {
    let digits = text.strip_prefix(b"$")?;
    match digits {
        [] => return None,
        [b'0'] => return Some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    let number = digits.iter().try_fold(0i32, |n, &digit| {
        let value = i32::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
        Some(n.wrapping_mul(10).wrapping_add(value))
    })?;
    (number >= 0).then_some(number)
}

/// What is known while a spec is compiled.
pub(super) struct Compiler {
    pub arity: usize,
    pub name: u64,
    pub release: u32,
    true_: u64,
    pub literals: Vec<Box<[u8]>>,
    negative_zero: bool,
    name_literal: Option<usize>,
    /// Variables of the clause by number, with where they are to be found.
    pub variables: BTreeMap<i32, Operand>,
    /// For each slot of the clause: does anything look at it?
    used: Vec<bool>,
    pub head_key: HeadKey,
    /// Some head binds the key to a term with a map in it.
    pub map_in_key: bool,
    /// Where the term begins that is being compiled, and the places in it that matter, so that no term is looked through twice
    /// however deep it is: in heads variables and maps, in expressions (all in `variable_places`) what is not constant.
    base: usize,
    variable_places: Vec<usize>,
    map_places: Vec<usize>,
}

impl Compiler {
    fn clause(&mut self, bytes: &[u8]) -> Result<Option<Clause>, BadSpec> {
        let malformed = || BadSpec("A clause is a tuple {Head, [Guard], [Expression]}.".into());
        let Term::Tuple(e) = read(bytes).0 else { return Err(malformed()) };
        let mut parts = e.iter();
        let (Some(head), Some(guards), Some(body), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        self.variables.clear();
        self.used.clear();
        let head = self.head(head)?;
        let guards = self.guards(guards)?;
        let body = self.body(body)?;
        Ok(head.map(|head| self.assemble(head, guards, body)))
    }

    fn assemble(&mut self, head: Head, guards: Vec<Guard>, body: Body) -> Clause {
        let mut patterns = Vec::with_capacity(head.patterns.len());
        for (_, steps) in &head.patterns {
            for step in steps {
                if let Step::Check(operand) | Step::RestCheck(operand) = *step {
                    self.use_operand(operand);
                }
            }
        }
        for (field, steps) in head.patterns {
            let steps = steps.into_iter().filter_map(|step| match step {
                Step::Bind(slot) if !self.used[slot] => Some(Step::Skip),
                Step::RestBind(slot) if !self.used[slot] => None,
                other => Some(other),
            });
            patterns.push((field, steps.collect()));
        }
        let cheap = patterns.is_empty() && head.repeats.is_empty() && guards.iter().all(Guard::is_simple);
        let plain = cheap && body == Body::Load(Operand::Whole);
        Clause {
            plain,
            literals: head.literals,
            repeats: head.repeats,
            patterns,
            slots: self.used.len(),
            guards,
            body,
            key: head.key,
        }
    }

    /// Guards must all be true, so an `and` among them is more guards: nothing tells a failing guard from a false one.
    fn guards(&mut self, bytes: &[u8]) -> Result<Vec<Guard>, BadSpec> {
        let guards = list(bytes).ok_or_else(|| BadSpec("Match expression is not a list.".into()))?;
        let mut todo: Vec<&[u8]> = guards.iter().flat_map(Elements::iter).collect();
        todo.reverse();
        let mut compiled = Vec::new();
        while let Some(guard) = todo.pop() {
            if let Some(parts) = conjunction(guard) {
                let first = todo.len();
                todo.extend(parts.iter());
                todo[first..].reverse();
                continue;
            }
            let code = self.expression(guard)?;
            compiled.extend(self.guard(code));
        }
        Ok(compiled)
    }

    fn guard(&self, code: Vec<Op>) -> Option<Guard> {
        if let [Op::Load(Operand::Literal(index))] = code[..] {
            return match read(&self.literals[index]).0 {
                Term::Atom(word) if word == self.true_ => None,
                _ => Some(Guard::Never),
            };
        }
        if let Some(parts) = alternatives(&code) {
            let parts = parts.into_iter().map(|(op, left, right)| self.comparison(op, left, right)).collect::<Box<[Guard]>>();
            return Some(self.one_of(&parts).unwrap_or(Guard::Any(parts)));
        }
        Some(match code[..] {
            [Op::Compare(op, left, right)] => self.comparison(op, left, right),
            _ => Guard::Code(code.into_boxed_slice()),
        })
    }

    /// Many values that a field may have are not tried one by one.
    fn one_of(&self, parts: &[Guard]) -> Option<Guard> {
        let [Guard::Bytes { field, .. }, ..] = *parts else { return None };
        let literal = |part: &Guard| match *part {
            Guard::Bytes { field: other, literal, equal: true } if other == field => Some(literal),
            _ => None,
        };
        let mut literals = parts.iter().map(literal).collect::<Option<Vec<_>>>().filter(|all| all.len() > FEW)?;
        literals.sort_unstable_by(|&a, &b| self.literals[a].cmp(&self.literals[b]));
        literals.dedup_by(|a, b| self.literals[*a] == self.literals[*b]);
        Some(Guard::In { field, literals: literals.into() })
    }

    /// The cheapest form of a comparison.
    fn comparison(&self, op: Comparison, left: Operand, right: Operand) -> Guard {
        let general = Guard::Compare { op, left, right };
        let (op, field, literal) = match (left, right) {
            (Operand::Field(field), Operand::Literal(literal)) => (op, field, literal),
            (Operand::Literal(literal), Operand::Field(field)) => (op.flipped(), field, literal),
            _ => return general,
        };
        let by_value = matches!(op, Comparison::Equal | Comparison::NotEqual);
        let exact = matches!(op, Comparison::Same | Comparison::NotSame);
        let equal = matches!(op, Comparison::Equal | Comparison::Same);
        match read(&self.literals[literal]).0 {
            Term::Int(_) if exact => Guard::Bytes { field, literal, equal },
            Term::Int(with) => Guard::Integer { field, op, with, literal },
            Term::Float(_) | Term::Big { .. } if !exact => Guard::Number { field, op, literal },
            Term::Atom(_) | Term::Binary(_) | Term::Nil if exact || by_value => Guard::Bytes { field, literal, equal },
            _ => general,
        }
    }

    /// Expressions of a body have no effect but their value, so only the last is kept.
    fn body(&mut self, bytes: &[u8]) -> Result<Body, BadSpec> {
        let Some(Some(expressions)) = list(bytes) else {
            return Err(BadSpec("Body clause does not return anything.".into()));
        };
        let mut last = Vec::new();
        for expression in expressions.iter() {
            last = self.expression(expression)?;
        }
        Ok(match last[..] {
            [Op::Load(operand)] => Body::Load(operand),
            _ => Body::Code(last.into_boxed_slice()),
        })
    }

    pub fn literal(&mut self, bytes: &[u8]) -> usize {
        self.negative_zero |= may_hold_negative_zero(bytes);
        self.literals.push(bytes.into());
        self.literals.len() - 1
    }

    pub fn name_literal(&mut self) -> usize {
        if let Some(index) = self.name_literal {
            return index;
        }
        let mut writer = Writer::new();
        writer.atom(self.name);
        let index = self.literal(&writer.buf);
        self.name_literal = Some(index);
        index
    }

    pub fn new_slot(&mut self, variable: i32) -> usize {
        let slot = self.used.len();
        self.used.push(false);
        self.variables.insert(variable, Operand::Slot(slot));
        slot
    }

    pub fn use_operand(&mut self, operand: Operand) {
        if let Operand::Slot(slot) = operand {
            self.used[slot] = true;
        }
    }

    pub fn begin_head(&mut self, bytes: &[u8]) {
        self.base = bytes.as_ptr() as usize;
        self.variable_places.clear();
        self.map_places.clear();
        walk(bytes, |at, place| match place[0] {
            tag::ATOM3 | tag::ATOM8 => {
                if let Term::Atom(word) = read(place).0 {
                    let text = atom::text(word);
                    if text == b"_" || variable(text).is_some() {
                        self.variable_places.push(at);
                    }
                }
            }
            tag::MAP | tag::MAP_L => self.map_places.push(at),
            _ => {}
        });
    }

    pub fn begin_expression(&mut self, bytes: &[u8]) {
        self.base = bytes.as_ptr() as usize;
        self.variable_places.clear();
        walk(bytes, |at, place| match place[0] {
            tag::ATOM3 | tag::ATOM8 => {
                if let Term::Atom(word) = read(place).0 {
                    let text = atom::text(word);
                    if text == b"$_" || text == b"$$" || variable(text).is_some() {
                        self.variable_places.push(at);
                    }
                }
            }
            tag::TUPLE | tag::TUPLE_L => self.variable_places.push(at),
            _ => {}
        });
    }

    pub fn has_variables(&self, part: &[u8]) -> bool {
        within(&self.variable_places, part, self.base)
    }

    pub fn has_maps(&self, part: &[u8]) -> bool {
        within(&self.map_places, part, self.base)
    }

    /// A part of an expression that stands for itself.
    pub fn is_constant(&self, part: &[u8]) -> bool {
        !within(&self.variable_places, part, self.base)
    }
}

/// Is any of these places (offsets from `base`) in this part of the term?
fn within(places: &[usize], part: &[u8], base: usize) -> bool {
    let start = part.as_ptr() as usize - base;
    let next = places.partition_point(|&place| place < start);
    places.get(next).is_some_and(|&place| place < start + part.len())
}

/// The comparisons that the code joins by `or` or `orelse`, if it does nothing else.
fn alternatives(code: &[Op]) -> Option<Vec<(Comparison, Operand, Operand)>> {
    let compared = |op: &Op| match *op {
        Op::Compare(op, left, right) => Some((op, left, right)),
        _ => None,
    };
    match code {
        [parts @ .., Op::Or(count)] if parts.len() == *count => parts.iter().map(compared).collect(),
        [first, Op::OrElse(_), ..] => {
            let mut all = vec![compared(first)?];
            for pair in code[1..].chunks(2) {
                match pair {
                    [Op::OrElse(end), next] if *end == code.len() => all.push(compared(next)?),
                    _ => return None,
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// Arguments of an `and` or `andalso`.
fn conjunction(guard: &[u8]) -> Option<Elements<'_>> {
    let Term::Tuple(e) = read(guard).0 else { return None };
    let Term::Atom(word) = (if e.count > 1 { read(e.body).0 } else { Term::Nil }) else { return None };
    let arguments = Elements { count: e.count - 1, body: skip(e.body) };
    matches!(atom::text(word), b"and" | b"andalso").then_some(arguments)
}

/// Calls `see` for a term and all terms within it, with their offsets.
fn walk(bytes: &[u8], mut see: impl FnMut(usize, &[u8])) {
    let mut at = 0;
    while at < bytes.len() {
        let place = &bytes[at..];
        see(at, place);
        at += match place[0] {
            // Elements follow the head of a container.
            tag::LIST | tag::IMPROPER | tag::TUPLE | tag::MAP => 3,
            tag::LIST_L | tag::IMPROPER_L | tag::TUPLE_L | tag::MAP_L => 9,
            _ => place.len() - skip(place).len(),
        };
    }
}

/// Nobody looks into closures.
fn may_hold_negative_zero(bytes: &[u8]) -> bool {
    let mut found = false;
    walk(bytes, |_, place| match place[0] {
        tag::FUN => found = true,
        tag::FLOAT => found |= matches!(read(place).0, Term::Float(f) if f == 0.0 && f.is_sign_negative()),
        _ => {}
    });
    found
}
