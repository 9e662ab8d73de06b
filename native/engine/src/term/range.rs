//! Ranges of ordered forms (see [`super::key`]).
//!
//! A form is never the beginning of another form. So all forms that begin with some bytes are one range, and the range of one whole form
//! holds that form alone; in an index, where the key follows the value, it holds all entries of the value.

/// From `low` on, up to but without `high`; no `high` is no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub low: Vec<u8>,
    pub high: Option<Vec<u8>>,
}

impl Range {
    pub fn all() -> Range {
        Range { low: Vec::new(), high: None }
    }

    /// Everything that begins with these bytes: one value, if they are a whole form.
    pub fn of(prefix: Vec<u8>) -> Range {
        let high = after(&prefix);
        Range { low: prefix, high }
    }

    #[inline]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        bytes >= &self.low[..] && self.below_end(bytes)
    }

    #[inline]
    pub fn below_end(&self, bytes: &[u8]) -> bool {
        self.high.as_ref().is_none_or(|high| bytes < &high[..])
    }

    pub fn is_empty(&self) -> bool {
        self.high.as_ref().is_some_and(|high| *high <= self.low)
    }

    /// All that is in it begins with `low`: one value, if `low` is a whole form.
    pub fn is_prefix(&self) -> bool {
        self.high == after(&self.low)
    }
}

/// The first byte string after all that begin with `prefix`; none if nothing is after them.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&b| b != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(after(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!((after(&[0xff]), after(&[])), (None, None));
        let range = Range::of(vec![1, 0xff]);
        assert!(range.is_prefix() && range.contains(&[1, 0xff]) && range.contains(&[1, 0xff, 0, 7]) && !range.contains(&[2]));
        assert!(Range::all().contains(&[]) && Range::all().is_prefix() && !Range::all().is_empty());
        assert!(Range { low: vec![2], high: Some(vec![2]) }.is_empty());
    }
}
