//! The data directory of a running streamgate, and the control socket `<data_dir>/streamgate.sock` in it:
//! HTTP/1.1 for the command line of the same machine and user. It is not a public interface.
//!
//! The server holds the directory's lock and listens; the command line finds it by the directory.

mod descriptors;
mod journal;
mod metrics;
mod planning;
mod rights;
mod server;
mod signals;
mod steps;
mod tables;
mod turn;

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgate_plugin_api::command::{self, Line};
use tokio::net::UnixListener;

pub use descriptors::{FEW, Reserved, raise};
pub use journal::Journal;
pub use metrics::{metrics_path, metrics_text};
pub use planning::Planning;
pub use rights::plugin_rights;
pub use server::{Control, Controlled};
pub use signals::Signals;
pub use steps::{Step, planned, stale, words};
pub use streamgate_plugin_api::command::PREFIX as COMMAND;
pub use tables::{health_table, plugins_table, text};
pub use turn::Turn;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 16 << 20;
/// The key of the report that names the configuration file.
const CONFIG: &str = "config";

/// Why the data directory cannot be used, or no server answers in it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another process uses it.
    #[error("the data directory {0} is in use by another streamgate; stop that one, or set kernel.data_dir")]
    InUse(PathBuf),
    /// The system refused something.
    #[error("the data directory {path} cannot be used: {error}")]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No server listens in it.
    #[error(
        "no streamgate runs with the data directory {0}; give the --config and --set that it was started with"
    )]
    NotRunning(PathBuf),
    /// No thread can be started here.
    #[error("threads cannot be started: {0}")]
    Threads(io::Error),
    /// The server's answer could not be read.
    #[error("the running streamgate did not answer: {0}")]
    NoAnswer(io::Error),
}

/// Creates a directory that only its owner may enter, or changes an existing one to that. It survives a loss
/// of power from then on, as its content has to.
///
/// # Errors
/// The system's error.
pub fn private_dir(path: &Path) -> io::Result<()> {
    streamgate_plugin_api::dirs::make_durable(path)?;
    match std::fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)),
    }
}

/// Holds a data directory for this process until it is dropped.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if necessary, and locks it.
    ///
    /// # Errors
    /// If another process has it, or the system refuses.
    pub fn take(path: &Path) -> Result<Self, ControlError> {
        let wrap = |error| ControlError::DataDir { path: path.to_owned(), error };
        private_dir(path).map_err(wrap)?;
        let lock = File::create(path.join("streamgate.lock")).map_err(wrap)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ControlError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(wrap(error)),
        }
    }

    /// Opens the socket for this user alone, replacing that of a dead process.
    ///
    /// # Errors
    /// The system's error.
    pub fn listen(&self) -> Result<UnixListener, ControlError> {
        let wrap = |error| ControlError::DataDir { path: self.path.clone(), error };
        let (dir, path) = socket(&self.path).map_err(wrap)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrap(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(wrap)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(wrap)?;
        drop(dir);
        Ok(listener)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path.join("streamgate.sock"));
    }
}

/// The socket's path. The address of a Unix socket is limited to 107 bytes, whatever the length of the
/// directory: it is addressed through the descriptor of the directory.
fn socket(data_dir: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let dir = File::open(data_dir)?;
    let path = format!("/proc/self/fd/{}/streamgate.sock", dir.as_raw_fd());
    Ok((dir, path.into()))
}

/// A requested change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Restart a plugin.
    Restart {
        /// Which one.
        name: String,
    },
    /// Replace a plugin by another build.
    Swap {
        /// Which one.
        name: String,
        /// Its cdylib, if not the configured one.
        file: Option<PathBuf>,
    },
    /// Apply the configuration.
    Reload {
        /// Only report what would happen.
        dry: bool,
        /// Only if the running version is this one.
        #[serde(default)]
        version: Option<u64>,
    },
}

/// Calls the streamgate that runs with this data directory.
///
/// # Errors
/// If none runs, or it does not answer.
pub fn ask(data_dir: &Path, path: &str) -> Result<Value, ControlError> {
    talk(data_dir, Some(TIMEOUT), &format!("GET {path} HTTP/1.0\r\nHost: streamgate\r\n\r\n"))
}

/// The configuration file of the streamgate that runs with this data directory. The inner error is that
/// `given` is another one, which it would not read.
///
/// # Errors
/// If none runs, or it does not answer.
fn configured(data_dir: &Path, given: Option<&Path>) -> Result<Result<String, String>, ControlError> {
    let report = ask(data_dir, "/plugins")?;
    let own = text(&report[CONFIG]);
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    Ok(match given {
        // One of an earlier version does not report it.
        Some(given) if !own.is_empty() && real(given) != real(Path::new(&own)) => Err(format!(
            "the running streamgate reads {own}, with which it was started, and not {}; pass that one, or none; nothing has changed",
            given.display()
        )),
        _ => Ok(own),
    })
}

/// Has it change something, and waits for the result. The inner error is why it failed. If `config` is given,
/// it has to be the server's file; for a reload, `reads` receives its name.
///
/// # Errors
/// If none runs, or it does not answer.
pub fn request(
    data_dir: &Path,
    change: &Change,
    config: Option<&Path>,
    reads: impl FnOnce(&str),
) -> Result<Result<String, String>, ControlError> {
    match configured(data_dir, config)? {
        Err(other) => return Ok(Err(other)),
        Ok(file) if matches!(change, Change::Reload { .. }) && !file.is_empty() => reads(&file),
        Ok(_) => {}
    }
    let asked = posting("/change", change).map_err(ControlError::NoAnswer)?;
    let answer = talk(data_dir, None, &asked)?;
    serde_json::from_value(answer).map_err(|error| ControlError::NoAnswer(error.into()))
}

/// A request with a JSON body. HTTP/1.0: its response ends with the connection.
fn posting(path: &str, body: &impl Serialize) -> io::Result<String> {
    let body = serde_json::to_string(body)?;
    let head = format!("POST {path} HTTP/1.0\r\nHost: streamgate\r\nContent-Type: application/json");
    Ok(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// Connects to the streamgate that runs with this data directory.
fn connect(data_dir: &Path) -> Result<UnixStream, ControlError> {
    let not_running = |_| ControlError::NotRunning(data_dir.to_owned());
    let (_dir, socket) = socket(data_dir).map_err(not_running)?;
    UnixStream::connect(socket).map_err(not_running)
}

/// Why a command of a plugin did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No plugin provides it.
    Unknown {
        /// The available commands.
        known: String,
    },
    /// It failed, with the reason.
    Failed(String),
}

/// Has a plugin's command run, and passes on its output as it arrives; returns its exit code. The inner error
/// is why it did not run.
///
/// # Errors
/// If none runs, or it is interrupted.
pub fn command(
    data_dir: &Path,
    name: &str,
    words: Vec<String>,
    mut print: impl FnMut(Line),
) -> Result<Result<u8, Refused>, ControlError> {
    let mut stream = connect(data_dir)?;
    let asking = || {
        // As a path it must not be more than one segment.
        let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        stream.write_all(posting(&format!("/command/{name}"), &words)?.as_bytes())?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut comes = false;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            comes |= line.starts_with("content-type:") && line.ends_with(command::LINES);
        }
        if status != "200" || !comes {
            let text = lines.collect::<io::Result<Vec<_>>>()?.join("\n");
            return Ok(Err(Refused::read(&status, &serde_json::from_str(&text).unwrap_or_default())));
        }
        for line in lines {
            match serde_json::from_str(&line?)? {
                Line::Exit(code) => return Ok(Ok(code)),
                line => print(line),
            }
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the command's end"))
    };
    asking().map_err(ControlError::NoAnswer)
}

impl Refused {
    /// From a response that is not the lines of a command.
    fn read(status: &str, answer: &Value) -> Self {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().trim().to_owned();
        if status == "404" && answer["known"].is_string() {
            return Self::Unknown { known: text("known") };
        }
        Self::Failed(match (text("title"), text("detail")) {
            (title, detail) if title.is_empty() && detail.is_empty() => format!("the answer is {status}"),
            (title, detail) if title.is_empty() || detail.is_empty() => title + &detail,
            (title, detail) => format!("{title}: {detail}"),
        })
    }
}

fn talk(data_dir: &Path, timeout: Option<Duration>, request: &str) -> Result<Value, ControlError> {
    let mut stream = connect(data_dir)?;
    let asking = || {
        stream.set_read_timeout(timeout)?;
        // HTTP/1.0: the response is in one piece, and ends with the connection.
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        let (_head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        serde_json::from_str(body).map_err(io::Error::from)
    };
    asking().map_err(ControlError::NoAnswer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_data_directory_belongs_to_one_process_and_its_socket_to_one_user() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let data = dir.path().join("d".repeat(120));
        let taken = DataDir::take(&data).unwrap();
        assert!(matches!(DataDir::take(&data), Err(ControlError::InUse(_))));
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(data.join("streamgate.sock"), "left by a dead process").unwrap();
        let _listener = taken.listen().unwrap();
        let mode = std::fs::metadata(data.join("streamgate.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(taken);
        assert!(!data.join("streamgate.sock").exists());
        assert!(DataDir::take(&data).is_ok());
    }

    #[test]
    fn a_directory_that_others_may_read_is_tightened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(DataDir::take(dir.path()).unwrap());
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    /// A server to be controlled.
    struct Nothing;

    impl Controlled for Nothing {
        fn report(&self) -> Value {
            Value::Null
        }
        fn health_report(&self) -> Value {
            Value::Null
        }
        async fn change(self: &std::sync::Arc<Self>, change: Change) -> Result<String, String> {
            Err(format!("{change:?}"))
        }
        fn running(&self) -> Vec<(String, std::sync::Arc<streamgate_plugin_api::abi::Instance>)> {
            Vec::new()
        }
        fn provided(&self) -> Vec<String> {
            ["store", "command-away", "command-lines", "command-other"].map(str::to_owned).into()
        }
        fn provider(&self, capability: &str) -> streamgate_plugin_api::Client {
            use streamgate_plugin_api::{Client, Problem};
            let lines = async |words: Vec<String>, out: command::Output| {
                for word in words {
                    out.line(word).await.unwrap();
                }
                out.error("end").await.unwrap();
                6
            };
            let away = async || Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "gone", "It is away");
            match capability {
                "command-lines" => Client::from_service(command::router(lines)),
                "command-away" => Client::from_service(axum::Router::new().fallback(away)),
                _ => Client::from_service(axum::Router::new().fallback(async || "yes")),
            }
        }
    }

    #[tokio::test]
    async fn a_command_reaches_its_plugin_and_prints_line_by_line_or_says_why_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let taken = DataDir::take(dir.path()).unwrap();
        let control =
            Control::new(std::sync::Arc::new(Nothing), Journal::open(dir.path()), Path::new("none.toml"));
        tokio::spawn(control.serve(taken.listen().unwrap()));
        let give = async |words: &'static [&'static str]| {
            let path = dir.path().to_owned();
            let given = tokio::task::spawn_blocking(move || {
                let mut printed = Vec::new();
                let rest = words[1..].iter().map(|word| (*word).to_owned()).collect();
                let ended = super::command(&path, words[0], rest, |line| printed.push(line)).unwrap();
                (ended, printed)
            });
            given.await.unwrap()
        };
        let out = |text: &str| Line::Out(text.into());
        let err = |text: &str| Line::Err(text.into());
        assert_eq!(give(&["lines", "a", "b c"]).await, (Ok(6), vec![out("a"), out("b c"), err("end")]));
        assert_eq!(give(&["away"]).await.0, Err(Refused::Failed("It is away".into())));
        assert_eq!(give(&["other"]).await.0, Err(Refused::Failed("the answer is 200".into())));
        for unknown in [&["store"][..], &["sai"], &["../plugins"]] {
            assert_eq!(give(unknown).await.0, Err(Refused::Unknown { known: "away, lines, other".into() }));
        }
    }

    #[tokio::test]
    async fn a_file_that_the_running_one_does_not_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [own, link, copy] = ["own.toml", "link.toml", "copy.toml"].map(|name| dir.path().join(name));
        std::fs::write(&own, "").unwrap();
        std::fs::write(&copy, "").unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let taken = DataDir::take(dir.path()).unwrap();
        let control = Control::new(std::sync::Arc::new(Nothing), Journal::open(dir.path()), &own);
        tokio::spawn(control.serve(taken.listen().unwrap()));
        let path = dir.path().to_owned();
        let answers = tokio::task::spawn_blocking(move || {
            [None, Some(&own), Some(&link), Some(&copy), Some(&path.join("gone.toml"))]
                .map(|given| configured(&path, given.map(PathBuf::as_path)).unwrap())
        });
        let answers = answers.await.unwrap();
        let own = dir.path().join("own.toml").display().to_string();
        assert!(answers[..3].iter().all(|said| said.as_ref() == Ok(&own)), "{answers:?}");
        for other in &answers[3..] {
            let said = other.as_ref().unwrap_err();
            assert!(said.contains(&format!("reads {own}")) && said.contains("nothing has changed"), "{said}");
        }
    }

    #[test]
    fn a_call_without_a_running_server_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none")] {
            assert!(matches!(ask(&path, "/health"), Err(ControlError::NotRunning(_))));
        }
    }
}
