//! Three-valued logic after Kleene. An unknown stays unknown until it makes no difference; negation never
//! turns it into a yes.

/// Whether something holds. In this order `all` is the least and `any` the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Truth {
    No,
    Unknown,
    Yes,
}

impl Truth {
    pub(crate) fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }

    pub(crate) fn all(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().min().unwrap_or(Self::Yes)
    }

    pub(crate) fn any(of: impl IntoIterator<Item = Self>) -> Self {
        of.into_iter().max().unwrap_or(Self::No)
    }

    pub(crate) fn at_least(n: usize, of: impl IntoIterator<Item = Self>) -> Self {
        let (mut sure, mut possible) = (0, 0);
        for truth in of {
            sure += usize::from(truth == Self::Yes);
            possible += usize::from(truth != Self::No);
        }
        match (sure >= n, possible >= n) {
            (true, _) => Self::Yes,
            (false, true) => Self::Unknown,
            (false, false) => Self::No,
        }
    }

    /// `yes`, `no` or `unknown`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Yes => "yes",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn truths() -> impl Strategy<Value = Truth> {
        prop_oneof![Just(Truth::No), Just(Truth::Unknown), Just(Truth::Yes)]
    }

    proptest! {
        #[test]
        fn de_morgan_holds(of in prop::collection::vec(truths(), 0..8)) {
            let negated = || of.iter().map(|truth| truth.not());
            prop_assert_eq!(Truth::all(of.clone()).not(), Truth::any(negated()));
            prop_assert_eq!(Truth::any(of.clone()).not(), Truth::all(negated()));
        }

        #[test]
        fn all_and_any_are_the_ends_of_at_least(of in prop::collection::vec(truths(), 1..8)) {
            prop_assert_eq!(Truth::at_least(of.len(), of.clone()), Truth::all(of.clone()));
            prop_assert_eq!(Truth::at_least(1, of.clone()), Truth::any(of.clone()));
            prop_assert_eq!(Truth::at_least(0, of), Truth::Yes);
        }

        #[test]
        fn at_least_is_what_it_is_over_every_choice(n in 1usize..6, of in prop::collection::vec(truths(), 1..8)) {
            let counts = |unknown: Truth| {
                of.iter().filter(|truth| **truth == Truth::Yes || (**truth == Truth::Unknown && unknown == Truth::Yes)).count() >= n
            };
            let expected = match (counts(Truth::No), counts(Truth::Yes)) {
                (true, true) => Truth::Yes,
                (false, false) => Truth::No,
                _ => Truth::Unknown,
            };
            prop_assert_eq!(Truth::at_least(n, of), expected);
        }
    }

    #[test]
    fn not_undoes_itself_and_leaves_the_unknown_alone() {
        assert_eq!(Truth::Unknown.not(), Truth::Unknown);
        for truth in [Truth::No, Truth::Unknown, Truth::Yes] {
            assert_eq!(truth.not().not(), truth);
        }
    }
}
