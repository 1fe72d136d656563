//! Connections to endpoints. Every one is made here, to an address that was checked first, so that a name
//! which resolves to another address a moment later does not bypass the check.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use streamgate_plugin_api::address::not_public;
use tokio::net::{TcpStream, lookup_host};
use tower_service::Service;

/// The number of addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

const POOL_IDLE: Duration = Duration::from_secs(60);
const MAX_HEAD: usize = 32 * 1024;

/// The HTTP client. It follows no redirect, uses no proxy and keeps no cookies.
pub(crate) type HttpClient = legacy::Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the address has no host")]
    NoHost,
    #[error("the name `{0}` was not resolved: {1}")]
    Unresolved(String, io::Error),
    #[error("the name `{0}` has no address")]
    NoAddress(String),
    #[error(
        "`{host}` is at {address}, {what}; deliveries go there with `allow_private_networks = true` only"
    )]
    NotPublic { host: String, address: SocketAddr, what: &'static str },
    #[error("no connection to {0}: {1}")]
    Refused(SocketAddr, io::Error),
    #[error("no connection to {0} within {1:?}")]
    TimedOut(String, Duration),
}

/// Resolves, checks and connects.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) allow_private: bool,
    pub(crate) timeout: Duration,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::NoHost)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        match tokio::time::timeout(self.timeout, self.reach(&host, port)).await {
            Ok(connected) => connected.map(TokioIo::new),
            Err(_) => Err(ConnectError::TimedOut(host, self.timeout)),
        }
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| ConnectError::Unresolved(host.to_owned(), error))?;
        let mut failed = ConnectError::NoAddress(host.to_owned());
        let share = self.timeout / MAX_ADDRESSES as u32;
        let mut left = MAX_ADDRESSES;
        for address in found {
            if let Some(what) = not_public(address.ip()).filter(|_| !self.allow_private) {
                failed = ConnectError::NotPublic { host: host.to_owned(), address, what };
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A request is written in one piece, so there is no reason to wait.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = ConnectError::Refused(address, error),
                Err(_) => failed = ConnectError::TimedOut(address.to_string(), share),
            }
        }
        Err(failed)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A client of this connector that keeps up to `keep` idle connections to each host.
///
/// # Errors
/// When TLS is not available on this machine.
pub(crate) fn client(
    connector: Connector,
    roots: RootCertStore,
    keep: usize,
) -> Result<HttpClient, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls.with_root_certificates(roots).with_no_client_auth())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(keep)
        .http1_max_buf_size(MAX_HEAD)
        .http2_max_header_list_size(MAX_HEAD as u32)
        .build(https))
}

/// The certificates that the system trusts, or Mozilla's where it has none (a bare container). It reads
/// files.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn connector(allow_private: bool) -> Connector {
        Connector { allow_private, timeout: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn a_name_and_a_literal_of_this_machine_are_refused_before_anything_is_sent() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"] {
            let uri: Uri = format!("http://{host}:{port}/").parse().unwrap();
            let error = connector(false).connect(uri).await.unwrap_err();
            assert!(matches!(error, ConnectError::NotPublic { .. }), "{host}: {error}");
            assert!(error.to_string().contains("a loopback address"), "{error}");
        }
        // The allowed one is the first to arrive.
        let uri: Uri = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let mut allowed = connector(true).connect(uri).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(allowed.inner_mut().local_addr().unwrap(), peer);
    }

    #[tokio::test]
    async fn a_closed_port_is_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let uri: Uri = format!("http://{address}/").parse().unwrap();
        let error = connector(true).connect(uri).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    /// A TLS server that answers every connection with 204; its certificate is its own issuer.
    async fn tls_server() -> (u16, RootCertStore) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust it ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut start = [0; 4];
                stream.read_exact(&mut start).await.unwrap();
                assert_eq!(&start, b"POST");
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (port, roots)
    }

    async fn post(roots: RootCertStore, port: u16) -> Result<http::StatusCode, legacy::Error> {
        let client = client(connector(true), roots, 1).unwrap();
        let request = http::Request::post(format!("https://localhost:{port}/"));
        let answer = client.request(request.body(Full::new(Bytes::from_static(b"x"))).unwrap()).await?;
        Ok(answer.status())
    }

    #[tokio::test]
    async fn a_server_is_trusted_for_its_certificate_and_for_nothing_else() {
        let (port, roots) = tls_server().await;
        assert_eq!(post(roots, port).await.unwrap(), 204);
        let mut other = RootCertStore::empty();
        other.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let error = crate::deliver::describe(&post(other, port).await.unwrap_err());
        assert!(error.contains("certificate"), "{error}");
    }
}
