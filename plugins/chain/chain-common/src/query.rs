//! What the questions and answers of all chains have in common.

use streamgate_contracts::caip::CaipError;
use streamgate_contracts::chain::v1::{Answer, DescribeResponse, Observation, Verdict};

/// A question that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// What it names is nothing.
    #[error(transparent)]
    Name(#[from] CaipError),
    /// It makes no sense.
    #[error("{0}")]
    Other(String),
}

/// The question makes no sense, for this reason.
pub fn malformed(reason: impl Into<String>) -> Malformed {
    Malformed::Other(reason.into())
}

/// What a reading says; `N` is what the chain counts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<N> {
    /// Yes, no or unknown.
    pub verdict: Verdict,
    amount: Option<N>,
    reason: String,
}

impl<N> Judged<N> {
    /// The reading does not say. `reason` is for people.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, amount: None, reason: reason.into() }
    }

    /// The reading says yes or no; `amount` is how much is owned, in the smallest unit.
    pub fn decided(yes: bool, amount: Option<N>, reason: impl Into<String>) -> Self {
        Self { verdict: if yes { Verdict::Yes } else { Verdict::No }, amount, reason: reason.into() }
    }
}

impl<N: ToString> Judged<N> {
    /// The answer; `at` is the block that was read, if one was.
    pub fn answer(self, at: Option<Observation>) -> Answer {
        Answer {
            verdict: self.verdict.into(),
            reason: self.reason,
            amount: self.amount.map(|amount| amount.to_string()),
            at,
        }
    }
}

/// An answer without a reading.
pub fn unread(reason: impl Into<String>) -> Answer {
    Judged::<u64>::unknown(reason).answer(None)
}

/// The same of a contract that could not be asked what it is.
pub fn undescribed(reason: impl Into<String>) -> DescribeResponse {
    DescribeResponse { answer: Some(unread(reason)), ..DescribeResponse::default() }
}

/// Characters of a name that somebody else chose, at most.
const NAME_CHARS: usize = 128;

/// A name that somebody else chose, as it may be shown: without control characters, and without
/// those that turn the direction of what follows.
pub fn printable(name: &str) -> String {
    let turns =
        |it: char| matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = name.chars().filter(|it| !it.is_control() && !turns(*it)).take(NAME_CHARS).collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_short_and_without_what_controls_a_screen() {
        assert_eq!(printable("Ticket\0\0\0"), "Ticket");
        assert_eq!(printable(" a\n\u{1b}[31mb\u{202e}c\u{7f} "), "a[31mbc");
        assert_eq!(printable(&"é".repeat(200)), "é".repeat(128));
    }
}
