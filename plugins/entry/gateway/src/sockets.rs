//! All open WebSockets: how many there may be, which callers share fairly, and which of them end early. One lives no
//! longer than the credential that it was opened with: its end is an event, and the filters judge it again now and then.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use streamgate_plugin_api::fair::{Full, Holder, Place, Places};
use streamgate_plugin_api::{Problem, problems};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::settings::Settings;
use crate::tunnel::Pace;

/// Credentials that end at once. Who misses one of them ends in doubt.
const ENDINGS: usize = 1024;

/// Tells open WebSockets that a credential has ended.
#[derive(Debug, Clone)]
pub struct Endings(broadcast::Sender<Arc<str>>);

impl Endings {
    /// Ends what was opened with this credential, such as `session:0190…`.
    pub fn end(&self, credential: &str) {
        // An error only means that there is none.
        let _ = self.0.send(credential.into());
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Sockets {
    places: Places,
    endings: Endings,
    pub(crate) pace: Pace,
    pub(crate) recheck: Duration,
}

impl Sockets {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            places: Places::new(settings.max_sockets, settings.sockets_per_client),
            endings: Endings(broadcast::Sender::new(ENDINGS)),
            pace: Pace { ping: settings.socket_ping.get(), write: settings.write_timeout.get() },
            recheck: settings.socket_recheck.get(),
        }
    }

    pub(crate) fn endings(&self) -> &Endings {
        &self.endings
    }

    /// A place for the sender of a request that was judged.
    pub(crate) fn take(&self, headers: &HeaderMap) -> Result<Place, Box<Problem>> {
        self.places.take(Holder::of(headers)).map_err(|full| {
            let (status, setting, limit) = match full {
                Full::Share(most) => (StatusCode::TOO_MANY_REQUESTS, "sockets_per_client", most),
                Full::All(most) => (StatusCode::SERVICE_UNAVAILABLE, "max_sockets", most),
            };
            let problem = Problem::of(problems::TOO_MANY_SOCKETS.with_status(status))
                .detail(format!("Of the WebSockets {full}. Close one, or try again in a while."))
                .with("setting", setting)
                .with("limit", limit);
            Box::new(problem.header(RETRY_AFTER, "10"))
        })
    }

    /// Listens for the end of a credential; listen before it is judged.
    pub(crate) fn listen(&self) -> Listening {
        Listening(self.endings.0.subscribe())
    }
}

/// Hears which credentials end.
pub(crate) struct Listening(broadcast::Receiver<Arc<str>>);

impl Listening {
    /// Comes when this one has ended, or may have.
    pub(crate) async fn end_of(mut self, credential: &str) {
        loop {
            match self.0.recv().await {
                Ok(ended) if credential.is_empty() || *ended != *credential => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
