//! Random specs against an evaluator that is as plain as can be: recursive, over a tree of values, with the documented meaning of
//! the language and nothing of the compiler's cleverness (homes of variables, conjuncts, fused comparisons).

use super::text::{atom, cells, int, Value};
use super::{answer, intern};
use crate::matchspec::Program;
use num_bigint::BigInt;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;

type Bindings = BTreeMap<u8, Value>;

fn number(value: &Value) -> Option<u8> {
    match value {
        Value::Atom(text) => text.strip_prefix('$').and_then(|n| n.parse().ok()),
        _ => None,
    }
}

/// Does the pattern match? In a head every map matches maps that hold more.
fn matches(pattern: &Value, value: &Value, bound: &mut Bindings) -> bool {
    if *pattern == atom("_") {
        return true;
    }
    if let Some(n) = number(pattern) {
        return *bound.entry(n).or_insert_with(|| value.clone()) == *value;
    }
    match (pattern, value) {
        (Value::Tuple(p), Value::Tuple(v)) => p.len() == v.len() && p.iter().zip(v).all(|(p, v)| matches(p, v, bound)),
        (Value::List(p, _), Value::List(v, _)) => matches(&p[0], &v[0], bound) && matches(&rest(pattern), &rest(value), bound),
        (Value::Map(p), Value::Map(v)) => p.iter().all(|(key, p)| v.iter().any(|(k, v)| k == key && matches(p, v, bound))),
        _ => pattern == value,
    }
}

fn rest(list: &Value) -> Value {
    match list {
        Value::List(heads, tail) => cells(heads[1..].to_vec(), (**tail).clone()),
        _ => Value::Nil,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    [false, true].into_iter().find(|&b| *value == truth(b))
}

fn truth(b: bool) -> Value {
    atom(if b { "true" } else { "false" })
}

fn order(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Atom(_) => 1,
        Value::Tuple(_) => 2,
        Value::Map(_) => 3,
        Value::Nil => 4,
        Value::List(..) => 5,
        Value::Binary(_) | Value::Bits(..) => 6,
    };
    let each =
        |x: &[Value], y: &[Value]| x.iter().zip(y).map(|(x, y)| order(x, y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x.cmp(y),
        (Value::Float(x), Value::Float(y)) => x.total_cmp(y),
        // The generated numbers are small enough to be exact.
        (Value::Int(x), Value::Float(y)) => i64::try_from(x).map_or(Ordering::Greater, |x| (x as f64).total_cmp(y)),
        (Value::Float(_), Value::Int(_)) => order(b, a).reverse(),
        (Value::Atom(x), Value::Atom(y)) => x.cmp(y),
        (Value::Tuple(x), Value::Tuple(y)) => x.len().cmp(&y.len()).then_with(|| each(x, y)),
        (Value::Binary(x), Value::Binary(y)) => x.cmp(y),
        // All maps here have the keys `a` and `1`; the values go by the order of the keys.
        (Value::Map(x), Value::Map(y)) => order(&x[1].1, &y[1].1).then_with(|| order(&x[0].1, &y[0].1)),
        (Value::List(x, _), Value::List(y, _)) => order(&x[0], &y[0]).then_with(|| order(&rest(a), &rest(b))),
        _ => rank(a).cmp(&rank(b)),
    }
}

struct Scope<'a> {
    bound: &'a Bindings,
    whole: &'a Value,
    in_guard: bool,
}

impl Scope<'_> {
    /// `None`: the guard fails. In bodies a failing call is `'EXIT'`.
    fn eval(&self, e: &Value) -> Option<Value> {
        let answer = match e {
            Value::Atom(text) if text == "$_" => Some(self.whole.clone()),
            Value::Atom(text) if text == "$$" => Some(cells(self.bound.values().cloned().collect(), Value::Nil)),
            Value::Atom(_) => Some(number(e).map_or(e.clone(), |n| self.bound[&n].clone())),
            Value::List(heads, _) => Some(cells(vec![self.eval(&heads[0])?], self.eval(&rest(e))?)),
            Value::Tuple(parts) => match &parts[..] {
                [Value::Tuple(inner)] => inner.iter().map(|p| self.eval(p)).collect::<Option<_>>().map(Value::Tuple),
                [name, arguments @ ..] => {
                    let Value::Atom(name) = name else { panic!("a call") };
                    self.form(name, arguments)
                }
                [] => panic!("no expression"),
            },
            other => Some(other.clone()),
        };
        answer.or_else(|| (!self.in_guard).then(|| atom("EXIT")))
    }

    fn form(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        match name {
            "const" => return Some(arguments[0].clone()),
            "andalso" | "orelse" => {
                let (last, first) = arguments.split_last()?;
                for argument in first {
                    let decided = boolean(&self.eval(argument)?)?;
                    if decided != (name == "andalso") {
                        return Some(truth(decided));
                    }
                }
                return self.eval(last);
            }
            _ => {}
        }
        let arguments: Vec<Value> = arguments.iter().map(|a| self.eval(a)).collect::<Option<_>>()?;
        call(name, &arguments)
    }
}

fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    if let "and" | "or" = name {
        let all: Vec<bool> = arguments.iter().map(boolean).collect::<Option<_>>()?;
        return Some(truth(if name == "and" { all.iter().all(|b| *b) } else { all.iter().any(|b| *b) }));
    }
    let one = &arguments[0];
    let list = matches!(one, Value::List(..) | Value::Nil);
    Some(match (name, arguments) {
        ("is_atom", _) => truth(matches!(one, Value::Atom(_))),
        ("is_integer", _) => truth(matches!(one, Value::Int(_))),
        ("is_float", _) => truth(matches!(one, Value::Float(_))),
        ("is_number", _) => truth(matches!(one, Value::Int(_) | Value::Float(_))),
        ("is_list", _) => truth(list),
        ("is_tuple", _) => truth(matches!(one, Value::Tuple(_))),
        ("is_map", _) => truth(matches!(one, Value::Map(_))),
        ("is_binary", _) => truth(matches!(one, Value::Binary(_))),
        ("not", _) => truth(!boolean(one)?),
        ("hd", [Value::List(heads, _)]) => heads[0].clone(),
        ("tl", [Value::List(..)]) => rest(one),
        ("length", [Value::Nil]) => int(0),
        ("length", [Value::List(heads, tail)]) if **tail == Value::Nil => int(heads.len() as i64),
        ("size", [Value::Tuple(parts)]) => int(parts.len() as i64),
        ("size", [Value::Binary(bytes)]) => int(bytes.len() as i64),
        ("map_size", [Value::Map(pairs)]) => int(pairs.len() as i64),
        ("xor", [a, b]) => truth(boolean(a)? != boolean(b)?),
        ("<", [a, b]) => truth(order(a, b).is_lt()),
        ("=<", [a, b]) => truth(order(a, b).is_le()),
        (">", [a, b]) => truth(order(a, b).is_gt()),
        (">=", [a, b]) => truth(order(a, b).is_ge()),
        ("==", [a, b]) => truth(order(a, b).is_eq()),
        ("/=", [a, b]) => truth(order(a, b).is_ne()),
        ("=:=", [a, b]) => truth(a == b),
        ("=/=", [a, b]) => truth(a != b),
        ("element", [Value::Int(n), Value::Tuple(parts)]) => {
            let index = usize::try_from(n).ok()?.checked_sub(1)?;
            parts.get(index)?.clone()
        }
        ("map_get", [key, Value::Map(pairs)]) => pairs.iter().find(|(k, _)| k == key)?.1.clone(),
        ("is_map_key", [key, Value::Map(pairs)]) => truth(pairs.iter().any(|(k, _)| k == key)),
        ("+" | "-" | "*", [a, b]) => arithmetic(name, a, b)?,
        _ => return None,
    })
}

fn arithmetic(name: &str, a: &Value, b: &Value) -> Option<Value> {
    if let (Value::Int(x), Value::Int(y)) = (a, b) {
        return Some(Value::Int(match name {
            "+" => x + y,
            "-" => x - y,
            _ => x * y,
        }));
    }
    let real = |v: &Value| match v {
        Value::Int(i) => i64::try_from(i).map(|i| i as f64).or_else(|_| i.to_string().parse()).ok(),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    let (x, y) = (real(a)?, real(b)?);
    Some(Value::Float(match name {
        "+" => x + y,
        "-" => x - y,
        _ => x * y,
    }))
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2i64..4).prop_map(int),
        Just(Value::Int(BigInt::from(1) << 70)),
        prop_oneof![Just(1.0), Just(2.0), Just(0.5)].prop_map(Value::Float),
        prop_oneof![Just("a"), Just("b"), Just("true"), Just("false")].prop_map(atom),
        Just(Value::Nil),
        Just(Value::Binary(b"bb".to_vec())),
    ]
}

pub fn data() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Tuple),
            (prop::collection::vec(inner.clone(), 1..3), inner.clone()).prop_map(|(heads, tail)| cells(heads, tail)),
            // Keys are kept simple so that they are surely different.
            (inner.clone(), inner).prop_map(|(x, y)| Value::Map(vec![(atom("a"), x), (int(1), y)])),
        ]
    })
}

fn variable() -> impl Strategy<Value = Value> {
    (1u8..7).prop_map(|n| atom(&format!("${n}")))
}

fn pattern() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![2 => scalar(), 3 => variable(), 2 => Just(atom("_"))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Tuple),
            (prop::collection::vec(inner.clone(), 1..3), inner.clone()).prop_map(|(heads, tail)| cells(heads, tail)),
            inner.prop_map(|x| Value::Map(vec![(atom("a"), x)])),
        ]
    })
}

/// The expression with variables that the head does not bind replaced by ones that it does.
fn grounded(e: &Value, bound: &[u8]) -> Value {
    match (number(e), e) {
        (Some(n), _) if !bound.contains(&n) => atom(&format!("${}", n - 3)),
        (_, Value::Tuple(parts)) if parts.first() != Some(&atom("const")) => {
            Value::Tuple(parts.iter().map(|part| grounded(part, bound)).collect())
        }
        (_, Value::List(heads, _)) => cells(vec![grounded(&heads[0], bound)], grounded(&rest(e), bound)),
        _ => e.clone(),
    }
}

fn variables(pattern: &Value, found: &mut Vec<u8>) {
    found.extend(number(pattern));
    match pattern {
        Value::Tuple(parts) => parts.iter().for_each(|part| variables(part, found)),
        Value::List(heads, tail) => heads.iter().chain([&**tail]).for_each(|part| variables(part, found)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| variables(value, found)),
        _ => {}
    }
}

/// Expressions over variables; `$1` to `$3` are bound for sure.
fn expression() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![2 => scalar(), 4 => variable(), 1 => Just(atom("$_")), 1 => Just(atom("$$"))];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let of = |names: &'static [&'static str], arguments: std::ops::Range<usize>| {
            (prop::sample::select(names), prop::collection::vec(inner.clone(), arguments)).prop_map(|(name, mut arguments)| {
                arguments.insert(0, atom(name));
                Value::Tuple(arguments)
            })
        };
        prop_oneof![
            2 => of(&["is_atom", "is_integer", "is_float", "is_number", "is_list", "is_tuple", "is_map", "is_binary", "not", "hd",
                "tl", "length", "size", "map_size"], 1..2),
            3 => of(&["<", "=<", ">", ">=", "==", "/=", "=:=", "=/="], 2..3),
            2 => of(&["+", "-", "*", "xor", "element", "map_get", "is_map_key"], 2..3),
            3 => of(&["and", "or", "andalso", "orelse"], 1..4),
            1 => data().prop_map(|d| Value::Tuple(vec![atom("const"), d])),
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(|parts| Value::Tuple(vec![Value::Tuple(parts)])),
            1 => (inner.clone(), inner.clone()).prop_map(|(head, tail)| cells(vec![head], tail)),
        ]
    })
}

/// A term with parts of it made variable, which has a good chance to match.
fn blurred(value: &Value, choices: &mut impl Iterator<Item = u8>) -> Value {
    match choices.next().unwrap_or(9) {
        n @ 1..=3 => return atom(&format!("${}", n + 3)),
        4 => return atom("_"),
        5 => return atom("$1"),
        _ => {}
    }
    match value {
        Value::Tuple(parts) => Value::Tuple(parts.iter().map(|part| blurred(part, choices)).collect()),
        Value::List(heads, _) => cells(vec![blurred(&heads[0], choices)], blurred(&rest(value), choices)),
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(key, value)| (key.clone(), blurred(value, choices))).collect()),
        other => other.clone(),
    }
}

fn list(values: Vec<Value>) -> Value {
    cells(values, Value::Nil)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn same_answers_as_the_reference(
        fields in prop::collection::vec(data(), 5),
        own in prop::option::of(prop::collection::vec(pattern(), 2)),
        choices in prop::collection::vec(1u8..12, 24),
        guards in prop::collection::vec(expression(), 0..3),
        body in expression(),
    ) {
        let mut parts = vec![atom("r")];
        parts.extend(fields);
        let mut head: Vec<Value> = vec![atom("_")];
        // The last three fields bind all variables, if they were not bound before.
        let mut choices = choices.into_iter();
        match own {
            Some(own) => head.extend(own),
            None => head.extend(parts[1..3].iter().map(|field| blurred(field, &mut choices))),
        }
        head.extend(["$1", "$2", "$3"].map(atom));
        // A key without variables is looked up as it is, which the reference knows nothing of.
        head.swap(1, 5);
        parts.swap(1, 5);
        let (tuple, head) = (Value::Tuple(parts), Value::Tuple(head));
        let mut known = Vec::new();
        variables(&head, &mut known);
        let guards: Vec<Value> = guards.iter().map(|guard| grounded(guard, &known)).collect();
        let body = grounded(&body, &known);

        let spec = list(vec![Value::Tuple(vec![head.clone(), list(guards.clone()), list(vec![body.clone()])])]);
        let program = Program::parse(&spec.flat(), 6, intern("r"), None).expect("a good spec");
        let mut bound = Bindings::new();
        let matched = matches(&head, &tuple, &mut bound);
        let expected = matched.then(|| {
            let scope = |in_guard| Scope { bound: &bound, whole: &tuple, in_guard };
            let all = guards.iter().all(|guard| scope(true).eval(guard) == Some(truth(true)));
            all.then(|| scope(false).eval(&body).map(|value| value.flat()))
        });
        prop_assert_eq!(answer(&program, &tuple), expected.flatten().flatten());
    }
}
