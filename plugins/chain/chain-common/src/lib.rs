//! Shared by the chain plugins: JSON-RPC endpoints that need not be trusted, pools of them that must agree,
//! and the contract over gRPC.
//!
//! It knows no chain. A plugin defines how an endpoint proves its chain, what a query means, and what is read
//! to answer it. It connects only to public addresses by default, limits the size of what it reads, follows
//! no redirect, and accepts no answer to another call.

mod endpoint;
mod pool;
mod query;
mod resolve;
mod rpc;
mod service;
mod settings;

pub use endpoint::{Endpoint, Shows};
pub use pool::{Pool, Unknown};
pub use query::{Judged, Malformed, malformed, printable, undescribed, unread};
pub use rpc::{RpcError, check_time};
pub use service::{AskedChain, Chains, Id, invalid, server};
pub use settings::Limits;
