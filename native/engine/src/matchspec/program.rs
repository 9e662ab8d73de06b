//! What a spec is compiled to, and how one record goes through it.

use super::functions::Function;
use super::value::{Machine, Value};
use crate::term::{Attached, Record, Writer};
use std::sync::Arc;

/// Why a spec is refused, in words (`ets` says no more than `badarg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSpec(pub String);

impl std::fmt::Display for BadSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSpec {}

/// What a spec may ask of the process that runs it, as flat bytes.
#[derive(Debug, Clone, Copy)]
pub struct Env<'a> {
    pub self_pid: &'a [u8],
    /// Node name, an atom.
    pub node: &'a [u8],
}

/// What a record gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    NoMatch,
    /// The record itself (`$_`).
    Whole,
    /// The term in [`Scratch::value`]. If `attached`, references, closures and large binaries in it are to be looked for among
    /// the attachments of the record, then among those of the spec.
    Built {
        attached: bool,
    },
}

/// Working memory of a run, to be used again for the next record.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) arena: Writer,
    pub(super) value: (usize, usize),
}

impl Scratch {
    /// Flat bytes of what was built last. A binary here may be long without being a `BLOB`: it was cut out of one.
    pub fn value(&self) -> &[u8] {
        &self.arena.buf[self.value.0..self.value.1]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Same,
    NotSame,
}

/// Where a value is without computing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    Literal(usize),
    /// Field of the record, 0 is the key.
    Field(usize),
    /// Bound inside a field by the head.
    Slot(usize),
    Whole,
}

/// Operation of the expression machine. Arguments are on the stack, the last on top.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    Load(Operand),
    Call(Function, usize),
    /// Two loads and a comparison, the most frequent sequence, as one.
    Compare(Comparison, Operand, Operand),
    And(usize),
    Or(usize),
    /// Takes a boolean; goes to the operation given with its value if that decides.
    AndAlso(usize),
    OrElse(usize),
    Tuple(usize),
    List(usize),
    /// The last of the arguments is the tail.
    Improper(usize),
    /// Keys and values in turn.
    Map(usize),
    SelfPid,
    Node,
}

/// Operation of the head machine, which walks a stack of cursors, each being the rest of a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Skip,
    Literal(usize),
    Bind(usize),
    Check(Operand),
    /// Enter a container with just so many elements.
    Tuple(usize),
    List(usize),
    Improper(usize),
    /// Enter a list with at least so many cells; one of the `Rest`s follows its elements.
    Cells(usize),
    RestBind(usize),
    RestCheck(Operand),
    Map,
    /// Enter the value of a key.
    Key(usize),
    Leave,
}

/// One conjunct of the guards.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guard {
    /// A field against an integer: `Comparison` with the machine word, or with the literal if the field is no integer.
    Integer {
        field: usize,
        op: Comparison,
        with: i64,
        literal: usize,
    },
    /// A field against a float or a large integer, by value.
    Number {
        field: usize,
        op: Comparison,
        literal: usize,
    },
    /// `=:=` and `=/=` (for terms without numbers `==` and `/=` too) of a field and a literal: bytes.
    Bytes {
        field: usize,
        literal: usize,
        equal: bool,
    },
    /// A field is one of these literals, rising by their bytes.
    In {
        field: usize,
        literals: Box<[usize]>,
    },
    Compare {
        op: Comparison,
        left: Operand,
        right: Operand,
    },
    /// Comparisons joined by `or` or `orelse`; as comparisons do not fail, these are the same.
    Any(Box<[Guard]>),
    Code(Box<[Op]>),
    /// A constant that is not `true`.
    Never,
}

impl Guard {
    /// Looks at one field only.
    pub fn is_simple(&self) -> bool {
        match self {
            Guard::Integer { .. } | Guard::Number { .. } | Guard::Bytes { .. } | Guard::In { .. } | Guard::Never => true,
            Guard::Any(parts) => parts.iter().all(Guard::is_simple),
            Guard::Compare { .. } | Guard::Code(_) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Load(Operand),
    Code(Box<[Op]>),
}

/// One clause whose head can match records of this table.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    /// Fields that must have these bytes.
    pub literals: Vec<(usize, usize)>,
    /// Fields that repeat a variable.
    pub repeats: Vec<(usize, Operand)>,
    pub patterns: Vec<(usize, Box<[Step]>)>,
    pub slots: usize,
    /// In the order of the spec; nested `and`/`andalso` are taken apart. A planner finds its ranges here.
    pub guards: Vec<Guard>,
    pub body: Body,
    /// What the cheap part says is all there is to say, and the answer is the record itself.
    pub plain: bool,
    /// Ground term in the place of the key, maps allowed.
    pub key: Option<usize>,
}

/// Words of atoms and facts of the VM that evaluation needs at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    pub true_: u64,
    pub false_: u64,
    pub name: u64,
    pub signed_zero: bool,
}

/// A compiled match spec.
pub struct Program {
    pub(super) clauses: Vec<Clause>,
    pub(super) literals: Vec<Box<[u8]>>,
    pub(super) words: Words,
    /// Records with other keys cannot match, though a map in a head might; see `exact_keys` in `parse`.
    pub(super) exact_keys: Option<Vec<usize>>,
    /// Index of the literal `'EXIT'`.
    pub(super) exit: usize,
    /// A literal holds `-0.0`.
    pub(super) negative_zero: bool,
    pub(super) attached: Option<Arc<dyn Attached>>,
}

impl Program {
    /// Runs the clauses on one record of the table that the program was parsed for.
    #[inline]
    pub fn run(&self, record: &Record, env: &Env<'_>, scratch: &mut Scratch) -> Outcome {
        if let Some(keys) = &self.exact_keys {
            if !keys.iter().any(|&key| record.key() == &self.literals[key][..]) {
                return Outcome::NoMatch;
            }
        }
        for clause in &self.clauses {
            if !self.fields_match(clause, record) {
                continue;
            }
            if clause.plain {
                return Outcome::Whole;
            }
            let mut machine = Machine::new(self, record, env, &mut scratch.arena);
            if machine.head(clause) && clause.guards.iter().all(|guard| machine.guard(guard)) {
                let Some(value) = machine.body(&clause.body) else { return Outcome::Whole };
                scratch.value = value;
                return Outcome::Built { attached: record.attached().is_some() || self.attached.is_some() };
            }
        }
        Outcome::NoMatch
    }

    /// The cheap part, before anything is set up: literals, and guards that look at one field.
    #[inline]
    fn fields_match(&self, clause: &Clause, record: &Record) -> bool {
        clause.literals.iter().all(|&(field, literal)| record.field(field) == &self.literals[literal][..])
            && clause.guards.iter().all(|guard| self.simple(guard, record).unwrap_or(true))
    }

    /// The spec for single tuples, as `ets:test_ms` takes it: no key is looked up.
    pub fn without_table(mut self) -> Program {
        self.exact_keys = None;
        self
    }

    /// No record of the table can match.
    pub fn never(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Every record of the table matches.
    pub fn always(&self) -> bool {
        let all = |c: &Clause| c.literals.is_empty() && c.repeats.is_empty() && c.patterns.is_empty() && c.guards.is_empty();
        self.exact_keys.is_none() && self.clauses.iter().any(all)
    }

    /// Every match answers the record itself.
    pub fn returns_whole(&self) -> bool {
        self.clauses.iter().all(|clause| clause.body == Body::Load(Operand::Whole))
    }

    /// Attachments of the spec's own literals.
    pub fn attached(&self) -> Option<&Arc<dyn Attached>> {
        self.attached.as_ref()
    }

    #[inline]
    pub(super) fn literal(&self, index: usize) -> Value<'_> {
        Value::Bytes(&self.literals[index])
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let literals: Vec<_> = self.literals.iter().map(|l| crate::term::read(l).0).collect();
        f.debug_struct("Program").field("clauses", &self.clauses).field("literals", &literals).finish()
    }
}
