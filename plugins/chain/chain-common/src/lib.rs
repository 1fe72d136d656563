//! What the chain plugins share: JSON-RPC endpoints that nobody has to trust, pools of them that
//! must agree, and the contract over gRPC.
//!
//! It knows no chain. A plugin says how an endpoint shows which chain it serves, what a question
//! means, and what is read to answer it.
//! It connects to public addresses only unless told otherwise, reads no more than it was told to,
//! follows no redirect, and takes no answer for one that it is not.

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
