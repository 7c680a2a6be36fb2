//! Sets of levels.

use sereno_model::Level;

/// A set of levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Levels(u8);

const IN_ORDER: [Level; 3] = [Level::Info, Level::Warn, Level::Crit];

impl Levels {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(0b111);

    /// One of them.
    #[must_use]
    pub const fn only(level: Level) -> Self {
        Self(1 << level as u8)
    }

    /// Whether there is none in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `level` is in it.
    #[must_use]
    pub const fn contains(self, level: Level) -> bool {
        self.0 & Self::only(level).0 != 0
    }

    /// Those in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in it and not in `other`.
    #[must_use]
    pub const fn and_not(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those not in it.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self::ALL.and_not(self)
    }

    /// Those in it up to `level`, itself included.
    #[must_use]
    pub const fn up_to(self, level: Level) -> Self {
        Self(self.0 & ((Self::only(level).0 << 1) - 1))
    }

    /// Those in it above `level`.
    #[must_use]
    pub const fn above(self, level: Level) -> Self {
        self.and_not(Self::ALL.up_to(level))
    }

    /// The highest in it.
    #[must_use]
    pub fn highest(self) -> Option<Level> {
        self.iter().last()
    }

    /// Those in it, the lowest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Level> {
        IN_ORDER.into_iter().filter(move |level| self.contains(*level))
    }

    /// As bits, `info` the lowest.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From such bits; others than the lowest three are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl FromIterator<Level> for Levels {
    fn from_iter<I: IntoIterator<Item = Level>>(levels: I) -> Self {
        levels.into_iter().fold(Self::NONE, |set, level| set.or(Self::only(level)))
    }
}
