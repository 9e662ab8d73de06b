//! Arithmetic of guards, as the BEAM does it: integers of any size, doubles without infinities, `None` for `badarith`.
//!
//! Two limits keep one record from holding a scheduler: the largest integer is that of the BEAM (so `1 bsl 1000000000` fails as
//! it does there), and a product or quotient of two enormous integers fails where the BEAM would be busy for seconds.

use crate::term::Term;
use num_bigint::{BigInt, Sign};

/// Largest integer in 64-bit words, measured on OTP 25: `1 bsl 33554367` is the last shift that works.
const MAX_WORDS: u64 = 524_287;
/// Words of one factor times words of the other: about a quarter of a second of schoolbook division.
const MAX_WORK: u64 = 1 << 28;

/// A number taken out of its bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    Int(i64),
    Big(BigInt),
    Float(f64),
}

use Number::{Big, Float, Int};

/// Functions of two integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitwise {
    And,
    Or,
    Xor,
}

/// Ways from a float to an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    Round,
    Trunc,
    Floor,
    Ceil,
}

impl Number {
    #[inline]
    pub fn of(term: &Term) -> Option<Number> {
        match *term {
            Term::Int(i) => Some(Int(i)),
            Term::Float(f) => Some(Float(f)),
            Term::Big { negative, magnitude } => {
                Some(Big(BigInt::from_bytes_le(if negative { Sign::Minus } else { Sign::Plus }, magnitude)))
            }
            _ => None,
        }
    }

    fn big(self) -> Option<BigInt> {
        match self {
            Int(i) => Some(BigInt::from(i)),
            Big(b) => Some(b),
            Float(_) => None,
        }
    }

    /// The double nearest to it, rounded digit by digit as the BEAM does; too large is an error.
    pub fn float(&self) -> Option<f64> {
        match self {
            Int(i) => Some(*i as f64),
            Float(f) => Some(*f),
            Big(b) => {
                const BASE: f64 = 18_446_744_073_709_551_616.0;
                let magnitude = b.iter_u64_digits().rev().fold(0.0, |d, digit| d * BASE + digit as f64);
                finite(if b.sign() == Sign::Minus { -magnitude } else { magnitude }).and_then(|n| n.float())
            }
        }
    }

    fn words(&self) -> u64 {
        match self {
            Big(b) => b.bits().div_ceil(64),
            _ => 1,
        }
    }
}

#[inline]
fn finite(f: f64) -> Option<Number> {
    f.is_finite().then_some(Float(f))
}

/// The shorter form if it fits; an error if it is larger than the BEAM allows.
fn integer(b: BigInt) -> Option<Number> {
    match i64::try_from(&b) {
        Ok(i) => Some(Int(i)),
        Err(_) => (b.bits().div_ceil(64) <= MAX_WORDS).then_some(Big(b)),
    }
}

/// One operation in its three forms: machine integers, big integers, doubles.
#[inline]
fn arithmetic(
    a: Number,
    b: Number,
    small: fn(i64, i64) -> Option<i64>,
    large: fn(BigInt, BigInt) -> BigInt,
    real: fn(f64, f64) -> f64,
) -> Option<Number> {
    match (a, b) {
        (Int(x), Int(y)) => match small(x, y) {
            Some(z) => Some(Int(z)),
            None => integer(large(BigInt::from(x), BigInt::from(y))),
        },
        (Float(x), Float(y)) => finite(real(x, y)),
        (a, b) if matches!(a, Float(_)) || matches!(b, Float(_)) => finite(real(a.float()?, b.float()?)),
        (a, b) => integer(large(a.big()?, b.big()?)),
    }
}

pub fn add(a: Number, b: Number) -> Option<Number> {
    arithmetic(a, b, i64::checked_add, |x, y| x + y, |x, y| x + y)
}

pub fn subtract(a: Number, b: Number) -> Option<Number> {
    arithmetic(a, b, i64::checked_sub, |x, y| x - y, |x, y| x - y)
}

pub fn multiply(a: Number, b: Number) -> Option<Number> {
    affordable(&a, &b)?;
    arithmetic(a, b, i64::checked_mul, |x, y| x * y, |x, y| x * y)
}

fn affordable(a: &Number, b: &Number) -> Option<()> {
    (a.words() * b.words() <= MAX_WORK).then_some(())
}

/// `/`: always a float.
pub fn divide(a: Number, b: Number) -> Option<Number> {
    let (x, y) = (a.float()?, b.float()?);
    if y == 0.0 {
        return None;
    }
    finite(x / y)
}

/// `div` and `rem`: both round towards zero.
pub fn quotient(a: Number, b: Number, remainder: bool) -> Option<Number> {
    match (&a, &b) {
        (Float(_), _) | (_, Float(_)) | (_, Int(0)) => return None,
        (Int(x), Int(y)) => {
            let small = if remainder { x.checked_rem(*y) } else { x.checked_div(*y) };
            if let Some(z) = small {
                return Some(Int(z));
            }
        }
        _ => affordable(&a, &b)?,
    }
    let (x, y) = (a.big()?, b.big()?);
    integer(if remainder { x % y } else { x / y })
}

pub fn bitwise(a: Number, b: Number, op: Bitwise) -> Option<Number> {
    if let (Int(x), Int(y)) = (&a, &b) {
        return Some(Int(match op {
            Bitwise::And => x & y,
            Bitwise::Or => x | y,
            Bitwise::Xor => x ^ y,
        }));
    }
    let (x, y) = (a.big()?, b.big()?);
    integer(match op {
        Bitwise::And => x & y,
        Bitwise::Or => x | y,
        Bitwise::Xor => x ^ y,
    })
}

pub fn complement(a: Number) -> Option<Number> {
    match a {
        Int(i) => Some(Int(!i)),
        Big(b) => integer(!b),
        Float(_) => None,
    }
}

/// `bsl`; `bsr` is the same with the sign of `by` turned.
pub fn shift(a: Number, by: Number, left: bool) -> Option<Number> {
    if let Float(_) = a {
        return None;
    }
    // Shifts beyond i64 are as good as the largest: all bits go, or the limit is passed.
    let by = match by {
        Int(i) => i,
        Big(b) if b.sign() == Sign::Minus => -i64::MAX,
        Big(_) => i64::MAX,
        Float(_) => return None,
    };
    let by = if left { by } else { by.checked_neg().unwrap_or(i64::MAX) };
    if a == Int(0) {
        return Some(a);
    }
    if by <= 0 {
        return match a {
            Int(i) => Some(Int(i >> by.unsigned_abs().min(63))),
            a => a.big().and_then(|b| integer(b >> by.unsigned_abs().min(MAX_WORDS * 64))),
        };
    }
    if let Int(i) = a {
        if by < 63 && (i << by) >> by == i {
            return Some(Int(i << by));
        }
    }
    let b = a.big()?;
    let bits = b.bits().checked_add(by.unsigned_abs())?;
    if bits > MAX_WORDS * 64 {
        return None;
    }
    integer(b << by.unsigned_abs())
}

/// Unary minus. The BEAM turns the sign of a zero too.
pub fn negate(a: Number) -> Option<Number> {
    match a {
        Int(i) => i.checked_neg().map_or_else(|| integer(-BigInt::from(i)), |n| Some(Int(n))),
        Big(b) => integer(-b),
        Float(f) => Some(Float(-f)),
    }
}

pub fn absolute(a: Number) -> Option<Number> {
    match a {
        Int(i) if i < 0 => negate(a),
        Big(b) if b.sign() == Sign::Minus => integer(-b),
        Float(f) => Some(Float(f.abs())),
        other => Some(other),
    }
}

pub fn to_integer(a: Number, how: Rounding) -> Option<Number> {
    let Float(f) = a else { return Some(a) };
    let whole = match how {
        Rounding::Round => f.round(),
        Rounding::Trunc => f.trunc(),
        Rounding::Floor => f.floor(),
        Rounding::Ceil => f.ceil(),
    };
    if whole.abs() < 9_007_199_254_740_992.0 {
        return Some(Int(whole as i64));
    }
    // Beyond 2^53 a double is its mantissa shifted left.
    let bits = whole.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1075;
    let mantissa = (bits & ((1 << 52) - 1) | 1 << 52) as i64;
    let magnitude = BigInt::from(mantissa) << exponent.unsigned_abs();
    integer(if whole < 0.0 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big(shift: u32) -> Number {
        Big(BigInt::from(1) << shift)
    }

    #[test]
    fn integers_grow_and_shrink() {
        assert_eq!(add(Int(i64::MAX), Int(1)), Some(big(63)));
        assert_eq!(subtract(big(63), Int(1)), Some(Int(i64::MAX)));
        assert_eq!(multiply(Int(1 << 40), Int(1 << 40)), Some(big(80)));
        assert_eq!(quotient(Int(i64::MIN), Int(-1), false), Some(big(63)));
        assert_eq!(quotient(Int(i64::MIN), Int(-1), true), Some(Int(0)));
        assert_eq!(quotient(Int(-7), Int(2), false), Some(Int(-3)));
        assert_eq!(quotient(Int(-7), Int(2), true), Some(Int(-1)));
        assert_eq!(negate(Int(i64::MIN)), Some(big(63)));
        assert_eq!(absolute(Int(i64::MIN)), Some(big(63)));
    }

    #[test]
    fn shifts() {
        assert_eq!(shift(Int(1), Int(-1), true), Some(Int(0)));
        assert_eq!(shift(Int(-1), big(70), false), Some(Int(-1)));
        assert_eq!(shift(Int(1), big(70), true), None);
        assert_eq!(shift(Int(0), big(70), true), Some(Int(0)));
        assert_eq!(shift(Int(5), Int(-3), false), Some(Int(40)));
        assert_eq!(shift(Int(1), Int(62), true), Some(Int(1 << 62)));
        assert_eq!(shift(Int(1), Int(63), true), Some(big(63)));
        assert_eq!(shift(Int(-1), Int(63), true), Some(Int(i64::MIN)));
        assert_eq!(shift(Int(1), Int(i64::MIN), true), Some(Int(0)));
        assert_eq!(shift(Int(1), Int(i64::MIN), false), None);
        assert!(shift(Int(1), Int(33_554_367), true).is_some());
        assert_eq!(shift(Int(1), Int(33_554_368), true), None);
        assert_eq!(shift(Float(1.0), Int(0), true), None);
    }

    #[test]
    fn floats_have_no_infinity() {
        assert_eq!(multiply(Float(1.0e300), Float(1.0e300)), None);
        assert_eq!(add(big(1100), Float(0.0)), None);
        assert_eq!(divide(Int(4), Int(2)), Some(Float(2.0)));
        assert_eq!(divide(Int(4), Float(-0.0)), None);
        assert_eq!(multiply(Int(0), Float(1.0e300)), Some(Float(0.0)));
    }

    #[test]
    fn big_to_float_rounds_digit_by_digit() {
        // Rounded once this would be 2^117 + 2^65.
        let odd = ((BigInt::from(1) << 53) + 1) << 64;
        assert_eq!(Big(odd + 1).float(), Some(2f64.powi(117)));
    }

    #[test]
    fn rounding() {
        assert_eq!(to_integer(Float(-2.5), Rounding::Round), Some(Int(-3)));
        assert_eq!(to_integer(Float(0.499_999_999_999_999_94), Rounding::Round), Some(Int(0)));
        assert_eq!(to_integer(Float(-2.5), Rounding::Trunc), Some(Int(-2)));
        assert_eq!(to_integer(Float(-2.5), Rounding::Floor), Some(Int(-3)));
        assert_eq!(to_integer(Float(-2.5), Rounding::Ceil), Some(Int(-2)));
        assert_eq!(to_integer(Float(-2f64.powi(63)), Rounding::Trunc), Some(Int(i64::MIN)));
        assert_eq!(to_integer(Float(2f64.powi(70)), Rounding::Round), Some(big(70)));
    }

    #[test]
    fn enormous_products_are_refused() {
        let large = Big(BigInt::from(1) << (64 * 20_000));
        assert_eq!(multiply(large.clone(), large.clone()), None);
        assert_eq!(quotient(large.clone(), large, false), None);
    }
}
