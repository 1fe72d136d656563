//! The host as seen by the plugin in the child: each call of the boundary as a request to the parent.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_ffi::FutureExt;
use bytes::Bytes;
use http::HeaderValue;
use http::uri::Authority;
use http_body::Body as _;
use hyper::body::Incoming;
use parking_lot::RwLock;
use streamgate_plugin_api::abi::{
    Event, EventSource, Extra, FfiFuture, HealthState, HostApi, LogRecord, Mount, Mounts, RResult, RString,
    Service, SubscribeOptions, Subscription,
};
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing_subscriber::filter::Targets;

use crate::body::Outgoing;
use crate::outbox::Outbox;
use crate::peer::{Peer, capability};
use crate::wire::{HOST, MOUNT, Message, Messages, MountNames, PUBLIC, event, event_message};

/// Maximum time of a call that has to be answered at once.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The plugin's services, by authority.
pub(crate) type Table = Arc<RwLock<HashMap<Authority, Service>>>;

pub(crate) struct RemoteHost {
    pub(crate) peer: Arc<Peer>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) table: Table,
    pub(crate) filter: Targets,
    /// It drives the connections, so the calling thread may wait for it.
    pub(crate) runtime: Handle,
}

impl RemoteHost {
    /// Calls and waits, for calls without a future. They are rare: what a plugin does when it starts.
    fn at_once<T, F>(&self, question: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, String>> + Send + 'static,
    {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            let _ = answer.send(question.await);
        });
        let wait = move || {
            answered.recv_timeout(AT_ONCE).unwrap_or_else(|_| Err("the host does not answer".to_owned()))
        };
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            // The connection may be polled next on this very thread.
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }

    fn ask_at_once(&self, path: &'static str, message: Message) -> Result<Bytes, String> {
        let peer = self.peer.clone();
        self.at_once(async move { peer.ask(HOST, path, Outgoing::full(message.finish())).await })
    }
}

impl HostApi for RemoteHost {
    fn log_enabled(&self, level: u8, target: &str) -> bool {
        let level = match level {
            1 => tracing_subscriber::filter::LevelFilter::ERROR,
            2 => tracing_subscriber::filter::LevelFilter::WARN,
            3 => tracing_subscriber::filter::LevelFilter::INFO,
            4 => tracing_subscriber::filter::LevelFilter::DEBUG,
            _ => tracing_subscriber::filter::LevelFilter::TRACE,
        };
        level.into_level().is_some_and(|level| self.filter.would_enable(target, &level))
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.outbox.log(record);
    }

    fn serve(&self, service: Service) {
        self.table.write().insert(Authority::from_static(PUBLIC), service);
        if let Err(reason) = self.ask_at_once("/serve", Message::new()) {
            let message = Message::new().text("public routes").text(&reason);
            self.outbox.notice("/panicked", None, message);
        }
    }

    fn provide(&self, name: &str, service: Service) -> Result<(), String> {
        let authority = capability(name)?;
        let before = self.table.write().insert(authority.clone(), service);
        self.ask_at_once("/provide", Message::new().text(name)).map(drop).inspect_err(|_| {
            let mut table = self.table.write();
            match before {
                Some(before) => table.insert(authority, before),
                None => table.remove(&authority),
            };
        })
    }

    fn service(&self, name: &str) -> Service {
        // No plugin provides one with an invalid name; the host answers so.
        let to = capability(name).unwrap_or(Authority::from_static("unknown.capability"));
        self.peer.service(to, None)
    }

    fn next_mounts(&self, after: u64) -> FfiFuture<Mounts> {
        let peer = self.peer.clone();
        async move {
            let message = Message::new().bytes(&after.to_be_bytes()).finish();
            let answer = peer.ask(HOST, "/mounts", Outgoing::full(message)).await;
            let names = answer.ok().and_then(|answer| serde_json::from_slice::<MountNames>(&answer).ok());
            let Some(names) = names else {
                // The host is gone, and this process with it.
                return std::future::pending().await;
            };
            let mount = |name: crate::wire::MountName| {
                let field = HeaderValue::try_from(name.key()).ok()?;
                let service = peer.service(Authority::from_static(MOUNT), Some(field));
                Some(Mount {
                    plugin: name.plugin.into(),
                    prefix: name.prefix.into(),
                    service,
                    extra: Extra::from_bytes(name.extra.into()),
                })
            };
            let mounts = names.mounts.into_iter().filter_map(mount).collect();
            Mounts { generation: names.generation, mounts, extra: Extra::from_bytes(names.extra.into()) }
        }
        .into_ffi()
    }

    fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>> {
        let peer = self.peer.clone();
        async move {
            let published = peer.ask(HOST, "/publish", Outgoing::full(event_message(&event))).await;
            published.map(drop).map_err(RString::from).into()
        }
        .into_ffi()
    }

    fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String> {
        let capacity = u32::try_from(options.capacity).unwrap_or(u32::MAX);
        let message = Message::new().text(&options.subject).text(&options.queue).number(capacity);
        let message = message.bytes(options.extra.as_bytes()).finish();
        let peer = self.peer.clone();
        let response =
            self.at_once(async move { peer.open(HOST, "/subscribe", Outgoing::full(message)).await })?;
        Ok(Subscription::new(Events { body: response.into_body(), messages: Messages::default() }))
    }

    fn set_health(&self, component: &str, state: HealthState, reason: &str) {
        let message = Message::new().number(u32::from(state as u8)).text(component).text(reason);
        self.outbox.notice("/health", Some(component.to_owned()), message);
    }

    fn report(&self) -> String {
        let report = self.ask_at_once("/report", Message::new()).unwrap_or_default();
        String::from_utf8_lossy(&report).into_owned()
    }

    fn panicked(&self, message: &str, location: &str) {
        self.outbox.notice("/panicked", None, Message::new().text(message).text(location));
    }

    fn panicked_in_request(&self, message: &str, location: &str) {
        self.outbox.notice("/panicked-in-request", None, Message::new().text(message).text(location));
    }
}

/// Events from a body. Unread events stay with the host, whose publishers wait.
struct Events {
    body: Incoming,
    messages: Messages,
}

impl EventSource for Events {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match self.messages.next() {
                Ok(Some(fields)) => return Poll::Ready(Some(event(fields))),
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            match std::task::ready!(std::pin::Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.messages.push(data);
                    }
                }
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}
