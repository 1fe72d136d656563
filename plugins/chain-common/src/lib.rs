//! What the chain plugins share: JSON-RPC endpoints that nobody has to trust, and pools of them
//! that must agree.
//!
//! It knows no chain. A plugin says how an endpoint shows which chain it serves, and what is asked.
//! It connects to public addresses only unless told otherwise, reads no more than it was told to,
//! follows no redirect, and takes no answer for one that it is not.

mod endpoint;
mod pool;
mod resolve;
mod rpc;
mod settings;

pub use endpoint::{Endpoint, Shows};
pub use pool::{Pool, Unknown};
pub use rpc::RpcError;
pub use settings::{Limits, outside};
