//! Compiling heads.
//!
//! A variable gets the cheapest home it has anywhere in the head: the record name, a field of the record, and only then a slot that
//! is filled while a field is walked. So a variable in the place of a field costs nothing, and one that is used nowhere is not read.

use super::parse::{variable, Compiler, HeadKey};
use super::program::{BadSpec, Operand, Step};
use crate::term::atom::host;
use crate::term::{atom, read, Elements, Term};

/// What a head asks of a record. `None` instead of it: no record of the table can match.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub literals: Vec<(usize, usize)>,
    pub repeats: Vec<(usize, Operand)>,
    pub patterns: Vec<(usize, Vec<Step>)>,
    pub key: Option<usize>,
}

/// What stands in one place of a head.
enum Place {
    Anything,
    Variable(i32),
    /// A term without variables and maps (maps in heads match more than themselves).
    Ground,
    Pattern,
}

enum Work<'a> {
    Term(&'a [u8]),
    Rest(&'a [u8]),
    Step(Step),
}

impl Compiler {
    /// Compiles a head. Its variables are bound afterwards, also if it can never match.
    pub fn head(&mut self, bytes: &[u8]) -> Result<Option<Head>, BadSpec> {
        self.begin_head(bytes);
        match self.place(bytes) {
            Place::Anything => {
                self.head_key = HeadKey::Open;
                Ok(Some(Head::default()))
            }
            Place::Variable(number) => {
                self.head_key = HeadKey::Open;
                self.variables.insert(number, Operand::Whole);
                Ok(Some(Head::default()))
            }
            Place::Ground | Place::Pattern => match read(bytes).0 {
                Term::Tuple(e) if e.count as usize == self.arity => {
                    self.key_of(e);
                    self.tuple_head(e)
                }
                Term::Tuple(e) => {
                    self.key_of(e);
                    self.pattern(bytes).map(|_| None)
                }
                _ => self.pattern(bytes).map(|_| None),
            },
        }
    }

    fn key_of(&mut self, elements: Elements<'_>) {
        let Some(key) = elements.iter().nth(1) else { return };
        let open_map = !host().exact_map_keys() && self.has_maps(key);
        self.head_key = if self.has_variables(key) || open_map {
            HeadKey::Open
        } else {
            self.map_in_key |= self.has_maps(key);
            HeadKey::Bound(self.literal(key))
        };
    }

    fn tuple_head(&mut self, elements: Elements<'_>) -> Result<Option<Head>, BadSpec> {
        let mut head = Head {
            key: match self.head_key {
                HeadKey::Bound(literal) => Some(literal),
                _ => None,
            },
            ..Head::default()
        };
        let mut possible = true;
        let mut walked = Vec::new();
        for (i, one) in elements.iter().enumerate() {
            let place = self.place(one);
            let Some(field) = i.checked_sub(1) else {
                // The record name: it is the same in every record.
                match place {
                    Place::Anything => {}
                    Place::Variable(number) => {
                        let name = self.name_literal();
                        self.variables.insert(number, Operand::Literal(name));
                    }
                    Place::Ground => possible = read(one).0 == Term::Atom(self.name),
                    Place::Pattern => {
                        possible = false;
                        walked.push((0, one));
                    }
                }
                continue;
            };
            match place {
                Place::Anything => {}
                Place::Variable(number) => match self.variables.get(&number) {
                    None => {
                        self.variables.insert(number, Operand::Field(field));
                    }
                    Some(&Operand::Literal(literal)) => head.literals.push((field, literal)),
                    Some(&home) => head.repeats.push((field, home)),
                },
                Place::Ground => {
                    let literal = head.key.filter(|_| field == 0).unwrap_or_else(|| self.literal(one));
                    if is_closure(one) {
                        head.repeats.push((field, Operand::Literal(literal)));
                    } else {
                        head.literals.push((field, literal));
                    }
                }
                Place::Pattern => walked.push((field, one)),
            }
        }
        for (field, one) in walked {
            head.patterns.push((field, self.pattern(one)?));
        }
        Ok(possible.then_some(head))
    }

    fn place(&self, bytes: &[u8]) -> Place {
        if let Term::Atom(word) = read(bytes).0 {
            return match atom::text(word) {
                b"_" => Place::Anything,
                text => variable(text).map_or(Place::Ground, Place::Variable),
            };
        }
        if self.has_variables(bytes) || self.has_maps(bytes) {
            Place::Pattern
        } else {
            Place::Ground
        }
    }

    /// Steps that walk one term.
    fn pattern(&mut self, bytes: &[u8]) -> Result<Vec<Step>, BadSpec> {
        let mut steps = Vec::new();
        let mut work = vec![Work::Term(bytes)];
        while let Some(next) = work.pop() {
            let one = match next {
                Work::Term(one) => one,
                Work::Step(step) => {
                    steps.push(step);
                    continue;
                }
                Work::Rest(tail) => {
                    match self.place(tail) {
                        Place::Variable(number) => steps.push(match self.variables.get(&number) {
                            Some(&home) => Step::RestCheck(home),
                            None => Step::RestBind(self.new_slot(number)),
                        }),
                        _ => debug_assert!(matches!(self.place(tail), Place::Anything)),
                    }
                    continue;
                }
            };
            match self.place(one) {
                Place::Anything => steps.push(Step::Skip),
                Place::Ground if is_closure(one) => steps.push(Step::Check(Operand::Literal(self.literal(one)))),
                Place::Ground => steps.push(Step::Literal(self.literal(one))),
                Place::Variable(number) => steps.push(match self.variables.get(&number) {
                    Some(&home) => Step::Check(home),
                    None => Step::Bind(self.new_slot(number)),
                }),
                Place::Pattern => self.container(one, &mut steps, &mut work)?,
            }
        }
        Ok(steps)
    }

    fn container<'a>(&mut self, one: &'a [u8], steps: &mut Vec<Step>, work: &mut Vec<Work<'a>>) -> Result<(), BadSpec> {
        work.push(Work::Step(Step::Leave));
        let first = work.len();
        match read(one).0 {
            Term::Tuple(e) => {
                steps.push(Step::Tuple(e.count as usize));
                work.extend(e.iter().map(Work::Term));
            }
            Term::List(e) => {
                steps.push(Step::List(e.count as usize));
                work.extend(e.iter().map(Work::Term));
            }
            Term::Improper(e) => {
                let count = e.count as usize;
                let open_ended = e.iter().last().is_some_and(|t| matches!(self.place(t), Place::Anything | Place::Variable(_)));
                steps.push(if open_ended { Step::Cells(count) } else { Step::Improper(count) });
                work.extend(e.iter().enumerate().map(|(i, element)| {
                    if open_ended && i == count {
                        Work::Rest(element)
                    } else {
                        Work::Term(element)
                    }
                }));
            }
            Term::Map(e) => {
                steps.push(Step::Map);
                let all: Vec<&[u8]> = e.iter().collect();
                for pair in all.chunks_exact(2) {
                    if matches!(self.place(pair[0]), Place::Anything | Place::Variable(_)) {
                        return Err(BadSpec("Variable found in map key.".into()));
                    }
                    // Anything but a variable is the key itself, even if variables are within.
                    let key = self.literal(pair[0]);
                    work.extend([Work::Step(Step::Key(key)), Work::Term(pair[1]), Work::Step(Step::Leave)]);
                }
            }
            _ => {}
        }
        // What was put last is done first.
        work[first..].reverse();
        Ok(())
    }
}

/// A head takes a float by its bits, and a closure by `=:=`: before OTP 27 one over 0.0 is one over -0.0.
fn is_closure(bytes: &[u8]) -> bool {
    matches!(read(bytes).0, Term::Fun(_))
}
