//! One stream of log records from the kernel and every plugin, on standard error: a line each,
//! for people or as JSON.
//!
//! Writing never waits: lines go through a bounded queue to a thread of their own, and what does
//! not fit is counted and said so. It never logs settings.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use streamgate_config::{LogFormat, LogSettings};

/// How many lines wait for the terminal or the pipe, and the longest field.
const QUEUE: usize = 8_192;
const MAX_FIELD: usize = 16 << 10;

/// A record from either side of the boundary.
pub(crate) struct Record<'a> {
    pub(crate) level: Level,
    /// The plugin that logs; `None` for the kernel.
    pub(crate) plugin: Option<&'a str>,
    pub(crate) target: &'a str,
    pub(crate) message: &'a str,
    /// Names, and values as JSON text.
    pub(crate) fields: &'a [(&'a str, &'a str)],
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
}

enum Line {
    Text(String),
    Flush(SyncSender<()>),
}

/// The stream.
pub(crate) struct Log {
    lines: SyncSender<Line>,
    dropped: AtomicU64,
    json: bool,
    colour: bool,
}

impl Log {
    /// Opens the stream and makes it the kernel's own as well. The level is a valid filter.
    pub(crate) fn start(settings: &LogSettings) -> Arc<Self> {
        let terminal = std::io::stderr().is_terminal();
        let json = settings.format == LogFormat::Json || settings.format == LogFormat::Auto && !terminal;
        let (lines, queue) = sync_channel(QUEUE);
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let log = Arc::new(Self { lines, dropped: AtomicU64::new(0), json, colour });
        let writer = move || write_lines(&queue);
        if let Err(error) = std::thread::Builder::new().name("log".into()).spawn(writer) {
            let _ = writeln!(std::io::stderr(), "no thread for the log: {error}");
        }
        let filter: Targets = settings.level.parse().unwrap_or_default();
        let subscriber = tracing_subscriber::registry().with(Kernel(log.clone()).with_filter(filter));
        let _ = tracing::subscriber::set_global_default(subscriber);
        log
    }

    /// Writes a record whose level is enabled.
    pub(crate) fn write(&self, record: &Record<'_>) {
        let mut line = String::with_capacity(256);
        let now = rfc3339(SystemTime::now());
        let written =
            if self.json { json(&mut line, &now, record) } else { self.pretty(&mut line, &now, record) };
        if written.is_ok() {
            line.push('\n');
            match self.lines.try_send(Line::Text(line)) {
                Err(_) => _ = self.dropped.fetch_add(1, Relaxed),
                Ok(()) if self.dropped.load(Relaxed) == 0 => {}
                Ok(()) => {
                    let count = self.dropped.swap(0, Relaxed);
                    let message = format!("{count} log records were dropped: the log is read too slowly");
                    let (level, target) = (Level::WARN, "log");
                    let (plugin, trace_id, span_id, fields) = (None, "", "", &[][..]);
                    self.write(&Record {
                        level,
                        plugin,
                        target,
                        message: &message,
                        fields,
                        trace_id,
                        span_id,
                    });
                }
            }
        }
    }

    /// Waits until everything so far is written, but not for ever.
    pub(crate) fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(Duration::from_secs(1));
        }
    }

    fn pretty(&self, line: &mut String, now: &str, record: &Record<'_>) -> fmt::Result {
        let (level, colour) = match record.level {
            Level::ERROR => ("ERROR", "31"),
            Level::WARN => (" WARN", "33"),
            Level::INFO => (" INFO", "32"),
            Level::DEBUG => ("DEBUG", "34"),
            Level::TRACE => ("TRACE", "35"),
        };
        let paint = |code: &str, text: &str| match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let who = record.plugin.unwrap_or("kernel");
        write!(line, "{} {} {}: ", paint("2", now), paint(colour, level), paint("1", who))?;
        // What others wrote must not move the cursor of whoever reads the log.
        line.extend(clip(record.message).chars().map(|c| if c.is_control() { ' ' } else { c }));
        for (name, value) in record.fields {
            write!(line, " {}{}", paint("2", &format!("{name}=")), plain(short(value).as_ref()))?;
        }
        if record.level <= Level::WARN || record.level >= Level::DEBUG {
            write!(line, " {}", paint("2", &format!("({})", record.target)))?;
        }
        if !record.trace_id.is_empty() {
            write!(line, " {}", paint("2", &format!("trace={}", record.trace_id)))?;
        }
        Ok(())
    }
}

fn json(line: &mut String, now: &str, record: &Record<'_>) -> fmt::Result {
    let text = |text: &str| Value::from(text).to_string();
    write!(line, r#"{{"timestamp":"{now}","level":"{}""#, record.level)?;
    if let Some(plugin) = record.plugin {
        write!(line, r#","plugin":{}"#, text(plugin))?;
    }
    write!(line, r#","target":{},"message":{}"#, text(record.target), text(clip(record.message)))?;
    if !record.trace_id.is_empty() {
        write!(line, r#","trace_id":{},"span_id":{}"#, text(record.trace_id), text(record.span_id))?;
    }
    if !record.fields.is_empty() {
        line.push_str(r#","fields":{"#);
        for (at, (name, value)) in record.fields.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(line, "{comma}{}:{}", text(name), short(value))?;
        }
        line.push('}');
    }
    line.push('}');
    Ok(())
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_FIELD)]
}

fn short(value: &str) -> std::borrow::Cow<'_, str> {
    match value.len() {
        0..=MAX_FIELD => value.into(),
        len => format!("\"({len} bytes left out)\"").into(),
    }
}

/// A JSON value as people read it: simple strings without quotes.
fn plain(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.filter(|text| !text.is_empty() && !text.contains([' ', '\\', '='])).unwrap_or(value)
}

fn write_lines(queue: &Receiver<Line>) {
    for line in queue {
        // An error has nowhere to go: whoever read the log is gone.
        let _ = match line {
            Line::Text(line) => std::io::stderr().write_all(line.as_bytes()),
            Line::Flush(done) => done.send(()).map_err(std::io::Error::other),
        };
    }
}

/// The kernel's own records.
struct Kernel(Arc<Log>);

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.others.push((name, Value::from(format!("{value:?}")).to_string())),
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.push((field.name(), Value::from(value).to_string()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.to_string()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.to_string()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.to_string()));
    }
}

impl<S: Subscriber> Layer<S> for Kernel {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut found = Fields::default();
        event.record(&mut found);
        let fields: Vec<_> = found.others.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.0.write(&Record {
            level: *event.metadata().level(),
            plugin: None,
            target: event.metadata().target(),
            message: &found.message,
            fields: &fields,
            trace_id: "",
            span_id: "",
        });
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(fields: &'a [(&'a str, &'a str)]) -> Record<'a> {
        Record {
            level: Level::INFO,
            plugin: Some("gate"),
            target: "gate::http",
            message: "it \"works\"\n",
            fields,
            trace_id: "4bf9",
            span_id: "00f0",
        }
    }

    #[test]
    fn a_json_line_is_json_with_plugin_trace_and_fields() {
        let mut line = String::new();
        assert!(json(&mut line, "now", &record(&[("n", "1"), ("s", "\"x\"")])).is_ok());
        let value: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "timestamp": "now", "level": "INFO", "plugin": "gate", "target": "gate::http",
                "message": "it \"works\"\n", "trace_id": "4bf9", "span_id": "00f0",
                "fields": { "n": 1, "s": "x" },
            })
        );
    }

    #[test]
    fn a_pretty_line_is_one_line_without_control_characters() {
        let log = Log { lines: sync_channel(1).0, dropped: AtomicU64::default(), json: false, colour: false };
        let mut line = String::new();
        assert!(log.pretty(&mut line, "now", &record(&[("s", "\"x\""), ("t", "\"a b\"")])).is_ok());
        assert_eq!(line, "now  INFO gate: it \"works\"  s=x t=\"a b\" trace=4bf9");
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_does_not_wait() {
        let (lines, _kept) = sync_channel(1);
        let log = Log { lines, dropped: AtomicU64::default(), json: true, colour: false };
        for _ in 0..3 {
            log.write(&record(&[]));
        }
        assert_eq!(log.dropped.load(Relaxed), 2);
    }
}
