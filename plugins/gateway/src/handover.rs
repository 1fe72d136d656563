//! Hands the listening sockets to the gateway that takes over from this one, so that no connection is
//! refused in between: both accept from the same queue until the old one leaves.
//!
//! The numbers of the descriptors go through the capability `ingress`; the system makes the copies.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use axum::routing::get;
use axum::{Json, Router};
use http::{Request, StatusCode};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::{Body, Host};

use crate::server::Listener;

const MAX_ANSWER: usize = 64 << 10;

/// One socket, as the process that has it knows it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Offer {
    address: SocketAddr,
    process: i32,
    descriptor: i32,
}

/// Copies of the sockets of a running gateway, for its successor.
#[derive(Debug, Clone)]
pub struct Handover(Arc<Mutex<Vec<Listener>>>);

impl Handover {
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        Self(Arc::new(Mutex::new(listeners)))
    }

    /// Answers what there is to be taken over.
    pub fn router(&self) -> Router {
        let this = self.clone();
        Router::new().route("/listeners", get(move || async move { Json(this.offers()) }))
    }

    /// Lets go of the sockets: with the last copy of one, connections to it are refused.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn offers(&self) -> Vec<Offer> {
        let process = getpid().as_raw_nonzero().get();
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offer = |(address, listener): &Listener| Offer {
            address: *address,
            process,
            descriptor: listener.as_raw_fd(),
        };
        listeners.iter().map(offer).collect()
    }
}

/// The sockets of the gateway that runs, if one does.
pub(crate) async fn take(host: &Host) -> Vec<Listener> {
    let Ok(request) = Request::get("/listeners").body(Body::empty()) else { return Vec::new() };
    let Ok(response) = host.service("ingress").send(request).await else { return Vec::new() };
    if response.status() != StatusCode::OK {
        return Vec::new();
    }
    let body = response.into_body().collect_bytes(MAX_ANSWER).await.unwrap_or_default();
    let offers: Vec<Offer> = serde_json::from_slice(&body).unwrap_or_default();
    let taken = offers.into_iter().map(|offer| match copy(offer) {
        Ok(listener) => Some((offer.address, listener)),
        Err(error) => {
            // Then it listens itself, and says why if it cannot.
            tracing::warn!(address = %offer.address, %error, "a listening socket cannot be taken over");
            None
        }
    });
    taken.flatten().collect()
}

fn copy(offer: Offer) -> std::io::Result<std::net::TcpListener> {
    let process = Pid::from_raw(offer.process).ok_or(std::io::ErrorKind::InvalidData)?;
    let process = pidfd_open(process, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, offer.descriptor, PidfdGetfdFlags::empty())?.into())
}
