//! Names of chains and accounts, with the addresses of alloy.

use streamgate_contracts::caip::eip155;

pub(crate) use eip155::ChainId;

pub(crate) type Account = eip155::Account<alloy_primitives::Address>;
