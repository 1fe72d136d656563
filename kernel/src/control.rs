//! The control socket `<data_dir>/streamgate.sock`: HTTP/1.1 for the command line of the same
//! machine and user. It only answers questions, and is no public interface.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::lifecycle::Kernel;

const CONNECTIONS: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 << 20;

/// Why the data directory cannot be ours, or nobody answers in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the data directory {0} is in use by another streamgate; stop that one, or set kernel.data_dir")]
    InUse(PathBuf),
    #[error("the data directory {path} cannot be used: {error}")]
    DataDir { path: PathBuf, error: io::Error },
    #[error(
        "no streamgate runs with the data directory {0}; give the --config and --set that it was started with"
    )]
    NotRunning(PathBuf),
    #[error("the running streamgate did not answer: {0}")]
    NoAnswer(String),
}

/// Holds a data directory for this process until it is dropped.
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, ControlError> {
        let wrap = |error| ControlError::DataDir { path: path.to_owned(), error };
        std::fs::create_dir_all(path).map_err(wrap)?;
        let lock = File::create(path.join("streamgate.lock")).map_err(wrap)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ControlError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(wrap(error)),
        }
    }

    /// Opens the socket for this user alone, instead of one that a dead process left.
    pub(crate) fn listen(&self) -> Result<UnixListener, ControlError> {
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

/// The socket's path. A Unix socket's path has at most 107 bytes, whatever the directory's has:
/// it goes through the descriptor of the directory.
fn socket(data_dir: &Path) -> io::Result<(File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let dir = File::open(data_dir)?;
    let path = format!("/proc/self/fd/{}/streamgate.sock", dir.as_raw_fd());
    Ok((dir, path.into()))
}

/// Answers on the socket until the kernel is gone.
pub(crate) async fn serve(listener: UnixListener, kernel: Arc<Kernel>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket did not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let kernel = kernel.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let response = answer(&request, &kernel);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever asked may go away at any time.
            let _ = tokio::time::timeout(2 * TIMEOUT, connection).await;
        });
    }
}

fn answer(request: &Request<Incoming>, kernel: &Kernel) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/plugins") => (StatusCode::OK, kernel.report()),
        (&Method::GET, "/health") => (StatusCode::OK, kernel.health_report()),
        _ => (
            StatusCode::NOT_FOUND,
            json!({ "type": "about:blank", "title": "Not Found", "status": 404, "detail": "GET /plugins, GET /health" }),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// Asks the streamgate that runs with this data directory.
pub(crate) async fn ask(data_dir: &Path, path: &str) -> Result<Value, ControlError> {
    let not_running = |_| ControlError::NotRunning(data_dir.to_owned());
    let (_dir, socket) = socket(data_dir).map_err(not_running)?;
    let stream = UnixStream::connect(socket).await.map_err(not_running)?;
    let asking = async {
        let no_answer = |error: hyper::Error| error.to_string();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "streamgate").body(Empty::<Bytes>::new());
        let response =
            sender.send_request(request.map_err(|error| error.to_string())?).await.map_err(no_answer)?;
        let body =
            Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
    };
    let answer = tokio::time::timeout(TIMEOUT, asking).await;
    answer.unwrap_or_else(|_| Err(format!("nothing within {TIMEOUT:?}"))).map_err(ControlError::NoAnswer)
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
        std::fs::write(data.join("streamgate.sock"), "left by a dead process").unwrap();
        let _listener = taken.listen().unwrap();
        let mode = std::fs::metadata(data.join("streamgate.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(taken);
        assert!(!data.join("streamgate.sock").exists());
        assert!(DataDir::take(&data).is_ok());
    }

    #[tokio::test]
    async fn asking_where_nobody_runs_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none")] {
            assert!(matches!(ask(&path, "/health").await, Err(ControlError::NotRunning(_))));
        }
    }
}
