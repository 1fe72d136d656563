//! The address where the ingress listens, which is this server's address if the settings name none, and the
//! one-time address of the console, which is printed once it can be opened. It changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, StatusCode};
use serde::Deserialize;
use streamgate_plugin_api::{Body, Client, Host};

use crate::auth::Auth;
use crate::people::bootstrap::Bootstrap;

/// How often it is checked whether all plugins have started.
const START: Duration = Duration::from_millis(500);
/// How often it is checked whether the ingress has moved, after that.
const LOOK: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 << 10;

/// One of its sockets.
#[derive(Deserialize)]
struct Listener {
    address: SocketAddr,
}

/// Follows the ingress. The ingress starts after this plugin, and may be swapped at any time.
pub(crate) async fn follow(host: Host, auth: Auth, first: Bootstrap) {
    let ingress = host.service("ingress");
    let mut path = first.console_path.clone();
    let (mut known, mut site, mut was_running) = (None, None, false);
    loop {
        tokio::time::sleep(if path.is_some() { START } else { LOOK }).await;
        // Without it nothing can be opened: its port may be in use.
        let Some(addresses) = listeners(&ingress).await else { continue };
        if known.as_ref() != Some(&addresses) {
            site = moved(&auth, &addresses);
            known = Some(addresses);
        }
        // Two rounds, so that all messages of the start come before.
        let running = path.is_some() && host.report()["kernel"]["phase"] == "running";
        let settled = std::mem::replace(&mut was_running, running) && running;
        if settled
            && let Some(site) = &site
            && let Some(path) = path.take()
        {
            announce(site, &path, &first);
        }
    }
}

/// The line that an operator looks for, with nothing after it.
fn announce(site: &str, path: &str, first: &Bootstrap) {
    let file = first.token_file.display();
    tracing::warn!(
        token_file = %file,
        "this server is not set up yet: open {site}{path} to become its admin (it works once)"
    );
}

/// Tells the sign-in where the ingress listens. Returns the public address, if there is one.
fn moved(auth: &Auth, addresses: &[SocketAddr]) -> Option<String> {
    match auth.listens_at(addresses) {
        Ok(Some(site)) => Some(site),
        Ok(None) => {
            tracing::warn!(
                listening = ?addresses,
                "signing in with a browser is not possible: set `plugins.auth.public_url` to the address that \
                 people open; for plain http to another machine than this one also `plain_http = true`"
            );
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the address of this server is unknown");
            None
        }
    }
}

/// `None` while it does not answer.
async fn listeners(ingress: &Client) -> Option<Vec<SocketAddr>> {
    let request = Request::get("/listeners").body(Body::empty()).ok()?;
    let response = ingress.send(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    let body = response.into_body().collect_bytes(MAX_ANSWER).await.ok()?;
    let listeners: Vec<Listener> = serde_json::from_slice(&body).ok()?;
    Some(listeners.into_iter().map(|listener| listener.address).collect())
}
