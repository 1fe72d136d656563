//! Starts a run of a plugin, in this process or in its own, within its deadline.
//!
//! Plugin code runs on threads that it may block, never on those that the kernel needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryFutureExt};
use streamgate_health::Phase;
use streamgate_isolation::{ChildSpec, Limits};
use streamgate_plugin_api::abi::{Extra, HostHandle, Instance, RResult, StartArgs};
use streamgate_services::Offers;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::edition::Planned;
use crate::host::HostSide;
use crate::parts::Parts;
use crate::run::{Entry, Run, Supervisor};

/// How long the kernel waits for a thread that ignores its deadline.
const GRACE: Duration = Duration::from_millis(500);
/// How much earlier than its stop_deadline a child is killed, so that it has ended by then.
const BEFORE_THE_DEADLINE: Duration = Duration::from_millis(500);

/// Starts a run beside the active one, `old`, and lets it take over. Without an `Ok` nothing has changed. The
/// caller holds `entry.change`.
pub(crate) async fn launch(
    (parts, number): (&Arc<Parts>, u64),
    supervisor: Arc<dyn Supervisor>,
    entry: &Arc<Entry>,
    planned: Arc<Planned>,
    old: Option<&Arc<Run>>,
) -> Result<(), String> {
    let began = Instant::now();
    let offers = Offers::new(number, old.is_none());
    let (parts, (retired, process, instance)) = (parts.clone(), Default::default());
    let run = Arc::new(Run { number, parts, planned, offers, retired, process, instance });
    match start(supervisor, entry, &run).await {
        Ok(instance) => *run.instance.lock() = Some(Arc::new(instance)),
        Err(reason) => {
            run.withdraw();
            return Err(reason);
        }
    }
    run.activate(entry, old.map(|old| &**old));
    let (plugin, version) = (&run.planned.name, &run.planned.library.manifest.version);
    tracing::info!(plugin, version, millis = began.elapsed().as_millis() as u64, "plugin started");
    run.parts.runtime.spawn(run.clone().keep_asking());
    Ok(())
}

async fn start(
    supervisor: Arc<dyn Supervisor>,
    entry: &Arc<Entry>,
    run: &Arc<Run>,
) -> Result<Instance, String> {
    let kernel = run.parts.settings.load_full();
    let deadline = run.planned.keys.start_deadline.unwrap_or(kernel.start_deadline).get();
    let host = HostHandle::new(HostSide::new(supervisor.clone(), entry.clone(), run.clone()));
    let runtime = run.parts.runtime.clone();
    let (own, run) = (entry.clone(), run.clone());
    let parts = run.parts.clone();
    let over = CancellationToken::new();
    let given_up = over.clone();
    let starting = parts.runtime.spawn_blocking(move || {
        let planned = run.planned.clone();
        let dir = std::path::absolute(kernel.data_dir.join(&planned.name));
        let dir = dir.and_then(|dir| streamgate_control::private_dir(&dir).map(|()| dir));
        let dir = dir.map_err(|error| format!("its data directory cannot be created: {error}"))?;
        let args = StartArgs {
            name: planned.name.as_str().into(),
            settings: planned.settings.as_str().into(),
            data_dir: dir.to_str().ok_or("its data directory's path is not UTF-8")?.into(),
            extra: Extra::default(),
        };
        let started = match planned.library.is_apart() {
            true => start_apart(supervisor, own, run, host, args).boxed(),
            false => planned.library.start(host, args).map(RResult::into_result).err_into().boxed(),
        };
        runtime.block_on(given_up.run_until_cancelled(started)).transpose()
    });
    tokio::pin!(starting);
    let reason = tokio::select! {
        biased;
        joined = &mut starting => return made(joined, "ended without an answer"),
        reason = called_off(&parts, entry) => reason,
        () = tokio::time::sleep(deadline) => format!("did not start within {deadline:?} (start_deadline)"),
    };
    over.cancel();
    match tokio::time::timeout(GRACE, &mut starting).await {
        // It may have started after all.
        Ok(joined) => made(joined, &reason),
        // It may start when it is no longer expected; then it ends with its process.
        Err(_) => Err(format!("it blocks its thread and {reason}")),
    }
}

/// Starts a run's plugin in a child. If the child ends unexpectedly, the run has failed.
async fn start_apart(
    supervisor: Arc<dyn Supervisor>,
    entry: Arc<Entry>,
    run: Arc<Run>,
    host: HostHandle,
    args: StartArgs,
) -> Result<Instance, String> {
    let (settings, planned) = (run.parts.settings.load_full(), &run.planned);
    let (keys, process) = (&planned.keys, planned.keys.process.clone());
    let limits = Limits {
        memory: process.memory.map(|memory| memory.get()),
        cpu_seconds: process.cpu_time.map(|time| time.get().as_secs().max(1)),
        open_files: process.open_files,
        network: process.network,
        read: process.read,
        write: process.write,
    };
    let spec = ChildSpec {
        plugin: planned.name.clone(),
        program: "/proc/self/exe".into(),
        args: vec!["isolated".into(), planned.name.clone().into()],
        cdylib: Some(planned.library.copy.clone()),
        log: keys.log.clone().unwrap_or_default(),
        limits,
        grace: keys.stop_deadline.unwrap_or(settings.stop_deadline).get().saturating_sub(BEFORE_THE_DEADLINE),
    };
    let started = streamgate_isolation::start(spec, host, args).await?;
    let _ = run.process.set(started.pid);
    tokio::spawn(async move {
        let exit = started.exited.wait().await;
        if !exit.expected {
            let reason = format!("its process {}", exit.reason);
            entry.fault(reason.clone());
            supervisor.failed(&entry, &run, reason);
        }
    });
    Ok(started.instance)
}

/// Why a start in progress is abandoned.
async fn called_off(parts: &Parts, entry: &Entry) -> String {
    // The first start is completed: others wait for it, and the process may depend on it.
    let mut phase = parts.phase.subscribe();
    let begun = phase.wait_for(|phase| *phase != Phase::Starting);
    let who = tokio::select! {
        () = parts.stopping.cancelled() => "streamgate stops",
        () = begun.then(|_| entry.change.claimed()) => "a change of it was requested",
    };
    format!("was cancelled, because {who}")
}

/// The result of a start: `None` if it was ended for the `reason`.
fn made(
    joined: Result<Result<Option<Instance>, String>, JoinError>,
    reason: &str,
) -> Result<Instance, String> {
    joined.unwrap_or_else(|error| Err(error.to_string()))?.ok_or_else(|| format!("it {reason}"))
}
