//! The child as a process of the system: spawning, watching, ending and reaping it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{ChildSpec, stderr};

/// How long a child may live after its connection ended.
const SILENT: Duration = Duration::from_secs(1);

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Text that follows the plugin's name: `was killed by SIGSEGV (segmentation fault)`.
    pub reason: String,
    /// Whether it ended because `stop` was called, or its instance dropped.
    pub expected: bool,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

/// Starts processes. A thread that never ends: the system notifies a child of its parent's death when the
/// *thread* that created it ends.
fn spawner() -> &'static mpsc::SyncSender<Order> {
    static SPAWNER: OnceLock<mpsc::SyncSender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, incoming) = mpsc::sync_channel::<Order>(64);
        let work = move || {
            for Order { mut command, runtime, answer } in incoming {
                let _runtime = runtime.enter();
                let _ = answer.send(command.spawn());
            }
        };
        // Without the thread its channel is closed, and every spawn fails.
        let _ = std::thread::Builder::new().name("spawner".to_owned()).spawn(work);
        orders
    })
}

struct Order {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<std::io::Result<Child>>,
}

/// The directories of one run.
pub(crate) struct Dirs {
    pub(crate) data: PathBuf,
    temporary: PathBuf,
    cache: PathBuf,
}

impl Dirs {
    /// Creates them below the plugin's data directory, and removes those of former processes.
    pub(crate) fn make(data: &Path) -> std::io::Result<Self> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        static PROCESS: OnceLock<String> = OnceLock::new();
        let process = PROCESS.get_or_init(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            format!("{}-{}", std::process::id(), since.unwrap_or_default().as_nanos())
        });
        let below = data.join(".tmp");
        std::fs::create_dir_all(&below)?;
        for entry in std::fs::read_dir(&below)?.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(process.as_str()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let temporary = below.join(format!("{process}-{}", RUNS.fetch_add(1, Relaxed)));
        let cache = data.join(".cache");
        std::fs::create_dir_all(&temporary)?;
        std::fs::create_dir_all(&cache)?;
        Ok(Self { data: data.to_owned(), temporary, cache })
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

/// Spawns the child with its ends of the sockets as stdin and stdout.
pub(crate) async fn spawn(
    spec: &ChildSpec,
    dirs: &Dirs,
    requests: UnixStream,
    host: UnixStream,
) -> Result<Child, String> {
    let mut command = Command::new(&spec.program);
    command
        .arg0("streamgate")
        .args(&spec.args)
        .stdin(Stdio::from(OwnedFd::from(requests)))
        .stdout(Stdio::from(OwnedFd::from(host)))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .env("HOME", &dirs.data)
        .env("TMPDIR", &dirs.temporary)
        .env("XDG_CACHE_HOME", &dirs.cache);
    // The allocator keeps free memory per thread that used it: with video frames that is a lot, and there are
    // many threads.
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        command.env("MALLOC_ARENA_MAX", "1");
    }
    // They may contain secrets of other plugins.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMGATE_") {
            command.env_remove(name);
        }
    }
    let (answer, spawned) = oneshot::channel();
    let failed = |error: &dyn std::fmt::Display| {
        format!("its process {} cannot be started: {error}", spec.program.display())
    };
    let order = Order { command, runtime: Handle::current(), answer };
    spawner().try_send(order).map_err(|error| failed(&error))?;
    spawned.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// Requests to the watcher of the child.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// The plugin has been asked to stop: the child has the grace period to end.
    pub(crate) stop: CancellationToken,
    /// It is no longer needed.
    pub(crate) kill: CancellationToken,
    /// Its connection ended.
    pub(crate) silent: CancellationToken,
}

/// Watches the child until its end, and reaps it.
pub(crate) async fn watch(
    mut child: Child,
    dirs: Dirs,
    grace: Duration,
    orders: Orders,
    last_words: Arc<stderr::LastWords>,
    exit: watch::Sender<Option<Exit>>,
) {
    let kills = out_of_memory_kills();
    let mut ended_by_us = None;
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        () = orders.kill.cancelled() => None,
        () = async { orders.silent.cancelled().await; tokio::time::sleep(SILENT).await } => {
            ended_by_us = Some("lost its connection to the host, and was killed");
            None
        }
        () = async { orders.stop.cancelled().await; tokio::time::sleep(grace).await } => {
            ended_by_us = Some("did not stop in time, and was killed");
            None
        }
    };
    let status = match ended {
        Some(status) => status,
        None => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    // Its last output may contain the reason; the pipe is empty soon, unless a grandchild holds it.
    let _ = tokio::time::timeout(Duration::from_millis(200), last_words.ended()).await;
    let expected = orders.stop.is_cancelled() || orders.kill.is_cancelled();
    let killed_by_system = out_of_memory_kills() > kills;
    let exit_now = match status {
        Ok(status) => {
            let reason = match ended_by_us {
                Some(reason) => reason.to_owned(),
                None => in_words(status, killed_by_system, &last_words.get()),
            };
            Exit { reason, expected, code: status.code(), signal: status.signal() }
        }
        Err(error) => {
            Exit { reason: format!("cannot be awaited: {error}"), expected, code: None, signal: None }
        }
    };
    drop(dirs);
    exit.send_replace(Some(exit_now));
}

/// How many processes the system has killed for lack of memory since boot.
fn out_of_memory_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn in_words(status: ExitStatus, killed_by_system: bool, last_words: &str) -> String {
    let out_of_memory = last_words.contains("memory allocation of") || last_words.contains("out of memory");
    let mut text = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (_, Some(libc::SIGXCPU)) => "was ended by SIGXCPU: its limit of processor time is used up".to_owned(),
        (_, Some(libc::SIGKILL)) if killed_by_system => {
            "was killed by SIGKILL: the system has run out of memory".to_owned()
        }
        (_, Some(libc::SIGABRT)) if out_of_memory => {
            "was ended by SIGABRT: it has run out of memory (its limit, or the system's)".to_owned()
        }
        (_, Some(signal)) => format!("was killed by {}", signal_name(signal)),
        (None, None) => format!("ended: {status}"),
    };
    if !last_words.is_empty() && !status.success() {
        text = format!("{text}; its last words: {last_words}");
    }
    text
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV (segmentation fault)",
        libc::SIGABRT => "SIGABRT (it called abort)",
        libc::SIGBUS => "SIGBUS (bus error)",
        libc::SIGILL => "SIGILL (illegal instruction)",
        libc::SIGFPE => "SIGFPE (arithmetic fault)",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS (forbidden system call)",
        libc::SIGINT => "SIGINT",
        libc::SIGHUP => "SIGHUP",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGXFSZ => "SIGXFSZ (file too large)",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_described_in_words() {
        let told = |raw, oom, words: &str| in_words(ExitStatus::from_raw(raw), oom, words);
        assert_eq!(told(0, false, "x"), "exited with code 0");
        assert!(told(3 << 8, false, "why").ends_with("exited with code 3; its last words: why"));
        assert!(told(libc::SIGSEGV, false, "").contains("SIGSEGV"));
        assert!(told(libc::SIGXCPU, false, "").contains("processor time"));
        assert!(told(libc::SIGKILL, true, "").contains("memory"));
        assert!(told(libc::SIGABRT, false, "memory allocation of 9 bytes failed").contains("out of memory"));
    }
}
