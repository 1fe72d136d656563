//! Common parts of the queries and answers of all chains.

use streamgate_contracts::caip::CaipError;
use streamgate_contracts::chain::v1::{Answer, DescribeResponse, Observation, Verdict};

/// A question that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It names something invalid.
    #[error(transparent)]
    Name(#[from] CaipError),
    /// It is meaningless.
    #[error("{0}")]
    Other(String),
}

/// The query is meaningless, for this reason.
pub fn malformed(reason: impl Into<String>) -> Malformed {
    Malformed::Other(reason.into())
}

/// The result of a reading; `N` is the chain's number type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<N> {
    /// Yes, no or unknown.
    pub verdict: Verdict,
    amount: Option<N>,
    reason: String,
}

impl<N> Judged<N> {
    /// The reading is inconclusive. `reason` is for people.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, amount: None, reason: reason.into() }
    }

    /// The reading is a yes or no; `amount` is how much is owned, in the smallest unit.
    pub fn decided(yes: bool, amount: Option<N>, reason: impl Into<String>) -> Self {
        Self { verdict: if yes { Verdict::Yes } else { Verdict::No }, amount, reason: reason.into() }
    }
}

impl<N: ToString> Judged<N> {
    /// The answer; `at` is the block that was read, if any.
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

/// The same for a contract whose kind could not be read.
pub fn undescribed(reason: impl Into<String>) -> DescribeResponse {
    DescribeResponse { answer: Some(unread(reason)), ..DescribeResponse::default() }
}

/// Maximum characters of a name from others.
const NAME_CHARS: usize = 128;

/// A name from others in displayable form: without control characters, and without those that change the
/// direction of the following text.
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
