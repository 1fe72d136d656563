//! Names of chains, accounts and assets, with the addresses and numbers of alloy.

use alloy_primitives::{Address, U256};
use streamgate_contracts::caip::eip155;

pub(crate) use eip155::{ChainId, number};

pub(crate) type Account = eip155::Account<Address>;
pub(crate) type Token = eip155::Token<Address, U256>;
pub(crate) type Asset = eip155::Asset<Address, U256>;
