//! The request: an event as CloudEvents 1.0 over HTTP, in binary or structured mode.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;
use streamgate_plugin_api::Event;

/// Characters that header values must escape (HTTP protocol binding 1.0.2 §3.1.3.2).
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

const SPEC_VERSION: &str = "1.0";

/// Headers and body of a request.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The event's data as the body, everything else as headers.
pub(crate) fn binary(event: &Event) -> Message {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        let encoded = utf8_percent_encode(value, ENCODED).to_string();
        let value = HeaderValue::from_str(&encoded).expect("what is left are visible ASCII characters");
        headers.insert(HeaderName::from_static(name), value);
    };
    set("ce-specversion", SPEC_VERSION);
    set("ce-id", &event.id);
    set("ce-source", &event.source);
    set("ce-type", &event.r#type);
    set("ce-subject", &event.subject);
    set("ce-time", &event.time);
    if let Some(traceparent) = &event.traceparent {
        set("ce-traceparent", traceparent);
    }
    if let Ok(kind) = HeaderValue::from_str(&event.datacontenttype)
        && !kind.is_empty()
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    Message { headers, body: event.data.clone() }
}

/// The whole event as one document (JSON event format 1.0.2).
pub(crate) fn structured(event: &Event) -> Message {
    let text = std::str::from_utf8(&event.data).ok();
    let json =
        text.filter(|_| is_json(&event.datacontenttype)).and_then(|text| serde_json::from_str(text).ok());
    let plain = text.filter(|_| event.datacontenttype.starts_with("text/")).map(Data::Text);
    let data = json.map(Data::Json).or(plain);
    let given = |text: &'_ str| !text.is_empty();
    let document = Document {
        specversion: SPEC_VERSION,
        id: &event.id,
        source: &event.source,
        r#type: &event.r#type,
        subject: Some(event.subject.as_str()).filter(|text| given(text)),
        time: Some(event.time.as_str()).filter(|text| given(text)),
        datacontenttype: Some(event.datacontenttype.as_str()).filter(|text| given(text)),
        traceparent: event.traceparent.as_deref(),
        data_base64: (data.is_none() && !event.data.is_empty()).then(|| STANDARD.encode(&event.data)),
        data,
    };
    let body = serde_json::to_vec(&document).expect("texts, and JSON that was read, can be written");
    let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
    Message { headers: HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]), body: body.into() }
}

#[derive(Serialize)]
struct Document<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// `…/json` or `…+json`, with any parameters.
pub(crate) fn is_json(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn event(datacontenttype: &str, data: &[u8]) -> Event {
        Event {
            id: "1".into(),
            source: "streamgate/metadata".into(),
            r#type: "streamgate.content.changed.v1".into(),
            subject: "content.42.changed".into(),
            time: "2026-01-02T03:04:05.000006Z".into(),
            datacontenttype: datacontenttype.into(),
            data: Bytes::copy_from_slice(data),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        }
    }

    #[test]
    fn in_binary_mode_the_body_is_the_data_and_the_rest_are_headers() {
        let message = binary(&event("application/json", br#"{"id":"42"}"#));
        assert_eq!(message.body, &br#"{"id":"42"}"#[..]);
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "streamgate/metadata"),
            ("ce-type", "streamgate.content.changed.v1"),
            ("ce-subject", "content.42.changed"),
            ("ce-time", "2026-01-02T03:04:05.000006Z"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(message.headers[name], value, "{name}");
        }
    }

    /// The example of the HTTP protocol binding, section 3.1.3.2.
    #[test]
    fn header_values_are_encoded_as_the_binding_says() {
        let message = binary(&Event { subject: "Euro € 😀".into(), ..event("", b"") });
        assert_eq!(message.headers["ce-subject"], "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert!(!message.headers.contains_key("content-type"));
    }

    #[test]
    fn in_structured_mode_data_is_json_text_or_base64() {
        for (kind, data, member, expected) in [
            ("application/json", &br#"{"a": 1}"#[..], "data", json!({ "a": 1 })),
            ("application/vnd.x+json; v=1", b"[1]", "data", json!([1])),
            ("application/json", b"{broken", "data_base64", json!("e2Jyb2tlbg==")),
            ("text/plain", b"hello", "data", json!("hello")),
            ("image/png", &[0, 255], "data_base64", json!("AP8=")),
        ] {
            let message = structured(&event(kind, data));
            let document: Value = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(document[member], expected, "{kind}");
            assert_eq!(document["datacontenttype"], kind);
            assert_eq!(document["specversion"], "1.0");
            assert_eq!(message.headers["content-type"], "application/cloudevents+json; charset=utf-8");
        }
    }

    proptest! {
        #[test]
        fn any_event_can_be_posted(id in ".*", kind in ".*", datacontenttype in ".*", data: Vec<u8>) {
            let event = Event { id, r#type: kind, ..event(&datacontenttype, &data) };
            let message = binary(&event);
            let decoded = percent_encoding::percent_decode(message.headers["ce-id"].as_bytes());
            prop_assert_eq!(decoded.decode_utf8().unwrap(), event.id.clone());
            let document: Value = serde_json::from_slice(&structured(&event).body).unwrap();
            prop_assert_eq!(document["id"].as_str(), Some(event.id.as_str()));
        }
    }
}
