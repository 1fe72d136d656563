//! The host of the tested plugin: it has no other plugins, and records the plugin's calls.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use async_ffi::FutureExt;
use parking_lot::Mutex;
use streamgate_plugin_api::abi::{
    Event, EventSource, Extra, FfiFuture, HealthState, HostApi, LogRecord, Mounts, RResult, RString, RVec,
    Service, SubscribeOptions, Subscription,
};
use streamgate_plugin_api::refusal::Refusal;
use streamgate_plugin_api::{Body, HttpService, Manifest, Problem, problems};
use streamgate_services::Rights;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

const INFO: u8 = 3;

/// The plugin's calls so far. Everything in it is counted or bounded: a plugin that floods its host does not
/// fill the memory.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) logs: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) first_panic: Mutex<Option<String>>,
    pub(crate) health: Mutex<BTreeMap<String, (HealthState, String)>>,
    pub(crate) public: Mutex<Option<Service>>,
    pub(crate) provided: Mutex<BTreeMap<String, Service>>,
    /// Refused accesses.
    pub(crate) refused: Mutex<BTreeSet<(Right, String)>>,
    /// Ends subscriptions, as the kernel's bus does.
    pub(crate) closed: CancellationToken,
}

/// The kinds of rights, each with its own rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    Services,
    Events,
    Mounts,
}

/// Maximum names that are kept, of components and of refusals.
const NAMES: usize = 1000;

pub(crate) struct Recorder {
    record: Arc<Record>,
    rights: Rights,
}

impl HostApi for Recorder {
    fn log_enabled(&self, level: u8, _: &str) -> bool {
        level <= INFO
    }

    fn log(&self, _: &LogRecord<'_>) {
        self.record.logs.fetch_add(1, Relaxed);
    }

    fn serve(&self, service: Service) {
        *self.record.public.lock() = Some(service);
    }

    fn provide(&self, name: &str, service: Service) -> Result<(), String> {
        self.ask(Right::Services, self.rights.provide(name))?;
        self.record.provided.lock().insert(name.to_owned(), service);
        Ok(())
    }

    fn service(&self, name: &str) -> Service {
        if let Err(reason) = self.ask(Right::Services, self.rights.call(name)) {
            return streamgate_services::refused(reason);
        }
        // Its own, as in the kernel, if it provides it.
        self.record.provided.lock().get(name).cloned().unwrap_or_else(|| nobody(name))
    }

    fn next_mounts(&self, after: u64) -> FfiFuture<Mounts> {
        if self.ask(Right::Mounts, self.rights.mounts()).is_err() {
            return streamgate_services::no_mounts(after);
        }
        async move {
            if after > 0 {
                std::future::pending::<()>().await;
            }
            Mounts { generation: 1, mounts: RVec::new(), extra: Extra::default() }
        }
        .into_ffi()
    }

    fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>> {
        if let Err(reason) = self.ask(Right::Events, self.rights.publish(&event.subject)) {
            return async { RResult::RErr(reason.into()) }.into_ffi();
        }
        self.record.events.fetch_add(1, Relaxed);
        async { RResult::ROk(()) }.into_ffi()
    }

    fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String> {
        self.ask(Right::Events, self.rights.subscribe(&options.subject))?;
        Ok(Subscription::new(Silence(Box::pin(self.record.closed.clone().cancelled_owned()))))
    }

    fn set_health(&self, component: &str, state: HealthState, reason: &str) {
        let mut health = self.record.health.lock();
        if health.len() < NAMES || health.contains_key(component) {
            health.insert(component.to_owned(), (state, reason.to_owned()));
        }
    }

    fn report(&self) -> String {
        r#"{"status":"healthy","ready":true,"plugins":[]}"#.to_owned()
    }

    fn panicked(&self, message: &str, location: &str) {
        self.record.panics.fetch_add(1, Relaxed);
        self.record.first_panic.lock().get_or_insert_with(|| format!("{message} ({location})"));
    }
}

impl Recorder {
    pub(crate) fn new(record: Arc<Record>, manifest: &Manifest) -> Self {
        Self { record, rights: Rights::of(manifest) }
    }

    fn ask(&self, right: Right, answer: Result<(), Refusal>) -> Result<(), String> {
        answer.map_err(|refusal| {
            let mut refused = self.record.refused.lock();
            if refused.len() < NAMES {
                refused.insert((right, format!("{}: {}", refusal.asked, refusal.reason)));
            }
            refusal.reason
        })
    }
}

/// The service of a capability without a provider.
fn nobody(name: &str) -> Service {
    let detail = format!("no plugin provides `{name}` while a plugin is tested alone");
    let answer = move |_: http::Request<Body>| {
        let problem = Problem::of(problems::NO_PROVIDER);
        let response = axum::response::IntoResponse::into_response(problem.detail(detail.clone()));
        async move { Ok::<_, Infallible>(response) }
    };
    tower::service_fn(answer).into_abi()
}

/// A subscription without events.
struct Silence(Pin<Box<WaitForCancellationFutureOwned>>);

impl EventSource for Silence {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.as_mut().poll(cx).map(|()| None)
    }
}
