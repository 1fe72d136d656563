//! `tracing` of this library into the host's one stream.

use std::fmt::{self, Write as _};
use std::sync::{PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::abi::{Extra, HostHandle, LogField, LogRecord};
use crate::trace;

static HOST: RwLock<Option<HostHandle>> = RwLock::new(None);

/// Sends this library's records to `host` from now on, or nowhere. Returns the previous destination.
pub(crate) fn send_to(host: Option<HostHandle>) -> Option<HostHandle> {
    let before = std::mem::replace(&mut *HOST.write().unwrap_or_else(PoisonError::into_inner), host);
    // The first start of this library sets the subscriber; later ones only replace the host.
    if tracing::subscriber::set_global_default(tracing_subscriber::registry().with(ToHost)).is_err() {
        tracing::callsite::rebuild_interest_cache();
    }
    before
}

/// Runs `work` with the host, if the plugin has been started.
pub(crate) fn with_host<T>(work: impl FnOnce(&HostHandle) -> T) -> Option<T> {
    HOST.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(work)
}

fn level(metadata: &Metadata<'_>) -> u8 {
    match *metadata.level() {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

fn enabled(metadata: &Metadata<'_>) -> bool {
    with_host(|host| host.log_enabled(level(metadata), metadata.target())).unwrap_or(false)
}

struct ToHost;

/// The fields of a span, kept for the records inside it.
struct SpanFields(Fields);

impl<S> Layer<S> for ToHost
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Checked once per call site: a disabled line costs one load afterwards.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut outer = Vec::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<SpanFields>() {
                outer.extend(fields.0.pairs.iter().cloned());
            }
        }
        let trace = trace::current();
        let trace_id = trace.map(|trace| trace.trace_id()).unwrap_or_default();
        let span_id = trace.map(|trace| trace.span_id()).unwrap_or_default();
        let record = LogRecord {
            level: level(event.metadata()),
            target: event.metadata().target().into(),
            message: own.message.as_str().into(),
            fields: outer
                .iter()
                .chain(&own.pairs)
                .map(|(name, value)| LogField { name: (*name).into(), value: value.as_str().into() })
                .collect(),
            trace_id: trace_id.as_str().into(),
            span_id: span_id.as_str().into(),
            extra: Extra::default(),
        };
        with_host(|host| host.log(&record));
    }
}

/// Fields as names and JSON texts, with the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, json: String) {
        self.pairs.push((field.name(), json));
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
        } else {
            self.put(field, serde_json::Value::from(text).to_string());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String fails only if the value's own formatting does.
        let _ = write!(text, "{value:?}");
        self.put_text(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, serde_json::Value::from(value).to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.to_string());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put_text(field, &text);
    }
}
