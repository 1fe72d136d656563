//! Passes the listening sockets to the gateway that takes over from this one, so that no connection is
//! refused in between: both accept from the same queue until the old one stops.
//!
//! The successor creates a Unix socket in the plugin's data directory and names it through the capability
//! `ingress`; the running gateway connects to it and passes the descriptors (SCM_RIGHTS, unix(7)). Neither
//! inspects the other's process, which containers forbid. The receiver must be able to write to that
//! directory, which a confined plugin cannot do in another's, and must run as the same user.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_acceptconn, socket_peercred};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::{Body, Host, Problem, problems};

use crate::server::Listener;

const MAX_ANSWER: usize = 64 << 10;
/// How long one side waits for a step of the other. Each step is a few system calls.
const PATIENCE: Duration = Duration::from_secs(5);
/// The prefix of the sockets' names; 32 hexadecimal digits follow.
const PREFIX: &str = "handover-";

/// The socket on which the successor waits.
#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    socket: String,
}

/// One socket. They are passed in the order of the list.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Offer {
    address: SocketAddr,
}

/// Copies of the sockets of a running gateway, for its successor.
#[derive(Debug, Clone)]
pub struct Handover(Arc<Mutex<Vec<Shared>>>);

/// A listening socket, shared with an ongoing transfer.
type Shared = (SocketAddr, Arc<TcpListener>);

impl Handover {
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        let shared = listeners.into_iter().map(|(address, listener)| (address, Arc::new(listener)));
        Self(Arc::new(Mutex::new(shared.collect())))
    }

    /// `GET /listeners`: the addresses it listens on. `POST /listeners` with the name of a socket in
    /// `directory`: the same, once the listening sockets were passed there.
    pub fn router(&self, directory: &Path) -> Router {
        let state = (self.clone(), Arc::from(directory));
        Router::new().route("/listeners", get(list).post(hand_over)).with_state(state)
    }

    /// Drops the sockets: with the last copy of one, connections to it are refused.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn shared(&self) -> Vec<Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Place = (Handover, Arc<Path>);

async fn list(State((handover, _)): State<Place>) -> Json<Vec<Offer>> {
    offers(&handover.shared())
}

async fn hand_over(
    State((handover, directory)): State<Place>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Vec<Offer>>, Problem> {
    let failed = |why: String| {
        tracing::warn!(why, "the listening sockets are not handed over");
        Problem::of(problems::NO_HANDOVER).detail(why)
    };
    let digits = wanted.socket.strip_prefix(PREFIX).unwrap_or_default();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(failed(format!("`{}` is not the name of a hand-over socket.", wanted.socket)));
    }
    let listeners = handover.shared();
    let offers = offers(&listeners);
    let passed = tokio::task::spawn_blocking(move || pass(&directory, &wanted.socket, &listeners)).await;
    match passed {
        Ok(Ok(())) => Ok(offers),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn offers(listeners: &[Shared]) -> Json<Vec<Offer>> {
    Json(listeners.iter().map(|(address, _)| Offer { address: *address }).collect())
}

/// The address of a Unix socket is limited to 107 bytes, whatever the length of the directory: it is
/// addressed through the descriptor of the directory, which must stay open meanwhile.
fn within(directory: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let directory = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    Ok((directory, path.into()))
}

/// Passes the sockets to the listener there, if it runs as the same user.
fn pass(directory: &Path, name: &str, listeners: &[Shared]) -> io::Result<()> {
    let (_directory, path) = within(directory, name)?;
    let stream = UnixStream::connect(path)?;
    of_same_user(&stream)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for (_, listener) in listeners {
        let descriptors = [listener.as_fd()];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        // There is room for one.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // With a byte, since a message without one carries nothing.
        rustix::io::retry_on_intr(|| {
            sendmsg(&stream, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)
        })?;
    }
    Ok(())
}

fn of_same_user(stream: &UnixStream) -> io::Result<()> {
    let (other, own) = (socket_peercred(stream)?.uid, rustix::process::geteuid());
    if other == own {
        return Ok(());
    }
    let (other, own) = (other.as_raw(), own.as_raw());
    Err(io::Error::other(format!("the other side runs as user {other}, this one as user {own}")))
}

/// The sockets of the running gateway, if there is one.
pub(crate) async fn take(host: &Host) -> Vec<Listener> {
    match ask(host, Method::GET, Body::empty()).await {
        Ok(offers) if !offers.is_empty() => {}
        // There is none, or it has dropped them.
        _ => return Vec::new(),
    }
    match take_over(host).await {
        Ok(taken) => taken,
        Err(why) => {
            // Then this one listens itself, and reports why if it cannot.
            tracing::warn!(why, "the listening sockets of the running gateway cannot be taken over");
            Vec::new()
        }
    }
}

async fn take_over(host: &Host) -> Result<Vec<Listener>, String> {
    let directory = host.data_dir().to_owned();
    let inbox = blocking(move || Inbox::open(&directory)).await?;
    let wanted =
        serde_json::to_vec(&Wanted { socket: inbox.name.clone() }).map_err(|error| error.to_string())?;
    let offers = ask(host, Method::POST, Body::from(wanted)).await?;
    blocking(move || inbox.receive(&offers)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}

/// The addresses of the running gateway, or why it does not answer.
async fn ask(host: &Host, method: Method, body: Body) -> Result<Vec<Offer>, String> {
    let request =
        Request::builder().method(method).uri("/listeners").header(CONTENT_TYPE, "application/json");
    let request = request.body(body).map_err(|error| error.to_string())?;
    let response = host.service("ingress").send(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.into_body().collect_bytes(MAX_ANSWER).await.map_err(|error| error.to_string())?;
    if status != StatusCode::OK {
        return Err(format!("it answers {status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// The socket on which the successor waits. Removed on drop.
struct Inbox {
    listener: UnixListener,
    name: String,
    path: PathBuf,
    _directory: File,
}

impl Inbox {
    fn open(directory: &Path) -> io::Result<Self> {
        // Left by killed runs. There is no other waiter: a plugin changes one at a time.
        for entry in std::fs::read_dir(directory)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("{PREFIX}{:032x}", u128::from_ne_bytes(random));
        let (directory, path) = within(directory, &name)?;
        let listener = UnixListener::bind(&path)?;
        set_socket_timeout(&listener, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { listener, name, path, _directory: directory })
    }

    /// The sockets of the list, in transit once it is known.
    fn receive(self, offers: &[Offer]) -> io::Result<Vec<Listener>> {
        let (stream, _) = self.listener.accept()?;
        of_same_user(&stream)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        offers.iter().map(|offer| Ok((offer.address, listening(one(&stream)?)?))).collect()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The next descriptor.
fn one(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    // Not inherited by processes that start later.
    rustix::io::retry_on_intr(|| {
        recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.flatten().next().ok_or_else(|| io::Error::other("fewer sockets came than were announced"))
}

/// A descriptor of a listening socket.
fn listening(descriptor: OwnedFd) -> io::Result<TcpListener> {
    if !socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("the received descriptor is not a listening socket"));
    }
    let listener = TcpListener::from(descriptor);
    // The system knows the address family.
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use streamgate_plugin_api::Client;

    use super::*;

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    async fn post(gateway: &Client, socket: &str) -> (StatusCode, Vec<Offer>) {
        let wanted = serde_json::to_vec(&Wanted { socket: socket.into() }).unwrap();
        let request = Request::post("/listeners").header(CONTENT_TYPE, "application/json");
        let response = gateway.send(request.body(Body::from(wanted)).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect_bytes(MAX_ANSWER).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn sockets_come_in_the_order_of_their_list_and_nothing_is_left_in_the_directory() {
        // Longer than the address of a Unix socket may be.
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("long".repeat(40));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("handover-of-a-run-that-was-killed"), "").unwrap();
        let own: Vec<_> =
            (1..=40).map(|port| (SocketAddr::from(([127, 0, 0, 1], port)), listener())).collect();
        let real: Vec<_> = own.iter().map(|(_, listener)| listener.local_addr().unwrap()).collect();
        let handover = Handover::new(own);
        let gateway = Client::from_service(handover.router(&directory));

        let inbox = Inbox::open(&directory).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        let (status, offers) = post(&gateway, &inbox.name).await;
        assert_eq!(status, StatusCode::OK);
        let taken = inbox.receive(&offers).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        for (port, ((address, listener), real)) in (1..).zip(taken.iter().zip(real)) {
            assert_eq!((address.port(), listener.local_addr().unwrap()), (port, real));
        }

        handover.close();
        let inbox = Inbox::open(&directory).unwrap();
        assert!(post(&gateway, &inbox.name).await.1.is_empty());
    }

    #[tokio::test]
    async fn sockets_go_to_the_plugins_own_directory_alone() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let gateway = Client::from_service(Handover::new(Vec::new()).router(own.path()));
        let elsewhere = Inbox::open(other.path()).unwrap();
        let path = other.path().join(&elsewhere.name);
        std::os::unix::fs::symlink(&path, own.path().join("link")).unwrap();
        let relative =
            format!("../{}/{}", other.path().file_name().unwrap().to_str().unwrap(), elsewhere.name);
        for name in [path.to_str().unwrap(), &relative, "link", &elsewhere.name, PREFIX, ""] {
            assert_eq!(post(&gateway, name).await.0, StatusCode::CONFLICT, "{name}");
        }
    }

    #[test]
    fn whatever_else_comes_is_no_socket_to_listen_at() {
        assert!(listening(UnixDatagram::unbound().unwrap().into()).is_err());
        assert!(listening(File::open("/dev/null").unwrap().into()).is_err());
        assert!(listening(listener().into()).is_ok());
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        assert!(one(&here).is_err(), "fewer than were announced");
        let directory = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(directory.path()).unwrap();
        let unix = UnixListener::bind(directory.path().join("other")).unwrap();
        assert!(listening(unix.into()).is_err(), "of another family");
        drop(inbox);
    }
}
