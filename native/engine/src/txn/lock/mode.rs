//! Sets of lock modes.

/// A set of modes; holding several at once is usual (S + IX is known as SIX).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Modes(u8);

impl Modes {
    pub const NONE: Modes = Modes(0);
    /// Some record below is read.
    pub const IS: Modes = Modes(1);
    /// Some record below is written.
    pub const IX: Modes = Modes(2);
    /// Shared.
    pub const S: Modes = Modes(4);
    /// Exclusive.
    pub const X: Modes = Modes(8);

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn contains(self, other: Modes) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn union(self, other: Modes) -> Modes {
        Modes(self.0 | other.0)
    }

    pub const fn without(self, other: Modes) -> Modes {
        Modes(self.0 & !other.0)
    }

    pub const fn intersects(self, other: Modes) -> bool {
        self.0 & other.0 != 0
    }

    /// What these modes allow without asking again.
    pub fn grants(self, want: Modes) -> bool {
        let implied = if self.contains(Modes::X) {
            Modes(15)
        } else if self.contains(Modes::S) || self.contains(Modes::IX) {
            self.union(Modes::IS)
        } else {
            self
        };
        implied.contains(want)
    }

    /// Modes that another transaction must not have beside these.
    fn against(self) -> Modes {
        let mut against = 0;
        if self.intersects(Modes::IS) {
            against |= Modes::X.0;
        }
        if self.intersects(Modes::IX) {
            against |= Modes::S.0 | Modes::X.0;
        }
        if self.intersects(Modes::S) {
            against |= Modes::IX.0 | Modes::X.0;
        }
        if self.intersects(Modes::X) {
            against = 15;
        }
        Modes(against)
    }

    pub fn conflicts(self, other: Modes) -> bool {
        self.against().intersects(other)
    }
}

#[cfg(test)]
mod tests {
    use super::Modes;

    #[test]
    fn matrix() {
        let all = [Modes::IS, Modes::IX, Modes::S, Modes::X];
        let conflicts = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.conflicts(*b), conflicts[i][j] == 1, "{a:?} {b:?}");
            }
        }
    }
}
