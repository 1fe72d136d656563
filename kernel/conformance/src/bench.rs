//! One plugin in this process: started, called, stopped, each within a deadline.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::Request;
use serde_json::Value;
use streamgate_plugin_api::abi::{Extra, FfiFuture, HostHandle, Instance, Service, StartArgs};
use streamgate_plugin_api::{Body, Client, Manifest};
use tokio::runtime::Handle;

use crate::Loaded;
use crate::host::{Record, Recorder};

/// Why a rule failed.
#[derive(Debug)]
pub(crate) enum No {
    /// The plugin violates it.
    Broken(String),
    /// It cannot be checked here.
    Unshown(String),
}

/// The observation, for people; or why the rule failed.
pub(crate) type Verdict = Result<String, No>;

pub(crate) fn broken<T>(reason: impl Into<String>) -> Result<T, No> {
    Err(No::Broken(reason.into()))
}

pub(crate) fn unshown<T>(reason: impl Into<String>) -> Result<T, No> {
    Err(No::Unshown(reason.into()))
}

pub(crate) struct Bench {
    pub(crate) loaded: Loaded,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) schema: Value,
    /// As JSON text.
    pub(crate) settings: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) deadline: Duration,
    pub(crate) cycles: u32,
}

pub(crate) struct Running {
    pub(crate) instance: Instance,
    pub(crate) record: Arc<Record>,
}

/// A service of the plugin.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Bench {
    /// Starts the plugin; the inner error is its reason not to.
    pub(crate) async fn try_start(
        &self,
        settings: &str,
        record: &Arc<Record>,
    ) -> Result<Result<Instance, String>, No> {
        let host = HostHandle::new(Recorder::new(record.clone(), &self.manifest));
        let args = StartArgs {
            settings: settings.into(),
            name: self.manifest.name.as_str().into(),
            data_dir: self.data_dir.display().to_string().into(),
            extra: Extra::default(),
        };
        let start = self.loaded.start.clone();
        // On a separate thread, because the plugin may block it.
        let started = self.within("start", move || start(host, args)).await?;
        Ok(started.into_result().map_err(String::from))
    }

    /// Starts the plugin with its settings. One that lacks another plugin may refuse.
    pub(crate) async fn start(&self) -> Result<Running, No> {
        let record = Arc::new(Record::default());
        let needs: Vec<_> = self.manifest.requires.iter().map(|name| format!("`{name}`")).collect();
        match self.try_start(&self.settings, &record).await? {
            Ok(instance) => Ok(Running { instance, record }),
            Err(reason) if reason.trim().is_empty() => broken("it did not start and gave no reason"),
            Err(reason) if record.panics.load(Relaxed) > 0 => broken(format!("it did not start: {reason}")),
            Err(reason) if !needs.is_empty() => {
                unshown(format!("needs {}, without which it does not start: {reason}", needs.join(", ")))
            }
            Err(reason) => unshown(format!(
                "does not start with these settings: {reason}; give it others with --set key=value"
            )),
        }
    }

    /// Drains, stops and drops it.
    pub(crate) async fn end(&self, running: Running) -> Result<Arc<Record>, No> {
        let Running { instance, record } = running;
        let instance = Arc::new(instance);
        let draining = instance.clone();
        self.within("drain", move || draining.drain()).await?;
        let stopping = instance.clone();
        self.within("stop", move || stopping.stop()).await?;
        record.closed.cancel();
        record.public.lock().take();
        record.provided.lock().clear();
        let dropped = tokio::task::spawn_blocking(move || drop(instance));
        match tokio::time::timeout(self.deadline, dropped).await {
            Ok(_) => Ok(record),
            Err(_) => broken(format!("its drop did not end within {:?}", self.deadline)),
        }
    }

    /// One of the plugin's entries, on a thread that it may block.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        what: &str,
        entry: impl FnOnce() -> FfiFuture<T> + Send + 'static,
    ) -> Result<T, No> {
        let runtime = Handle::current();
        self.in_time(what, tokio::task::spawn_blocking(move || runtime.block_on(entry())))
            .await?
            .map_err(|error| No::Broken(format!("its {what} panicked across the boundary: {error}")))
    }

    /// A future, within the deadline.
    pub(crate) async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> Result<T, No> {
        match tokio::time::timeout(self.deadline, future).await {
            Ok(answer) => Ok(answer),
            Err(_) => broken(format!("its {what} did not end within {:?}", self.deadline)),
        }
    }

    /// All services: the public prefixes, then the capabilities.
    pub(crate) fn targets(&self, record: &Record) -> Vec<Target> {
        let target =
            |url: String, service: &Service| Target { url, client: Client::from_abi(service.clone()) };
        let public = record.public.lock();
        let mut targets: Vec<_> = public
            .iter()
            .flat_map(|service| {
                self.manifest.prefixes.iter().map(move |prefix| target(prefix.clone(), service))
            })
            .collect();
        let provided = record.provided.lock();
        targets.extend(provided.iter().map(|(name, service)| target(format!("http://{name}/"), service)));
        targets
    }

    /// Sends one request and reads the beginning of its response.
    pub(crate) async fn ask(
        &self,
        target: &Target,
        method: &str,
        below: &str,
        body: &'static str,
    ) -> Result<(), No> {
        let url = format!("{}{below}", target.url.trim_end_matches('/'));
        let url = if url.is_empty() { "/".to_owned() } else { url };
        let what = format!("answer to {method} {url}");
        let request = Request::builder().method(method).uri(&url).header("host", "conformance");
        let request = request.body(Body::from(body)).map_err(|error| No::Broken(error.to_string()))?;
        let response = self.in_time(&what, target.client.send(request)).await?;
        let response =
            response.map_err(|error| No::Broken(format!("its {what} violates the boundary: {error}")))?;
        // A body may be endless, such as a stream of events; then it is dropped half way.
        let _ =
            tokio::time::timeout(Duration::from_millis(200), response.into_body().collect_bytes(64 << 10))
                .await;
        Ok(())
    }

    /// A few requests to every service: existing and missing paths, and invalid requests.
    pub(crate) async fn ask_all(&self, record: &Record) -> Result<usize, No> {
        let targets = self.targets(record);
        for target in &targets {
            self.ask(target, "GET", "", "").await?;
            self.ask(target, "GET", "/no/such%20thing?x=%ff", "").await?;
            self.ask(target, "POST", "", "{\"half\": ").await?;
            self.ask(target, "DELETE", "/%2e%2e/%2e%2e", "").await?;
        }
        Ok(targets.len() * 4)
    }
}
