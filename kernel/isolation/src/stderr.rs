//! The child's stderr (and stdout), line by line into the log.

use std::time::Instant;

use parking_lot::Mutex;
use streamgate_plugin_api::abi::{Extra, HostHandle, LogRecord, RStr, RVec};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

const TARGET: &str = "stderr";
const INFO: u8 = 3;
const WARN: u8 = 2;
/// Longer lines are cut.
const LINE: usize = 4096;
/// Maximum lines per second; more are counted and dropped.
const RATE: u32 = 200;

/// The last line, which often has the reason why a process ended.
#[derive(Default)]
pub(crate) struct LastWords {
    line: Mutex<String>,
    end: CancellationToken,
}

impl LastWords {
    pub(crate) fn get(&self) -> String {
        self.line.lock().clone()
    }

    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }
}

/// Reads until the end.
pub(crate) async fn read(
    mut pipe: impl AsyncRead + Unpin,
    host: HostHandle,
    last: std::sync::Arc<LastWords>,
) {
    let _end = last.end.clone().drop_guard();
    let mut log = Lines { host, began: Instant::now(), lines: 0, left_out: 0 };
    let mut line = Vec::with_capacity(LINE);
    let mut block = vec![0; 8192];
    while let Ok(read @ 1..) = pipe.read(&mut block).await {
        for &byte in &block[..read] {
            match byte {
                b'\n' => log.write(&mut line, &last),
                _ if line.len() < LINE => line.push(byte),
                _ => {}
            }
        }
    }
    log.write(&mut line, &last);
    log.tell_left_out();
}

/// What follows the reason when Rust prints a backtrace.
fn is_of_a_backtrace(line: &str) -> bool {
    line.starts_with(char::is_whitespace) || line.starts_with("note: ") || line == "stack backtrace:"
}

struct Lines {
    host: HostHandle,
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl Lines {
    fn write(&mut self, line: &mut Vec<u8>, last: &LastWords) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if !text.is_empty() {
            if !is_of_a_backtrace(text) {
                text.clone_into(&mut last.line.lock());
            }
            if self.began.elapsed().as_secs() > 0 {
                self.tell_left_out();
                (self.began, self.lines) = (Instant::now(), 0);
            }
            self.lines = self.lines.saturating_add(1);
            match self.lines {
                ..=RATE => write(&self.host, INFO, TARGET, text),
                _ => self.left_out += 1,
            }
        }
        line.clear();
    }

    fn tell_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let text = format!("{left_out} lines were dropped: more than {RATE} came in a second");
            write(&self.host, WARN, TARGET, &text);
        }
    }
}

/// Writes a record without fields, if it is enabled.
pub(crate) fn write(host: &HostHandle, level: u8, target: &str, message: &str) {
    if host.log_enabled(level, target) {
        host.log(&LogRecord {
            level,
            target: RStr::from(target),
            message: RStr::from(message),
            fields: RVec::new(),
            trace_id: RStr::from(""),
            span_id: RStr::from(""),
            extra: Extra::default(),
        });
    }
}
