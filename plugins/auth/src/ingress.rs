//! Where the ingress listens, which is this server's address while the settings name none, and the
//! one-time address of the console, which is shown once people can open it. It changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, StatusCode};
use serde::Deserialize;
use streamgate_plugin_api::{Body, Client, Host};
use tokio::time::{MissedTickBehavior, interval};

use crate::auth::Auth;
use crate::bootstrap::Bootstrap;

/// How often it is looked whether all have started, and whether the ingress listens elsewhere.
const LOOK: Duration = Duration::from_millis(500);
const MAX_ANSWER: usize = 64 << 10;

/// One of its sockets.
#[derive(Deserialize)]
struct Listener {
    address: SocketAddr,
}

/// Follows the ingress. The ingress starts after this plugin, and may be swapped at any time.
pub(crate) async fn follow(host: Host, auth: Auth, first: Bootstrap) {
    let ingress = host.service("ingress");
    let (mut known, mut path, mut was_running) = (Vec::new(), first.console_path, false);
    let mut rounds = interval(LOOK);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let Some(addresses) = listeners(&ingress).await else { continue };
        // Two rounds, so that whatever the start says of itself is said.
        let running = host.report()["kernel"]["phase"] == "running";
        let settled = std::mem::replace(&mut was_running, running) && running;
        if addresses == known && (path.is_none() || !settled) {
            continue;
        }
        let changed = addresses != known;
        known = addresses;
        let site = match auth.listens_at(&known) {
            Ok(Some((site, misses))) => {
                if misses && changed {
                    tracing::warn!(
                        public_url = site,
                        listening = ?known,
                        "`public_url` leads to a port that this server does not listen on: unless \
                         something forwards it, nobody can sign in; leave it out, or correct the port"
                    );
                }
                site
            }
            Ok(None) => {
                if changed {
                    tracing::warn!(
                        listening = ?known,
                        "nobody can sign in with a browser: `public_url` is not set, and the server \
                         does not listen on this machine's own addresses; set it to what people open"
                    );
                }
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "the address of this server is not known");
                continue;
            }
        };
        if settled && let Some(path) = path.take() {
            tracing::warn!(
                url = format!("{site}{path}"),
                token_file = %first.token_file.display(),
                "nobody has set up this server yet; this address makes its first visitor an admin, once"
            );
        }
    }
}

/// None while it does not answer.
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
