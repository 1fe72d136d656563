//! The child's side: receives the sockets, confines the process, loads the plugin and serves it.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::uri::Authority;
use http::{Response, StatusCode, request};
use hyper::body::Incoming;
use parking_lot::Mutex;
use rustix::process::Signal;
use serde::Serialize;
use streamgate_plugin_api::abi::{Extra, FfiFuture, HostHandle, Instance, StartArgs, StartResult};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::body::{Gone, Obituary, Outgoing};
use crate::outbox::Outbox;
use crate::peer::{Peer, answer, collect, refused, reply, serve};
use crate::remote_host::{RemoteHost, Table};
use crate::wire::{Hello, PLUGIN, PROTOCOL, Start};
use crate::{confine, stderr};

/// How long the parent has to send its instructions.
const GREETING: Duration = Duration::from_secs(10);
const WARN: u8 = 2;

/// The plugin to be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loading<'a> {
    /// The plugin's name.
    pub plugin: &'a str,
    /// The cdylib, under a path that this process may open.
    pub cdylib: Option<&'a Path>,
}

/// The main function of a child: call it first in `main`, before there is a second thread, and return its
/// result.
///
/// `load` is called when the process is confined. Its result starts the plugin; an error becomes that of the
/// parent's [`start`](crate::start()).
pub fn child<S>(load: impl FnOnce(&Loading<'_>) -> Result<S, String>) -> ExitCode
where
    S: FnOnce(HostHandle, StartArgs) -> FfiFuture<StartResult> + Send + 'static,
{
    match run(load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "{reason}");
            ExitCode::from(70)
        }
    }
}

fn run<S>(load: impl FnOnce(&Loading<'_>) -> Result<S, String>) -> Result<(), String>
where
    S: FnOnce(HostHandle, StartArgs) -> FfiFuture<StartResult> + Send + 'static,
{
    let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("the parent's death cannot be watched: {error}"))?;
    let (mut requests, calls) =
        sockets().map_err(said("this command is internal: streamgate passes it its sockets"))?;
    requests.set_read_timeout(Some(GREETING)).map_err(said("the socket takes no timeout"))?;
    let hello = Hello::read(&mut requests)
        .map_err(said("this command is internal: streamgate sends it its instructions"))?;
    requests.set_read_timeout(None).map_err(said("the socket takes no timeout"))?;
    // As shown by `ps` and `top`; the system keeps 15 bytes.
    let _ = CString::new(hello.plugin.as_str()).map(|name| rustix::thread::set_name(&name));
    if hello.protocol != PROTOCOL {
        return Err("the program's file was replaced while it runs; restart streamgate".to_owned());
    }
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err("another thread is running, which would not be confined".to_owned());
    }
    let cdylib = hello.cdylib.as_deref().map(File::open).transpose();
    let cdylib = cdylib.map_err(|error| {
        format!("{} cannot be opened: {error}", hello.cdylib.as_deref().unwrap_or(Path::new("")).display())
    });
    let (cdylib, unreadable) = match cdylib {
        Ok(cdylib) => (cdylib, None),
        Err(reason) => (None, Some(reason)),
    };
    let missing = confine::confine(&hello.limits, Some(&hello.data_dir), cdylib.as_ref());
    let path = cdylib.as_ref().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    // Never closed: the library is known by that path.
    std::mem::forget(cdylib);
    let loaded = match unreadable {
        Some(reason) => Err(reason),
        None => load(&Loading { plugin: &hello.plugin, cdylib: path.as_deref() }),
    };
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .thread_name("isolation")
        .build()
        .map_err(said("threads cannot be started"))?;
    let served = runtime.block_on(serve_plugin(hello, loaded, missing, requests, calls));
    runtime.shutdown_background();
    served
}

/// The two sockets. Afterwards stdin is empty, and stdout goes to stderr, into the log.
fn sockets() -> std::io::Result<(UnixStream, UnixStream)> {
    let take =
        |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(|fd: OwnedFd| UnixStream::from(fd));
    let pair = (take(rustix::stdio::stdin())?, take(rustix::stdio::stdout())?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(pair)
}

/// A terminal or a supervisor signals all processes. The parent stops cleanly, and then this one.
fn ignore_signals() -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Its handler stays for the life of the process.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Only the parent can disconnect, and this process ends with it.
struct Host;

impl Obituary for Host {
    fn wait(&self) -> BoxFuture<'static, String> {
        Box::pin(std::future::ready("is gone".to_owned()))
    }

    fn known(&self) -> Option<String> {
        None
    }
}

struct Served<S> {
    /// Until it is used.
    loaded: Mutex<Option<Result<S, String>>>,
    instance: Mutex<Option<Arc<Instance>>>,
    host: HostHandle,
    outbox: Arc<Outbox>,
    table: Table,
    gone: Gone,
}

async fn serve_plugin<S>(
    hello: Hello,
    loaded: Result<S, String>,
    missing: Vec<String>,
    requests: UnixStream,
    calls: UnixStream,
) -> Result<(), String>
where
    S: FnOnce(HostHandle, StartArgs) -> FfiFuture<StartResult> + Send + 'static,
{
    ignore_signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
    let (peer, connection) = Peer::connect(calls, "the host", Arc::new(Host)).await?;
    let connection = tokio::spawn(connection);
    let outbox = Outbox::new(peer.clone());
    let table = Table::default();
    let host = HostHandle::new(RemoteHost {
        peer,
        outbox: outbox.clone(),
        table: table.clone(),
        filter: hello.log.parse().unwrap_or_default(),
        runtime: Handle::current(),
    });
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let text = format!("this system cannot confine the plugin completely; it runs without {missing}");
        stderr::write(&host, WARN, "streamgate_isolation", &text);
    }
    let served = Arc::new(Served {
        loaded: Mutex::new(Some(loaded)),
        instance: Mutex::default(),
        host,
        outbox,
        table,
        gone: Arc::new(Host),
    });
    let serving =
        tokio::spawn(serve(requests, move |to, parts, body| served.clone().answer(to, parts, body)));
    // Both end when the parent disconnects.
    let ended = tokio::select! {
        ended = connection => ended,
        ended = serving => ended,
    };
    let broke = |reason: String| format!("its connection to the host was interrupted: {reason}");
    ended.map_err(|error| broke(error.to_string()))?.map_err(broke)
}

impl<S> Served<S>
where
    S: FnOnce(HostHandle, StartArgs) -> FfiFuture<StartResult> + Send + 'static,
{
    async fn answer(
        self: Arc<Self>,
        to: Authority,
        parts: request::Parts,
        body: Incoming,
    ) -> Response<Outgoing> {
        if to == PLUGIN {
            return reply(self.entry(parts.uri.path(), body).await);
        }
        let service = self.table.read().get(&to).cloned();
        match service {
            Some(service) => answer(service, parts, body, &self.gone).await,
            None => refused(StatusCode::SERVICE_UNAVAILABLE, "the plugin provides no such service"),
        }
    }

    async fn entry(self: Arc<Self>, path: &str, body: Incoming) -> Result<Bytes, String> {
        let message = collect(body).await?;
        if path == "/start" {
            return self.start(&message).await;
        }
        let instance = self.instance.lock().clone().ok_or("the plugin has not been started")?;
        match path {
            "/ping" => instance.ping().await,
            "/drain" => instance.drain().await,
            "/stop" => {
                on_own_thread(instance.stop()).await?;
                self.outbox.flush().await;
            }
            "/reconfigure" => {
                let settings: String = json(&message)?;
                let taken = on_own_thread(instance.reconfigure(&settings)).await?;
                return written(&taken.into_result().map_err(String::from)?);
            }
            "/metrics" => return written(&instance.metrics().await.as_str()),
            other => return Err(format!("a plugin has no {other}")),
        }
        written(&())
    }

    async fn start(&self, message: &[u8]) -> Result<Bytes, String> {
        let start: Start = json(message)?;
        let loaded = self.loaded.lock().take();
        let begin = loaded.unwrap_or_else(|| Err("it has been started already".to_owned()))?;
        let args = StartArgs {
            settings: start.settings.into(),
            name: start.name.into(),
            data_dir: start.data_dir.into(),
            extra: Extra::from_bytes(start.extra.into()),
        };
        let (host, runtime) = (self.host.clone(), Handle::current());
        let started = tokio::task::spawn_blocking(move || runtime.block_on(begin(host, args)));
        let instance =
            started.await.map_err(|error| error.to_string())?.into_result().map_err(String::from)?;
        *self.instance.lock() = Some(Arc::new(instance));
        written(&())
    }
}

/// Plugin code that may block its thread.
async fn on_own_thread<T: Send + 'static>(future: FfiFuture<T>) -> Result<T, String> {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(future)).await;
    done.map_err(|error| error.to_string())
}

fn json<T: for<'de> serde::Deserialize<'de>>(message: &[u8]) -> Result<T, String> {
    serde_json::from_slice(message).map_err(|error| format!("the host sent an invalid message: {error}"))
}

fn written<T: Serialize>(answer: &T) -> Result<Bytes, String> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|error| error.to_string())
}
