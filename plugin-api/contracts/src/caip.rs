//! Names of chains, accounts and assets: CAIP-2, CAIP-10 and CAIP-19, in the namespaces [`eip155`] and
//! [`solana`]. What is parsed has one spelling, so that names compare as they are written.
//!
//! Addresses and numbers are types of the caller, since each plugin counts with those of its own chain library.

use std::str::FromStr;

pub mod eip155;
pub mod solana;

/// A text that names no chain, account or asset, or no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given:.160}` is no {wanted}")]
pub struct CaipError {
    given: String,
    wanted: &'static str,
}

impl CaipError {
    fn new(given: &str, wanted: &'static str) -> Self {
        Self { given: given.chars().take(160).collect(), wanted }
    }
}

/// A decimal number without sign, leading zeros or anything else that is not a digit, of at most 78 digits.
pub fn decimal<N: FromStr>(text: &str) -> Option<N> {
    let digits = (1..=78).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// The parts of an asset (CAIP-19): chain, kind, reference, and the number of one token.
pub fn asset_parts(text: &str) -> Option<(&str, &str, &str, Option<&str>)> {
    let (chain, rest) = text.split_once('/')?;
    let (kind, rest) = rest.split_once(':')?;
    let (reference, id) = rest.split_once('/').map_or((rest, None), |(reference, id)| (reference, Some(id)));
    Some((chain, kind, reference, id))
}
