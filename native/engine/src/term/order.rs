//! Erlang's term order on flat bytes, numbers compared by value (`1 == 1.0`).
//!
//! Numbers, atoms, binaries, tuples and lists are compared where they lie; the rest (maps, funs, pids ..) through the ordered key
//! form, which has the one definition of their order.

use super::record::Attached;
use super::{atom, key, read, Term};
use std::cmp::Ordering;

/// Terms beside the bytes of one side of a comparison.
pub type Beside<'a> = Option<&'a dyn Attached>;

/// Compares the first terms of `a` and `b`.
pub fn compare(a: &[u8], b: &[u8], beside_a: Beside, beside_b: Beside) -> Ordering {
    // (a, b, terms left): elements of two containers that are walked in step.
    let mut stack: Vec<(&[u8], &[u8], u32)> = Vec::new();
    let (mut a, mut b, mut left) = (a, b, 1);
    loop {
        while left == 0 {
            match stack.pop() {
                Some(frame) => (a, b, left) = frame,
                None => return Ordering::Equal,
            }
        }
        left -= 1;
        let ((ta, rest_a), (tb, rest_b)) = (read(a), read(b));
        let step = match (ta, tb) {
            (Term::Tuple(ea), Term::Tuple(eb)) => {
                if ea.count != eb.count {
                    return ea.count.cmp(&eb.count);
                }
                Step::Into(ea.body, eb.body, ea.count)
            }
            (Term::List(ea), Term::List(eb)) if ea.count == eb.count => Step::Into(ea.body, eb.body, ea.count),
            (Term::Int(x), Term::Int(y)) => Step::Done(x.cmp(&y)),
            (Term::Atom(x), Term::Atom(y)) => Step::Done(if x == y { Ordering::Equal } else { atom::text(x).cmp(atom::text(y)) }),
            (Term::Binary(x), Term::Binary(y)) => Step::Done(x.cmp(y)),
            (Term::Float(x), Term::Float(y)) => Step::Done(x.partial_cmp(&y).unwrap_or(Ordering::Equal)),
            (Term::Int(x), Term::Float(y)) => Step::Done(int_float(x, y)),
            (Term::Float(x), Term::Int(y)) => Step::Done(int_float(y, x).reverse()),
            _ => match class(&ta).cmp(&class(&tb)) {
                Ordering::Equal => {
                    let (one_a, one_b) = (&a[..a.len() - rest_a.len()], &b[..b.len() - rest_b.len()]);
                    Step::Done(if one_a == one_b { Ordering::Equal } else { by_key(one_a, one_b, beside_a, beside_b) })
                }
                unequal => Step::Done(unequal),
            },
        };
        match step {
            Step::Done(Ordering::Equal) => (a, b) = (rest_a, rest_b),
            Step::Done(unequal) => return unequal,
            Step::Into(body_a, body_b, count) => {
                stack.push((rest_a, rest_b, left));
                (a, b, left) = (body_a, body_b, count);
            }
        }
    }
}

enum Step<'a> {
    Done(Ordering),
    Into(&'a [u8], &'a [u8], u32),
}

fn by_key(a: &[u8], b: &[u8], beside_a: Beside, beside_b: Beside) -> Ordering {
    let (mut ka, mut kb) = (Vec::new(), Vec::new());
    key::write(a, beside_a, &mut ka);
    key::write(b, beside_b, &mut kb);
    ka.cmp(&kb)
}

/// Rank of the type: number < atom < reference < fun < port < pid < tuple < map < nil < list < bit string.
pub(super) fn class(t: &Term) -> u8 {
    match t {
        Term::Int(_) | Term::Big { .. } | Term::Float(_) => 0,
        Term::Atom(_) => 1,
        Term::Ref(_) | Term::ExtRef(_) => 2,
        Term::Fun(_) | Term::Export { .. } => 3,
        Term::Port(_) | Term::ExtPort(_) => 4,
        Term::Pid(_) | Term::ExtPid(_) => 5,
        Term::Tuple(_) => 6,
        Term::Map(_) => 7,
        Term::Nil => 8,
        Term::List(_) | Term::Improper(_) => 9,
        Term::Binary(_) | Term::Bits { .. } | Term::Blob { .. } => 10,
    }
}

/// Exact: the integer is not rounded to a double where doubles no longer hold every integer.
pub fn int_float(i: i64, f: f64) -> Ordering {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if f.abs() < EXACT {
        // Both are exact as doubles, or the integer is far outside and rounding keeps its side.
        return (i as f64).partial_cmp(&f).unwrap_or(Ordering::Equal);
    }
    if f >= 9_223_372_036_854_775_808.0 {
        Ordering::Less
    } else if f < -9_223_372_036_854_775_808.0 {
        Ordering::Greater
    } else {
        i.cmp(&(f as i64))
    }
}
