//! Compiling the expressions of guards and bodies to code for a stack machine.

use super::functions::{find, Function};
use super::parse::{variable, Compiler};
use super::program::{BadSpec, Op, Operand};
use crate::term::{atom, read, skip, Elements, Term, Writer};

/// Nesting of calls and constructions. ETS gives up somewhere between 1,000 and 5,000 (`system_limit`).
const MAX_DEPTH: usize = 1000;
/// Constants are put together at parse time up to this size.
const MAX_FOLDED: usize = 4096;

/// Forms that only trace specs may use.
const TRACE_ONLY: &[&[u8]] = &[
    b"message",
    b"is_seq_trace",
    b"set_seq_token",
    b"get_seq_token",
    b"process_dump",
    b"enable_trace",
    b"disable_trace",
    b"trace",
    b"return_trace",
    b"exception_trace",
    b"display",
    b"caller",
    b"caller_line",
    b"current_stacktrace",
    b"silent",
    b"set_tcw",
    b"get_tcw",
];

enum Work<'a> {
    Expression(&'a [u8], usize),
    Op(Op),
    /// A short-circuit jump to a label; labels become places in the code at the end.
    Jump(bool, usize),
    Label(usize),
}

/// Code being written.
#[derive(Default)]
struct Code {
    ops: Vec<Op>,
    labels: Vec<usize>,
    /// No constant before this place may be folded: a jump leads here.
    barrier: usize,
}

impl Compiler {
    /// The code of one expression.
    pub fn expression(&mut self, bytes: &[u8]) -> Result<Vec<Op>, BadSpec> {
        self.begin_expression(bytes);
        let mut code = Code::default();
        let mut work = vec![Work::Expression(bytes, 0)];
        while let Some(next) = work.pop() {
            match next {
                Work::Expression(one, _) if self.is_constant(one) => {
                    let literal = self.literal(one);
                    code.ops.push(Op::Load(Operand::Literal(literal)));
                }
                Work::Expression(one, depth) => self.compound(one, depth, &mut code, &mut work)?,
                Work::Op(op) => self.emit(op, &mut code),
                Work::Jump(and, label) => code.ops.push(if and { Op::AndAlso(label) } else { Op::OrElse(label) }),
                Work::Label(label) => {
                    code.labels[label] = code.ops.len();
                    code.barrier = code.ops.len();
                }
            }
        }
        for op in &mut code.ops {
            if let Op::AndAlso(label) | Op::OrElse(label) = op {
                *label = code.labels[*label];
            }
        }
        Ok(code.ops)
    }

    fn compound<'a>(&mut self, one: &'a [u8], depth: usize, code: &mut Code, work: &mut Vec<Work<'a>>) -> Result<(), BadSpec> {
        if depth > MAX_DEPTH {
            return Err(BadSpec(format!("Expressions are nested more than {MAX_DEPTH} deep.")));
        }
        let then = |op: Op, parts: Elements<'a>, work: &mut Vec<Work<'a>>| {
            work.push(Work::Op(op));
            let first = work.len();
            work.extend(parts.iter().map(|part| Work::Expression(part, depth + 1)));
            work[first..].reverse();
        };
        match read(one).0 {
            Term::Atom(word) => self.variable_load(atom::text(word), code)?,
            Term::List(e) => then(Op::List(e.count as usize), e, work),
            Term::Improper(e) => then(Op::Improper(e.count as usize + 1), e, work),
            Term::Map(e) => then(Op::Map(e.count as usize * 2), e, work),
            Term::Tuple(e) => match e.iter().next().map(|first| (first, read(first).0)) {
                Some((_, Term::Tuple(inner))) if e.count == 1 => then(Op::Tuple(inner.count as usize), inner, work),
                Some((first, Term::Atom(word))) => {
                    let arguments = Elements { count: e.count - 1, body: skip(e.body) };
                    debug_assert_eq!(first.len() + arguments.body.len(), e.body.len());
                    self.call_form(atom::text(word), arguments, depth, code, work)?;
                }
                _ => {
                    return Err(BadSpec("A tuple is neither a function call, nor a tuple (tuples are written {{ ... }}).".into()))
                }
            },
            _ => {
                let literal = self.literal(one);
                code.ops.push(Op::Load(Operand::Literal(literal)));
            }
        }
        Ok(())
    }

    /// `$1`, `$_`, `$$`
    fn variable_load(&mut self, text: &[u8], code: &mut Code) -> Result<(), BadSpec> {
        match (text, variable(text)) {
            (b"$_", _) => code.ops.push(Op::Load(Operand::Whole)),
            (b"$$", _) => {
                let all: Vec<Operand> = self.variables.values().copied().collect();
                for &operand in &all {
                    self.use_operand(operand);
                    code.ops.push(Op::Load(operand));
                }
                self.emit(Op::List(all.len()), code);
            }
            (_, Some(number)) => match self.variables.get(&number) {
                Some(&operand) => {
                    self.use_operand(operand);
                    code.ops.push(Op::Load(operand));
                }
                None => return Err(BadSpec(format!("Variable ${number} is unbound."))),
            },
            _ => {}
        }
        Ok(())
    }

    /// `{name, Argument, ..}`
    fn call_form<'a>(
        &mut self,
        name: &[u8],
        arguments: Elements<'a>,
        depth: usize,
        code: &mut Code,
        work: &mut Vec<Work<'a>>,
    ) -> Result<(), BadSpec> {
        let count = arguments.count as usize;
        let shown = String::from_utf8_lossy(name);
        let op = match (name, count) {
            (b"const", 1) => {
                let literal = self.literal(arguments.body);
                code.ops.push(Op::Load(Operand::Literal(literal)));
                return Ok(());
            }
            (b"const", _) => return Err(BadSpec("Special form 'const' called with more or less than one argument.".into())),
            (b"and" | b"or" | b"andalso" | b"orelse", 0) => {
                return Err(BadSpec(format!("Special form '{shown}' called without arguments.")))
            }
            (b"and", _) => Op::And(count),
            (b"or", _) => Op::Or(count),
            (b"andalso" | b"orelse", _) => {
                let label = code.labels.len();
                code.labels.push(0);
                let first = work.len();
                for (i, part) in arguments.iter().enumerate() {
                    if i > 0 {
                        work.push(Work::Jump(name == b"andalso", label));
                    }
                    work.push(Work::Expression(part, depth + 1));
                }
                work.push(Work::Label(label));
                work[first..].reverse();
                return Ok(());
            }
            (b"self", 0) => Op::SelfPid,
            (b"node", 0) => Op::Node,
            _ if TRACE_ONLY.contains(&name) => {
                return Err(BadSpec(format!("Special form '{shown}' used in wrong dialect.")));
            }
            _ => match find(name, count, self.release) {
                Some(function) => Op::Call(function, count),
                None => return Err(BadSpec(format!("Function {shown}/{count} does_not_exist."))),
            },
        };
        work.push(Work::Op(op));
        let first = work.len();
        work.extend(arguments.iter().map(|part| Work::Expression(part, depth + 1)));
        work[first..].reverse();
        Ok(())
    }

    /// Appends an operation; a construction of small constants becomes a constant.
    fn emit(&mut self, op: Op, code: &mut Code) {
        if let Op::Tuple(count) | Op::List(count) = op {
            if let Some(folded) = self.folded(&op, count, code) {
                code.ops.truncate(code.ops.len() - count);
                let literal = self.literal(&folded);
                code.ops.push(Op::Load(Operand::Literal(literal)));
                return;
            }
        }
        let fused = match op {
            Op::Call(function, 2) => self.fused(function, code),
            _ => None,
        };
        if fused.is_some() {
            code.ops.truncate(code.ops.len() - 2);
        }
        code.ops.push(fused.unwrap_or(op));
    }

    /// One operation for two loads and this call.
    fn fused(&mut self, function: Function, code: &Code) -> Option<Op> {
        let start = code.ops.len().checked_sub(2).filter(|&start| start >= code.barrier)?;
        let [Op::Load(left), Op::Load(right)] = code.ops[start..] else { return None };
        match (function, left, right) {
            (Function::Compare(comparison), _, _) => Some(Op::Compare(comparison, left, right)),
            // An element of the record is a field of it.
            (Function::Element, Operand::Literal(index), Operand::Whole) => match read(&self.literals[index]).0 {
                Term::Int(1) => Some(Op::Load(Operand::Literal(self.name_literal()))),
                Term::Int(element) if element > 1 && element <= self.arity as i64 => {
                    Some(Op::Load(Operand::Field(element as usize - 2)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn folded(&self, op: &Op, count: usize, code: &Code) -> Option<Vec<u8>> {
        let start = code.ops.len().checked_sub(count).filter(|&start| start >= code.barrier)?;
        let mut writer = Writer::new();
        if count == 0 {
            match op {
                Op::Tuple(_) => {
                    let open = writer.open();
                    writer.close_tuple(open, 0);
                }
                _ => writer.nil(),
            }
            return Some(writer.buf);
        }
        let open = writer.open();
        for part in &code.ops[start..] {
            let Op::Load(Operand::Literal(index)) = part else { return None };
            writer.buf.extend_from_slice(&self.literals[*index]);
            if writer.len() > MAX_FOLDED {
                return None;
            }
        }
        match op {
            Op::Tuple(_) => writer.close_tuple(open, count),
            _ => writer.close_list(open, count),
        }
        Some(writer.buf)
    }
}
