//! The parent's side: a plugin as seen by the kernel, whose code runs elsewhere.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use async_ffi::FutureExt;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::abi::{FfiFuture, HostHandle, Instance, InstanceApi, RResult, RString, StartArgs};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::body::{Obituary, Outgoing};
use crate::host_side::HostSide;
use crate::peer::{Peer, serve};
use crate::process::{self, Dirs, Exit, Orders};
use crate::wire::{Hello, PLUGIN, PROTOCOL, Start};
use crate::{ChildSpec, stderr};

/// A plugin that runs in a child.
pub struct Started {
    /// The kernel's handle. Dropping it kills the child.
    pub instance: Instance,
    /// Reports when and how the child ended.
    pub exited: Exited,
    /// Its process.
    pub pid: u32,
}

/// Reports when and how a child ended. This crate does not restart an ended child.
#[derive(Debug, Clone)]
pub struct Exited(watch::Receiver<Option<Exit>>);

impl Exited {
    /// Waits for the child's end, after which it has been reaped.
    pub async fn wait(&self) -> Exit {
        let mut receiver = self.0.clone();
        let ended = receiver.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| exit.clone()).unwrap_or_else(|| Exit {
            // Its runtime shuts down, which kills the child.
            reason: "was left behind when its host ended".to_owned(),
            expected: true,
            code: None,
            signal: None,
        })
    }

    /// How it ended, if it has.
    pub fn now(&self) -> Option<Exit> {
        self.0.borrow().clone()
    }
}

impl Obituary for Exited {
    fn wait(&self) -> BoxFuture<'static, String> {
        let exited = self.clone();
        Box::pin(async move { Exited::wait(&exited).await.reason })
    }

    fn known(&self) -> Option<String> {
        self.now().map(|exit| exit.reason)
    }
}

/// Starts a plugin in a child, and returns when it runs. Call it inside a tokio runtime that lives as long as
/// the child; dropping the future kills the child.
///
/// # Errors
/// Why the child or its plugin did not start, for people.
pub async fn start(spec: ChildSpec, host: HostHandle, args: StartArgs) -> Result<Started, String> {
    let data_dir = Path::new(args.data_dir.as_str());
    let dirs = Dirs::make(data_dir)
        .map_err(|error| format!("its directories below {} cannot be made: {error}", data_dir.display()))?;
    let sockets = |error: std::io::Error| format!("sockets cannot be created: {error}");
    let (mut requests, their_requests) = UnixStream::pair().map_err(sockets)?;
    let (calls, their_calls) = UnixStream::pair().map_err(sockets)?;
    let hello = Hello {
        protocol: PROTOCOL,
        plugin: spec.plugin.clone(),
        cdylib: spec.cdylib.clone(),
        data_dir: data_dir.to_owned(),
        log: spec.log.clone(),
        limits: spec.limits.clone(),
    };
    hello.write(&mut requests).map_err(sockets)?;
    let mut child = process::spawn(&spec, &dirs, their_requests, their_calls).await?;
    let pid = child.id().unwrap_or_default();

    let orders = Orders::default();
    let killed_if_dropped = orders.kill.clone().drop_guard();
    let last_words = Arc::new(stderr::LastWords::default());
    if let Some(pipe) = child.stderr.take() {
        tokio::spawn(stderr::read(pipe, host.clone(), last_words.clone()));
    }
    let (exit, exited) = watch::channel(None);
    let exited = Exited(exited);
    tokio::spawn(process::watch(child, dirs, spec.grace, orders.clone(), last_words, exit));

    let (peer, connection) = Peer::connect(requests, &spec.plugin, Arc::new(exited.clone())).await?;
    let hang_up = CancellationToken::new();
    let ended = {
        let (peer, orders) = (peer.clone(), orders.clone());
        move || {
            peer.close();
            if !orders.stop.is_cancelled() {
                orders.silent.cancel();
            }
        }
    };
    let (hung_up, over) = (hang_up.clone(), ended.clone());
    tokio::spawn(async move {
        tokio::select! {
            // The child's exit has the reason.
            _ = connection => {}
            () = hung_up.cancelled() => {}
        }
        over();
    });
    let side = HostSide::new(host, peer.clone(), Arc::new(exited.clone()));
    tokio::spawn(async move {
        // The child's exit has the reason.
        let _ = serve(calls, move |to, parts, body| side.clone().answer(to, parts, body)).await;
        ended();
    });

    let start = Start {
        settings: args.settings.into(),
        name: args.name.into(),
        data_dir: args.data_dir.into(),
        extra: args.extra.as_bytes().to_vec(),
    };
    ask_json::<_, ()>(&peer, "/start", &start).await?;
    let orders_kill = killed_if_dropped.disarm();
    let instance =
        Instance::new(ChildInstance { peer, orders, hang_up, exited: exited.clone(), kill: orders_kill });
    Ok(Started { instance, exited, pid })
}

async fn ask_json<T: Serialize, A: for<'de> Deserialize<'de>>(
    peer: &Peer,
    path: &'static str,
    question: &T,
) -> Result<A, String> {
    let question = serde_json::to_vec(question).map_err(|error| error.to_string())?;
    let answer = peer.ask(PLUGIN, path, Outgoing::full(Bytes::from(question))).await?;
    serde_json::from_slice(&answer).map_err(|error| format!("its process sent an invalid answer: {error}"))
}

struct ChildInstance {
    peer: Arc<Peer>,
    orders: Orders,
    hang_up: CancellationToken,
    exited: Exited,
    kill: CancellationToken,
}

impl InstanceApi for ChildInstance {
    fn ping(&self) -> FfiFuture<()> {
        let peer = self.peer.clone();
        async move {
            // The end of the process is reported by its exit.
            let _ = ask_json::<_, ()>(&peer, "/ping", &()).await;
        }
        .into_ffi()
    }

    fn drain(&self) -> FfiFuture<()> {
        let peer = self.peer.clone();
        async move {
            let _ = ask_json::<_, ()>(&peer, "/drain", &()).await;
            // Data of the child may still be on its way to its readers.
            peer.idle().await;
        }
        .into_ffi()
    }

    fn reconfigure(&self, settings: &str) -> FfiFuture<RResult<bool, RString>> {
        let (peer, settings) = (self.peer.clone(), settings.to_owned());
        async move { ask_json::<_, bool>(&peer, "/reconfigure", &settings).await.map_err(RString::from).into() }
            .into_ffi()
    }

    fn metrics(&self) -> FfiFuture<RString> {
        let peer = self.peer.clone();
        async move { ask_json::<_, String>(&peer, "/metrics", &()).await.unwrap_or_default().into() }
            .into_ffi()
    }

    fn stop(&self) -> FfiFuture<()> {
        let (peer, hang_up, exited) = (self.peer.clone(), self.hang_up.clone(), self.exited.clone());
        // From now on its time runs, whether it is awaited or not.
        self.orders.stop.cancel();
        async move {
            let _ = ask_json::<_, ()>(&peer, "/stop", &()).await;
            hang_up.cancel();
            exited.wait().await;
        }
        .into_ffi()
    }
}

impl Drop for ChildInstance {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}
