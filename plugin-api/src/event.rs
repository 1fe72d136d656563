//! Events and subscriptions on this side of the boundary.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{abi, trace};

/// A CloudEvent (version 1.0) on a subject in NATS syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique within its source.
    pub id: String,
    /// The publisher: the plugin's name; the SDK fills it in when it is empty.
    pub source: String,
    /// The type of the event, such as `streamgate.content.uploaded`.
    pub r#type: String,
    /// Where it is published: dot-separated tokens, such as `content.42.uploaded`.
    pub subject: String,
    /// RFC 3339.
    pub time: String,
    /// The media type of `data`.
    pub datacontenttype: String,
    /// The payload.
    pub data: Bytes,
    /// The request that caused it.
    pub traceparent: Option<String>,
}

/// An event was not published, or a subscription failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus refused; the text says why.
    #[error("{0}")]
    Refused(String),
    /// The payload cannot be serialized as JSON.
    #[error("the event's data is not JSON: {0}")]
    Data(String),
}

impl Event {
    /// An event of now, with `data` as JSON.
    ///
    /// # Errors
    /// If `data` cannot be serialized as JSON.
    pub fn json<T: Serialize>(
        subject: impl Into<String>,
        r#type: impl Into<String>,
        data: &T,
    ) -> Result<Self, BusError> {
        let data = serde_json::to_vec(data).map_err(|error| BusError::Data(error.to_string()))?;
        Ok(Self::new(subject, r#type, "application/json", data))
    }

    /// An event of now with data of any media type.
    pub fn new(
        subject: impl Into<String>,
        r#type: impl Into<String>,
        datacontenttype: impl Into<String>,
        data: impl Into<Bytes>,
    ) -> Self {
        let now = SystemTime::now();
        Self {
            id: new_id(now),
            source: String::new(),
            r#type: r#type.into(),
            subject: subject.into(),
            time: humantime::format_rfc3339_micros(now).to_string(),
            datacontenttype: datacontenttype.into(),
            data: data.into(),
            traceparent: trace::current().map(|context| context.to_string()),
        }
    }

    /// The data, parsed as JSON.
    ///
    /// # Errors
    /// If it is not JSON of this type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }
}

/// A UUID of version 7 (RFC 9562 section 5.7). The system's randomness is not read each time.
fn new_id(now: SystemTime) -> String {
    let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&trace::random().to_be_bytes());
    random[8..].copy_from_slice(&trace::random().to_be_bytes()[..2]);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}

impl From<Event> for abi::Event {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.into(),
            source: event.source.into(),
            kind: event.r#type.into(),
            subject: event.subject.into(),
            time: event.time.into(),
            datacontenttype: event.datacontenttype.into(),
            traceparent: event.traceparent.unwrap_or_default().into(),
            data: event.data.into(),
            extra: abi::Extra::default(),
        }
    }
}

impl From<abi::Event> for Event {
    fn from(event: abi::Event) -> Self {
        Self {
            id: event.id.into(),
            source: event.source.into(),
            r#type: event.kind.into(),
            subject: event.subject.into(),
            time: event.time.into(),
            datacontenttype: event.datacontenttype.into(),
            traceparent: Some(String::from(event.traceparent)).filter(|text| !text.is_empty()),
            data: event.data.into(),
        }
    }
}

/// The parameters of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// A subject; `*` stands for one token, `>` at the end for one or more.
    pub subject: String,
    /// Each event goes to one member of the group.
    pub queue: Option<String>,
    /// How many events wait here before a publisher does. Up to an eighth more may have been taken for the
    /// reader.
    pub capacity: usize,
}

impl SubscribeOptions {
    /// All events of a subject, up to 256 of them waiting.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), queue: None, capacity: 256 }
    }
}

/// Incoming events. Read it promptly: while it is full, publishers to it wait.
pub struct Subscription(pub(crate) abi::Subscription);

impl Subscription {
    /// The next event; `None` when the bus has closed.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.0.poll_next(cx)).await.map(Event::from)
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx).map(|event| event.map(Event::from))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_and_of_now_and_no_two_are_alike() {
        let ids: std::collections::BTreeSet<_> =
            (0..1_000).map(|_| Event::new("a", "t", "", "").id).collect();
        assert_eq!(ids.len(), 1_000);
        let id: uuid::Uuid = ids.first().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        let (made, _) = id.get_timestamp().unwrap().to_unix();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(made) < 60);
    }
}
