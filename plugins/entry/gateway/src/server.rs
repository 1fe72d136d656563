//! Listens, assigns each connection to the thread with the fewest, and stops cleanly. One single-threaded
//! runtime per core: a connection never changes threads, and its path shares nothing but the route table.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use streamgate_plugin_api::address::network;
use streamgate_plugin_api::fair::{Holder, Place, Places};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Protocols, linger, plain};
use crate::figures::Figures;
use crate::filters::Filters;
use crate::gateway::{Gateway, busy};
use crate::handover::Handover;
use crate::head::Peer;
use crate::health::Report;
use crate::settings::Settings;
use crate::sockets::Endings;
use crate::table::Table;
use crate::turns::Turns;
use crate::watch::Patience;

/// The backlog of the listeners.
const BACKLOG: i32 = 4096;
/// Maximum of refused clients that are given time to read the reason. Beyond it they lose the answer, so that
/// they do not use descriptors that others need.
const LINGERING: usize = 64;
/// How long accepting pauses when the process has no descriptors left.
const REST: Duration = Duration::from_millis(50);

/// Why the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is in use or not local.
    #[error(
        "cannot listen on {address}; stop what listens there or set plugins.gateway.listen to another address"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system refused a thread or a runtime.
    #[error("cannot start a thread for connections")]
    Thread(#[source] io::Error),
}

/// A running gateway.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    gateway: Arc<Gateway>,
    handover: Handover,
    workers: Mutex<Vec<oneshot::Receiver<()>>>,
    drain_timeout: Duration,
}

/// A listening socket, by its address in the settings (whose port may be 0).
pub type Listener = (SocketAddr, std::net::TcpListener);

/// A connection, its peer, and its slot.
type Accepted = (std::net::TcpStream, SocketAddr, Place);

/// A thread that serves connections, as seen by the acceptors.
#[derive(Debug, Clone)]
struct Worker {
    connections: mpsc::UnboundedSender<Accepted>,
    load: Arc<AtomicUsize>,
}

/// Shared by the acceptors.
struct Door {
    workers: Vec<Worker>,
    /// Shared fairly by address: many connections of one address do not keep out an address without any.
    places: Places,
    lingering: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Server {
    /// Listens on the addresses of `settings`, with a socket `taken` over from another gateway if it has the
    /// same address, and serves the mounts of `table`, including later ones, to requests that pass `filters`.
    ///
    /// # Errors
    /// If it cannot listen on an address.
    pub fn start(
        settings: &Settings,
        table: Arc<Table>,
        filters: Filters,
        (report, figures): (Report, Figures),
        mut taken: Vec<Listener>,
    ) -> Result<Self, ListenError> {
        let (mut listeners, mut addresses, mut handover) = (Vec::new(), Vec::new(), Vec::new());
        for address in settings.addresses() {
            let failed = |source| ListenError::Bind { address, source };
            let listener = match taken.iter().position(|(of, _)| *of == address) {
                Some(place) => taken.swap_remove(place).1,
                None => listen(address).map_err(failed)?,
            };
            addresses.push(listener.local_addr().map_err(failed)?);
            handover.push((address, listener.try_clone().map_err(failed)?));
            listeners.push(listener);
        }
        let patience = Patience {
            header: settings.header_timeout.get(),
            keep_alive: settings.keep_alive.get(),
            write: settings.write_timeout.get(),
        };
        let protocols = Protocols::new(patience, settings.max_header_bytes.get() as usize);
        let gateway = Arc::new(Gateway::new(settings, table, filters, report, figures));
        let stop = gateway.stopping.token();
        let threads = match settings.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let mut workers = Vec::new();
        let mut ended = Vec::new();
        let mut runtimes = Vec::new();
        for _ in 0..threads {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ListenError::Thread)?;
            let (connections, receive) = mpsc::unbounded_channel();
            workers.push(Worker { connections, load: Arc::default() });
            runtimes.push((runtime, receive));
        }
        let places = Places::new(settings.max_connections, settings.max_connections);
        let lingering = Arc::new(Semaphore::new(LINGERING));
        let door = Arc::new(Door { workers, places, lingering, stop: stop.clone() });
        let mut listeners = listeners.into_iter();
        for (index, (runtime, receive)) in runtimes.into_iter().enumerate() {
            // The first thread accepts too; that is little work compared to its connections.
            let own: Vec<_> = if index == 0 { listeners.by_ref().collect() } else { Vec::new() };
            let (end, end_received) = oneshot::channel();
            ended.push(end_received);
            let serving = Serving {
                protocols: protocols.clone(),
                gateway: gateway.clone(),
                load: door.workers[index].load.clone(),
                turns: Turns::default(),
                drain_timeout: settings.drain_timeout.get(),
            };
            let door = (index == 0).then(|| door.clone());
            thread::Builder::new()
                .name(format!("gateway-{index}"))
                .spawn(move || {
                    runtime.block_on(serving.run(receive, own, door));
                    let _ = end.send(());
                    // Connections past the deadline are dropped here.
                    runtime.shutdown_background();
                })
                .map_err(ListenError::Thread)?;
        }
        let (handover, workers) = (Handover::new(handover), Mutex::new(ended));
        Ok(Self { addresses, gateway, handover, workers, drain_timeout: settings.drain_timeout.get() })
    }

    /// The addresses it listens on; the real ports, if 0 was set.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its sockets, for the successor.
    pub fn handover(&self) -> &Handover {
        &self.handover
    }

    /// Cancelled when it begins to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.gateway.stopping.token()
    }

    /// Tells it which credentials end.
    pub fn endings(&self) -> &Endings {
        self.gateway.sockets.endings()
    }

    /// Stops accepting, answers what is in flight (announcing that the connection closes), and returns when
    /// all connections have ended, however long that takes.
    pub async fn drain(&self) {
        self.gateway.stopping.begin();
        self.handover.close();
        let mut workers = self.workers.lock().await;
        while let Some(worker) = workers.last_mut() {
            let _ = worker.await;
            workers.pop();
        }
    }

    /// The same, but requests in flight are cut off after the drain timeout.
    pub async fn stop(self) {
        self.gateway.stopping.hurry();
        // The threads keep the time themselves; this timeout is for threads that hang.
        let _ = tokio::time::timeout(self.drain_timeout + Duration::from_secs(2), self.drain()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gateway.stopping.hurry();
        self.handover.close();
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The work of one thread.
struct Serving {
    protocols: Protocols,
    gateway: Arc<Gateway>,
    load: Arc<AtomicUsize>,
    turns: Turns,
    drain_timeout: Duration,
}

impl Serving {
    async fn run(
        self,
        mut connections: mpsc::UnboundedReceiver<Accepted>,
        listeners: Vec<std::net::TcpListener>,
        door: Option<Arc<Door>>,
    ) {
        if let Some(door) = door {
            for listener in listeners {
                match TcpListener::from_std(listener) {
                    Ok(listener) => drop(tokio::spawn(door.clone().accept(listener))),
                    Err(error) => tracing::error!(%error, "a listener could not be registered"),
                }
            }
        }
        tokio::spawn(self.turns.clone().give());
        let serving = Arc::new(self);
        let tracker = TaskTracker::new();
        // Ends when all acceptors have ended, after the last connection that they accepted.
        while let Some((tcp, address, place)) = connections.recv().await {
            let serving = serving.clone();
            tracker.spawn(async move {
                let _load = Load(serving.load.clone());
                if let Ok(tcp) = TcpStream::from_std(tcp) {
                    let _ = tcp.set_nodelay(true);
                    let peer = Peer::new(address.ip(), &serving.gateway.proxies);
                    let stop = serving.gateway.stopping.token();
                    let (gateway, turns) = (serving.gateway.clone(), serving.turns.clone());
                    place.hold(serving.protocols.serve(tcp, peer, gateway, turns, stop)).await;
                }
            });
        }
        tracker.close();
        let time_is_up = async {
            serving.gateway.stopping.hurried().await;
            tokio::time::sleep(serving.drain_timeout).await;
        };
        tokio::select! {
            biased;
            () = tracker.wait() => {}
            () = time_is_up => tracing::warn!(
                connections = tracker.len(),
                "requests were still in flight at the end of drain_timeout"
            ),
        }
    }
}

impl Door {
    /// Accepts until it is stopped, and then what the system has already accepted.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((tcp, address)) => self.hand_over(tcp, address),
                    // The client disconnected before it was accepted.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::warn!(%error, "connections cannot be accepted at the moment");
                        tokio::time::sleep(REST).await;
                    }
                }
            }
        }
        // Directly from the system: the runtime may not know yet what is waiting.
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((tcp, address)) = listener.accept() {
            if tcp.set_nonblocking(true).is_ok()
                && let Ok(tcp) = TcpStream::from_std(tcp)
            {
                self.hand_over(tcp, address);
            }
        }
    }

    fn hand_over(&self, tcp: TcpStream, address: SocketAddr) {
        let load = |worker: &Worker| worker.load.load(Ordering::Relaxed);
        let Ok(place) = self.places.take(Holder::Address(network(address.ip()))) else {
            let _ = tcp.try_write(&plain(busy()));
            // Detached and short: it must not delay the next one.
            if let Ok(one) = self.lingering.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    linger(tcp).await;
                    drop(one);
                });
            }
            return;
        };
        let Some(worker) = self.workers.iter().min_by_key(|worker| load(worker)) else { return };
        if let Ok(tcp) = tcp.into_std() {
            worker.load.fetch_add(1, Ordering::Relaxed);
            if worker.connections.send((tcp, address, place)).is_err() {
                worker.load.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// Counts a connection until it ends.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
