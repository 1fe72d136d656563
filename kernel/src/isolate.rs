//! A plugin in a process of its own: what the kernel lets it use, and what becomes of its end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use streamgate_isolation::{ChildSpec, Limits};
use streamgate_plugin_api::abi::{HostHandle, Instance, StartArgs};

use crate::lifecycle::{Entry, Kernel, Run};
use crate::loader::{self, Library};

/// How much earlier than its stop_deadline a child is killed, so that it is gone when that is over.
const BEFORE_THE_DEADLINE: Duration = Duration::from_millis(500);

/// Starts a run's plugin in a child. Should the child end by itself, the run has failed.
pub(crate) async fn start(
    kernel: Arc<Kernel>,
    entry: Arc<Entry>,
    run: Arc<Run>,
    host: HostHandle,
    args: StartArgs,
) -> Result<Instance, String> {
    let (settings, planned) = (kernel.settings.load_full(), &run.planned);
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
            *entry.last_fault.lock() = Some((SystemTime::now(), reason.clone()));
            kernel.failed(&entry, &run, reason);
        }
    });
    Ok(started.instance)
}

/// The whole life of the child.
pub(crate) fn child() -> ExitCode {
    loader::give_back_large_blocks();
    loader::let_faults_end_this();
    streamgate_isolation::child(|loading| {
        let path = loading.cdylib.ok_or("it has no cdylib")?;
        let library = Library::open_untried(loading.plugin, path, path).map_err(|error| error.to_string())?;
        Ok(move |host, args| library.start(host, args))
    })
}
