//! The parent's side of the plugin's host calls: each request of the child, passed to the kernel as the
//! plugin's own call.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::uri::Authority;
use http::{Response, StatusCode, request};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use streamgate_plugin_api::abi::{
    Extra, HealthState, HostHandle, LogField, LogRecord, RVec, Service, SubscribeOptions, Subscription,
};

use crate::body::{Gone, Outgoing};
use crate::peer::{Peer, answer, capability, collect, refused, reply};
use crate::wire::{
    CAPABILITY, Fields, HOST, MOUNT, MOUNT_FIELD, Messages, MountName, MountNames, PUBLIC, event,
    event_message,
};

/// Maximum capabilities that a plugin may call.
const CAPABILITIES: usize = 256;
/// Maximum concurrent subscriptions.
const SUBSCRIPTIONS: usize = 128;
/// How many of the available events go into one frame.
const BATCH: usize = 64 << 10;
const FIELDS: u32 = 1024;

pub(crate) struct HostSide {
    host: HostHandle,
    peer: Arc<Peer>,
    gone: Gone,
    services: Mutex<HashMap<String, Service>>,
    mounts: Mutex<HashMap<String, Service>>,
    subscriptions: Arc<tokio::sync::Semaphore>,
}

impl HostSide {
    pub(crate) fn new(host: HostHandle, peer: Arc<Peer>, gone: Gone) -> Arc<Self> {
        let subscriptions = Arc::new(tokio::sync::Semaphore::new(SUBSCRIPTIONS));
        Arc::new(Self {
            host,
            peer,
            gone,
            services: Mutex::default(),
            mounts: Mutex::default(),
            subscriptions,
        })
    }

    pub(crate) async fn answer(
        self: Arc<Self>,
        to: Authority,
        mut parts: request::Parts,
        body: Incoming,
    ) -> Response<Outgoing> {
        let service = match to.as_str() {
            HOST => return self.host_call(parts.uri.path(), body).await,
            MOUNT => {
                let key = parts.headers.remove(MOUNT_FIELD);
                let mounts = self.mounts.lock();
                key.and_then(|key| mounts.get(key.to_str().ok()?).cloned())
            }
            other => other.strip_suffix(CAPABILITY).and_then(|name| self.service(name)),
        };
        match service {
            Some(service) => answer(service, parts, body, &self.gone).await,
            None => refused(StatusCode::SERVICE_UNAVAILABLE, "there is no such service"),
        }
    }

    fn service(&self, name: &str) -> Option<Service> {
        let mut services = self.services.lock();
        if let Some(service) = services.get(name) {
            return Some(service.clone());
        }
        let service = self.host.service(name);
        if services.len() < CAPABILITIES {
            services.insert(name.to_owned(), service.clone());
        }
        Some(service)
    }

    async fn host_call(&self, path: &str, body: Incoming) -> Response<Outgoing> {
        match path {
            "/log" => return reply(self.log(body).await),
            "/subscribe" => return self.subscribe(body).await,
            _ => {}
        }
        let mut fields = match message(body).await {
            Ok(fields) => fields,
            Err(reason) => return reply(Err(reason)),
        };
        let done = Ok(Bytes::new());
        reply(match path {
            "/publish" => {
                let published = self.host.publish(event(fields)).await;
                published.into_result().map(|()| Bytes::new()).map_err(String::from)
            }
            "/health" => {
                let state = HealthState::from(u8::try_from(fields.number()).unwrap_or(u8::MAX));
                let component = fields.text();
                self.host.set_health(&component, state, &fields.text());
                done
            }
            "/panicked" => {
                let text = fields.text();
                self.host.panicked(&text, &fields.text());
                done
            }
            "/panicked-in-request" => {
                let text = fields.text();
                self.host.panicked_in_request(&text, &fields.text());
                done
            }
            "/serve" => {
                self.host.serve(self.peer.service(Authority::from_static(PUBLIC), None));
                done
            }
            "/provide" => {
                let name = fields.text();
                capability(&name)
                    .and_then(|to| self.host.provide(&name, self.peer.service(to, None)))
                    .map(|()| Bytes::new())
            }
            "/report" => Ok(self.host.report().into()),
            "/mounts" => self.mounts(fields.bytes()).await,
            other => Err(format!("the host has no {other}")),
        })
    }

    async fn mounts(&self, after: Bytes) -> Result<Bytes, String> {
        let after = after.first_chunk::<8>().map_or(0, |after| u64::from_be_bytes(*after));
        let mounts = self.host.next_mounts(after).await;
        let extra = mounts.extra.as_bytes().to_vec();
        let mut names = MountNames { generation: mounts.generation, mounts: Vec::new(), extra };
        let mut services = HashMap::new();
        for mount in mounts.mounts {
            let extra = mount.extra.as_bytes().to_vec();
            let name = MountName { plugin: mount.plugin.into(), prefix: mount.prefix.into(), extra };
            services.insert(name.key(), mount.service);
            names.mounts.push(name);
        }
        *self.mounts.lock() = services;
        serde_json::to_vec(&names).map(Bytes::from).map_err(|error| error.to_string())
    }

    async fn subscribe(&self, body: Incoming) -> Response<Outgoing> {
        let subscribed = async {
            let mut fields = message(body).await?;
            let options = SubscribeOptions {
                subject: fields.text().into(),
                queue: fields.text().into(),
                capacity: fields.number() as usize,
                extra: Extra::from_bytes(fields.bytes()),
            };
            let place = self.subscriptions.clone().try_acquire_owned();
            let place = place.map_err(|_| format!("it has {SUBSCRIPTIONS} subscriptions already"))?;
            let subscription = self.host.subscribe(options)?;
            Ok(Outgoing::messages(Events { subscription: Some(subscription), _place: place }))
        };
        match subscribed.await {
            Ok(events) => Response::new(events),
            Err(reason) => reply(Err(reason)),
        }
    }

    async fn log(&self, mut body: Incoming) -> Result<Bytes, String> {
        let mut messages = Messages::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| error.to_string())?;
            let Ok(data) = frame.into_data() else { continue };
            messages.push(&data);
            while let Some(fields) = messages.next()? {
                write(&self.host, fields);
            }
        }
        Ok(Bytes::new())
    }
}

fn write(host: &HostHandle, mut message: Fields) {
    let level = message.number() as u8;
    let [target, text, trace_id, span_id] = std::array::from_fn(|_| message.text());
    let count = message.number().min(FIELDS);
    let fields: Vec<_> = (0..count).map(|_| (message.text(), message.text())).collect();
    host.log(&LogRecord {
        level,
        target: target.as_str().into(),
        message: text.as_str().into(),
        fields: fields
            .iter()
            .map(|(name, value)| LogField { name: name.as_str().into(), value: value.as_str().into() })
            .collect::<RVec<_>>(),
        trace_id: trace_id.as_str().into(),
        span_id: span_id.as_str().into(),
        extra: Extra::from_bytes(message.bytes()),
    });
}

/// The one message of a request.
async fn message(body: Incoming) -> Result<Fields, String> {
    let mut messages = Messages::default();
    messages.push(&collect(body).await?);
    Ok(messages.next()?.unwrap_or(Fields(Bytes::new())))
}

/// A subscription as a body: a slow reader makes publishers wait.
struct Events {
    subscription: Option<Subscription>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        let Some(subscription) = &mut self.subscription else { return Poll::Ready(None) };
        let mut batch = BytesMut::new();
        let mut single = None;
        while batch.len() < BATCH {
            match subscription.poll_next(cx) {
                Poll::Ready(Some(event)) => {
                    let event = event_message(&event);
                    match single.take() {
                        None if batch.is_empty() => single = Some(event),
                        first => {
                            batch.extend(first);
                            batch.extend_from_slice(&event);
                        }
                    }
                }
                Poll::Ready(None) => {
                    self.subscription = None;
                    break;
                }
                Poll::Pending if single.is_none() && batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        let data = single.unwrap_or_else(|| batch.freeze());
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }
}
