//! Names of chains, accounts and assets: CAIP-2, CAIP-10 and CAIP-19, in the namespace `solana`. Base58 has
//! one form for each value, so texts are compared directly.

use streamgate_contracts::caip::solana;

use crate::address::Address;

pub(crate) use solana::{ChainId, number};

pub(crate) type Account = solana::Account<Address>;
pub(crate) type Token = solana::Token<Address>;
pub(crate) type Asset = solana::Asset<Address>;
