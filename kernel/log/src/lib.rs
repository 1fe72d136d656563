//! One stream of log records from the kernel and every plugin, on standard error: a line each, as text or as
//! JSON.
//!
//! Writing never waits: lines go through a bounded queue to a separate thread, and dropped lines are counted
//! and reported. It never logs settings.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use streamgate_config::{LogFormat, LogSettings};
use streamgate_plugin_api::abi::{Extra, LogField, LogRecord};
use tracing::{Event, Level, Subscriber};
use tracing_serde::fields::AsMap;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

/// Maximum lines that wait for the terminal or the pipe, and the maximum length of a field.
const QUEUE: usize = 8_192;
const MAX_FIELD: usize = 16 << 10;

/// The levels by their number at the boundary, from 1, with their colours.
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "31"),
    (Level::WARN, "33"),
    (Level::INFO, "32"),
    (Level::DEBUG, "34"),
    (Level::TRACE, "35"),
];

fn numbered(number: u8) -> (Level, &'static str) {
    LEVELS[usize::from(number.clamp(1, 5)) - 1]
}

/// A panic of the kernel is a bug, and is logged like everything else.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, message = format!("the kernel panicked: {message}"));
    }));
}

/// The level of a record from the boundary.
pub fn level(number: u8) -> Level {
    numbered(number).0
}

/// A filter without a target that remote clients could flood the log with: `h2` warns of each unexpected
/// frame. It can be enabled by naming it in the filter.
pub fn quiet(filter: &str) -> String {
    format!("h2=error,{filter}")
}

enum Line {
    Text(String),
    Flush(SyncSender<()>),
}

/// The stream.
pub struct Log {
    lines: SyncSender<Line>,
    dropped: AtomicU64,
    json: AtomicBool,
    terminal: bool,
    colour: bool,
    /// Changes the kernel's own log level.
    filter: OnceLock<reload::Handle<Targets, Registry>>,
}

impl Log {
    /// Opens the stream and uses it for the kernel as well. The level is a valid filter.
    pub fn start(settings: &LogSettings) -> Arc<Self> {
        let terminal = std::io::stderr().is_terminal();
        let (lines, queue) = sync_channel(QUEUE);
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let (dropped, json, filter) = (AtomicU64::new(0), AtomicBool::new(false), OnceLock::new());
        let log = Arc::new(Self { lines, dropped, json, terminal, colour, filter });
        let writer = move || write_lines(&queue);
        if let Err(error) = std::thread::Builder::new().name("log".into()).spawn(writer) {
            let _ = writeln!(std::io::stderr(), "no thread for the log: {error}");
        }
        let (filter, handle) = reload::Layer::new(Targets::default());
        let _ = log.filter.set(handle);
        log.set(settings);
        let subscriber = tracing_subscriber::registry().with(Kernel(log.clone()).with_filter(filter));
        let _ = tracing::subscriber::set_global_default(subscriber);
        log
    }

    /// Applies other settings; the level is a valid filter.
    pub fn set(&self, settings: &LogSettings) {
        let json = settings.format == LogFormat::Json || settings.format == LogFormat::Auto && !self.terminal;
        self.json.store(json, Relaxed);
        if let Some(filter) = self.filter.get() {
            let _ = filter.reload(settings.level.parse::<Targets>().unwrap_or_default());
        }
    }

    /// Writes a record of a plugin, or of the kernel, whose level is enabled.
    pub fn write(&self, plugin: Option<&str>, record: &LogRecord<'_>) {
        let mut line = String::with_capacity(256);
        let now = rfc3339(SystemTime::now());
        let written = match self.json.load(Relaxed) {
            true => json_line(&mut line, &now, plugin, record),
            false => self.pretty(&mut line, &now, plugin, record),
        };
        if written.is_ok() {
            line.push('\n');
            if self.lines.try_send(Line::Text(line)).is_err() {
                self.dropped.fetch_add(1, Relaxed);
            } else if self.dropped.load(Relaxed) > 0 {
                let count = self.dropped.swap(0, Relaxed);
                tracing::warn!(count, "log records were dropped: the log is read too slowly");
            }
        }
    }

    /// Waits until everything so far is written, for a bounded time.
    pub fn flush(&self) {
        let (done, waiting) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = waiting.recv_timeout(Duration::from_secs(1));
        }
    }

    fn pretty(
        &self,
        line: &mut String,
        now: &str,
        plugin: Option<&str>,
        record: &LogRecord<'_>,
    ) -> fmt::Result {
        let (level, colour) = numbered(record.level);
        let paint = |code: &str, text: &str| match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let (shown, who) = (format!("{level:>5}"), plugin.unwrap_or("kernel"));
        write!(line, "{} {} {}: ", paint("2", now), paint(colour, &shown), paint("1", who))?;
        // Text of others must not contain terminal control sequences.
        line.extend(clip(&record.message).chars().map(|c| if c.is_control() { ' ' } else { c }));
        for LogField { name, value } in &record.fields {
            write!(line, " {}{}", paint("2", &format!("{name}=")), plain(short(value).as_ref()))?;
        }
        if level != Level::INFO {
            write!(line, " {}", paint("2", &format!("({})", record.target)))?;
        }
        if !record.trace_id.is_empty() {
            write!(line, " {}", paint("2", &format!("trace={}", record.trace_id)))?;
        }
        Ok(())
    }
}

fn json_line(line: &mut String, now: &str, plugin: Option<&str>, record: &LogRecord<'_>) -> fmt::Result {
    let text = |text: &str| Value::from(text).to_string();
    write!(line, r#"{{"timestamp":"{now}","level":"{}""#, level(record.level))?;
    if let Some(plugin) = plugin {
        write!(line, r#","plugin":{}"#, text(plugin))?;
    }
    write!(line, r#","target":{},"message":{}"#, text(&record.target), text(clip(&record.message)))?;
    if !record.trace_id.is_empty() {
        write!(line, r#","trace_id":{},"span_id":{}"#, text(&record.trace_id), text(&record.span_id))?;
    }
    if !record.fields.is_empty() {
        let fields =
            record.fields.iter().map(|field| format!("{}:{}", text(&field.name), short(&field.value)));
        write!(line, r#","fields":{{{}}}"#, fields.collect::<Vec<_>>().join(","))?;
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

/// A JSON value for people: simple strings without quotes.
fn plain(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.filter(|text| !text.is_empty() && !text.contains([' ', '\\', '='])).unwrap_or(value)
}

fn write_lines(queue: &Receiver<Line>) {
    for line in queue {
        // An error has nowhere to go: the reader of the log is gone.
        let _ = match line {
            Line::Text(line) => std::io::stderr().write_all(line.as_bytes()),
            Line::Flush(done) => done.send(()).map_err(std::io::Error::other),
        };
    }
}

/// The kernel's own records.
struct Kernel(Arc<Log>);

impl<S: Subscriber> Layer<S> for Kernel {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields: Map<_, _> = serde_json::from_value(json!(event.field_map())).unwrap_or_default();
        let message = fields.remove("message").unwrap_or_default();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name, value.to_string())).collect();
        let metadata = event.metadata();
        let level = LEVELS.iter().position(|(level, _)| level == metadata.level()).unwrap_or_default();
        let record = LogRecord {
            level: level as u8 + 1,
            target: metadata.target().into(),
            message: message.as_str().unwrap_or_default().into(),
            fields: fields
                .iter()
                .map(|(name, value)| LogField { name: name.as_str().into(), value: value.as_str().into() })
                .collect(),
            trace_id: "".into(),
            span_id: "".into(),
            extra: Extra::default(),
        };
        self.0.write(None, &record);
    }
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_a_peer_makes_up_are_not_logged_unless_somebody_asks_for_it() {
        let logs = |filter: &str, target: &str, level| {
            quiet(filter).parse::<Targets>().expect("a filter").would_enable(target, &level)
        };
        let frames = "h2::proto::ping_pong";
        assert!(!logs("info", frames, Level::WARN) && logs("info", frames, Level::ERROR));
        assert!(logs("info", "streamgate_gateway", Level::INFO));
        assert!(logs("info,h2=debug", frames, Level::DEBUG) && logs("h2::proto=warn", frames, Level::WARN));
    }

    fn record<'a>(fields: &[(&'a str, &'a str)]) -> LogRecord<'a> {
        let field = |&(name, value): &(&'a str, &'a str)| LogField { name: name.into(), value: value.into() };
        LogRecord {
            level: 3,
            target: "gate::http".into(),
            message: "it \"works\"\n".into(),
            fields: fields.iter().map(field).collect(),
            trace_id: "4bf9".into(),
            span_id: "00f0".into(),
            extra: Extra::default(),
        }
    }

    fn log(lines: SyncSender<Line>, json: bool) -> Log {
        let filter = OnceLock::new();
        Log {
            lines,
            dropped: AtomicU64::default(),
            json: json.into(),
            terminal: false,
            colour: false,
            filter,
        }
    }

    #[test]
    fn a_json_line_is_json_with_plugin_trace_and_fields() {
        let mut line = String::new();
        assert!(json_line(&mut line, "now", Some("gate"), &record(&[("n", "1"), ("s", "\"x\"")])).is_ok());
        let value: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            value,
            json!({
                "timestamp": "now", "level": "INFO", "plugin": "gate", "target": "gate::http",
                "message": "it \"works\"\n", "trace_id": "4bf9", "span_id": "00f0",
                "fields": { "n": 1, "s": "x" },
            })
        );
    }

    #[test]
    fn a_pretty_line_is_one_line_without_control_characters() {
        let log = log(sync_channel(1).0, false);
        let mut line = String::new();
        assert!(
            log.pretty(&mut line, "now", Some("gate"), &record(&[("s", "\"x\""), ("t", "\"a b\"")])).is_ok()
        );
        assert_eq!(line, "now  INFO gate: it \"works\"  s=x t=\"a b\" trace=4bf9");
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_does_not_wait() {
        let (lines, _kept) = sync_channel(1);
        let log = log(lines, true);
        for _ in 0..3 {
            log.write(None, &record(&[]));
        }
        assert_eq!(log.dropped.load(Relaxed), 2);
    }
}
