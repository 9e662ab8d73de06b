//! Mnesia's counters: integers of any size that never fall below 0.

use super::number::{add, Number};
use crate::term::{read, Term, Writer};
use num_bigint::{BigInt, Sign};

/// Writes the new value of a counter: the sum, or, where that is no integer or below 0, the increment if it is greater than 0, else 0.
pub fn count(before: Option<&[u8]>, increment: &[u8], out: &mut Writer) {
    let integer = |flat: &[u8]| match read(flat).0 {
        Term::Float(_) => None,
        term => Number::of(&term),
    };
    let by = integer(increment).unwrap_or(Number::Int(0));
    let sum = before.and_then(integer).and_then(|before| add(before, by.clone()));
    let natural = |n: &Number| match n {
        Number::Int(i) => *i >= 0,
        Number::Big(b) => b.sign() != Sign::Minus,
        Number::Float(_) => false,
    };
    match sum.filter(natural).or(Some(by).filter(natural)) {
        Some(Number::Int(i)) => out.int(i),
        Some(Number::Big(b)) => big(&b, out),
        _ => out.int(0),
    }
}

fn big(b: &BigInt, out: &mut Writer) {
    let (sign, magnitude) = b.to_bytes_le();
    out.big(sign == Sign::Minus, &magnitude);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters() {
        let flat = |n: i128| {
            let mut writer = Writer::new();
            big(&BigInt::from(n), &mut writer);
            writer.buf
        };
        let large = i128::from(i64::MAX);
        for (before, by, after) in [
            (None, 3, 3),
            (None, -3, 0),
            (Some(4), -3, 1),
            (Some(4), -5, 0),
            (Some(-7), 1, 1),
            (Some(-7), 9, 2),
            (Some(large), 1, large + 1),
            (Some(large + 1), -1, large),
            (Some(5), large + 1, large + 6),
            (Some(5), -large - 7, 0),
        ] {
            let mut out = Writer::new();
            count(before.map(flat).as_deref(), &flat(by), &mut out);
            assert_eq!(out.buf[..], flat(after)[..], "{before:?} + {by}");
        }
        let mut float = Writer::new();
        float.float(1.5);
        let mut out = Writer::new();
        count(Some(&float.buf), &flat(2), &mut out);
        assert_eq!(out.buf[..], flat(2)[..]);
    }
}
