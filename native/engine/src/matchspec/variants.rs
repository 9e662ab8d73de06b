//! All terms that are `==` to a term: a hash table keeps `1` and `1.0` as two keys, so whoever looks for what is `==` to one of them
//! looks for both.

use crate::term::{read, skip, Term, Writer};
use num_bigint::{BigInt, Sign};

/// More than this many terms, which takes six numbers or so, are not made.
const MAX: usize = 64;

/// The terms that are `==` to this one, itself among them; none if they are too many. Numbers in the keys of maps have one form only, there
/// `1` and `1.0` differ. Closures are left alone.
pub fn variants(flat: &[u8]) -> Option<Vec<Vec<u8>>> {
    match read(flat).0 {
        Term::Int(_) | Term::Float(_) | Term::Big { .. } => return Some(forms(flat)),
        Term::Tuple(_) | Term::List(_) | Term::Improper(_) | Term::Map(_) => {}
        Term::Fun(_) => return None,
        _ => return Some(vec![flat.to_vec()]),
    }
    let mut all = vec![Writer::new()];
    // Containers under way: what is left of them, whether the next element is a key of a map, and how each writer closes them.
    let mut open: Vec<(usize, Kind, usize, Vec<crate::term::Open>)> = Vec::new();
    let mut rest = flat;
    loop {
        while let Some((0, kind, count, places)) = open.last() {
            for (writer, place) in all.iter_mut().zip(places) {
                match kind {
                    Kind::Tuple => writer.close_tuple(*place, *count),
                    Kind::List => writer.close_list(*place, *count),
                    Kind::Improper => writer.close_improper(*place, *count),
                    // The order of pairs goes by their keys, which stay.
                    Kind::Map => writer.close_sorted_map(*place, *count),
                }
            }
            open.pop();
        }
        if rest.is_empty() {
            return Some(all.into_iter().map(|writer| writer.buf).collect());
        }
        let in_key = match open.last_mut() {
            Some((left, kind, ..)) => {
                *left -= 1;
                *kind == Kind::Map && *left % 2 == 1
            }
            None => false,
        };
        let (term, next) = read(rest);
        let one = &rest[..rest.len() - next.len()];
        let container = match term {
            _ if in_key => None,
            Term::Tuple(e) => Some((e, e.count as usize, Kind::Tuple)),
            Term::List(e) => Some((e, e.count as usize, Kind::List)),
            Term::Improper(e) => Some((e, e.count as usize + 1, Kind::Improper)),
            Term::Map(e) => Some((e, e.count as usize * 2, Kind::Map)),
            Term::Fun(_) => return None,
            _ => None,
        };
        if let Some((elements, parts, kind)) = container {
            let places = all.iter_mut().map(Writer::open).collect();
            open.push((parts, kind, elements.count as usize, places));
            // Elements follow the head; what is after the container follows them.
            rest = &rest[one.len() - elements.body.len()..];
            continue;
        }
        let number = !in_key && matches!(term, Term::Int(_) | Term::Float(_) | Term::Big { .. });
        let forms = if number { forms(one) } else { vec![one.to_vec()] };
        if all.len() * forms.len() > MAX {
            return None;
        }
        multiply(&mut all, &mut open, &forms);
        rest = skip(rest);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tuple,
    List,
    Improper,
    Map,
}

/// Every writer goes on with each form.
fn multiply(all: &mut Vec<Writer>, open: &mut [(usize, Kind, usize, Vec<crate::term::Open>)], forms: &[Vec<u8>]) {
    let count = all.len();
    for _ in 1..forms.len() {
        for i in 0..count {
            all.push(Writer { buf: all[i].buf.clone(), ..Writer::default() });
        }
        open.iter_mut().for_each(|(.., places)| places.extend_from_within(..count));
    }
    for (i, writer) in all.iter_mut().enumerate() {
        writer.buf.extend_from_slice(&forms[i / count]);
    }
}

/// A number as integer and as float, where it can be both.
fn forms(flat: &[u8]) -> Vec<Vec<u8>> {
    let mut integer = Writer::new();
    let mut float = Writer::new();
    match read(flat).0 {
        Term::Int(i) => {
            integer.int(i);
            if i as f64 as i128 == i128::from(i) {
                float.float(i as f64);
            }
        }
        Term::Big { negative, magnitude } => {
            integer.big(negative, magnitude);
            if let Some(f) = exact_float(negative, magnitude) {
                float.float(f);
            }
        }
        Term::Float(f) => {
            float.float(f);
            if let Some(whole) = whole(f) {
                let (sign, magnitude) = whole.to_bytes_le();
                integer.big(sign == Sign::Minus, &magnitude);
            }
        }
        _ => return vec![flat.to_vec()],
    }
    let mut all: Vec<Vec<u8>> = [integer.buf, float.buf].into_iter().filter(|form| !form.is_empty()).collect();
    if matches!(read(flat).0, Term::Int(0)) || matches!(read(flat).0, Term::Float(f) if f == 0.0) {
        all.truncate(1);
        for zero in [0.0, -0.0] {
            let mut form = Writer::new();
            form.float(zero);
            all.push(form.buf);
        }
        let mut zero = Writer::new();
        zero.int(0);
        all[0] = zero.buf;
    }
    all
}

/// The float that is this integer, if there is one: at most 53 bits between its first and its last one.
fn exact_float(negative: bool, magnitude: &[u8]) -> Option<f64> {
    let big = BigInt::from_bytes_le(if negative { Sign::Minus } else { Sign::Plus }, magnitude);
    let zeros = big.trailing_zeros().unwrap_or(0);
    if big.bits() > 1024 || big.bits() - zeros > 53 {
        return None;
    }
    let bits = i64::try_from(&big >> zeros).ok()?;
    Some(bits as f64 * 2f64.powi(i32::try_from(zeros).ok()?))
}

/// The integer that a float is, if it is one.
fn whole(f: f64) -> Option<BigInt> {
    if f.fract() != 0.0 {
        return None;
    }
    let bits = f.to_bits();
    let exponent = i64::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1075;
    if exponent <= 0 {
        return Some(BigInt::from(f as i64));
    }
    let mantissa = BigInt::from((bits & ((1 << 52) - 1)) | 1 << 52) << exponent;
    Some(if f < 0.0 { -mantissa } else { mantissa })
}
