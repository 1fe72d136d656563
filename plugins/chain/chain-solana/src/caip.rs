//! Names of clusters, accounts and assets, with addresses that are 32 bytes.

use streamgate_contracts::caip::solana;

use crate::address::Address;

pub(crate) use solana::{ChainId, number};

pub(crate) type Account = solana::Account<Address>;
pub(crate) type Token = solana::Token<Address>;
pub(crate) type Asset = solana::Asset<Address>;
