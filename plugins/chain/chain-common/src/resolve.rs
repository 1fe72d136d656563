//! The addresses of an endpoint's name. They are checked for each connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use streamgate_plugin_api::address::not_public;
use tower::Service;

/// Resolves names to the allowed addresses.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    /// Whether private, link-local and loopback addresses are allowed.
    pub(crate) allow_private: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> =
                found.filter(|found| allow_private || not_public(found.ip()).is_none()).collect();
            if allowed.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "its name resolves to no public address; `allow_private = true` allows others",
                ));
            }
            Ok(allowed.into_iter())
        })
    }
}
