//! The host as seen by one plugin: each call of the boundary, passed to the responsible part of the kernel.
//! No call blocks, and none panics: a panic that crossed would end the process.

use std::future::Future;
use std::sync::Arc;

use async_ffi::FutureExt;
use streamgate_plugin_api::Manifest;
use streamgate_plugin_api::abi::{
    Event, FfiFuture, HealthState, HostApi, LogRecord, Mounts, RResult, RString, Service, SubscribeOptions,
    Subscription,
};
use tokio_util::context::TokioContext;
use tracing_subscriber::filter::Targets;

use crate::run::{Entry, Run, Supervisor};
use streamgate_control::COMMAND;
use streamgate_log::level;
use streamgate_services::{Guard, Rights, capability, no_mounts, public, refused};

/// One plugin's side of the kernel.
pub(crate) struct HostSide {
    supervisor: Arc<dyn Supervisor>,
    entry: Arc<Entry>,
    run: Arc<Run>,
    filter: Targets,
    guard: Guard,
}

impl HostSide {
    pub(crate) fn new(supervisor: Arc<dyn Supervisor>, entry: Arc<Entry>, run: Arc<Run>) -> Self {
        let filter = run.planned.keys.log.as_deref().unwrap_or_default().parse().unwrap_or_default();
        let manifest = &run.planned.library.manifest;
        let guard = Guard::new(manifest, run.parts.bus.clone(), run.parts.runtime.clone());
        Self { supervisor, entry, run, filter, guard }
    }

    fn name(&self) -> &str {
        &self.run.planned.name
    }

    fn manifest(&self) -> &Manifest {
        &self.run.planned.library.manifest
    }

    /// For futures that need the kernel's timers but are polled by a plugin.
    fn inside<F>(&self, future: F) -> FfiFuture<F::Output>
    where
        F: Future + Send + 'static,
    {
        TokioContext::new(future, self.run.parts.runtime.clone()).into_ffi()
    }
}

impl HostApi for HostSide {
    fn log_enabled(&self, number: u8, target: &str) -> bool {
        self.filter.would_enable(target, &level(number))
    }

    fn log(&self, record: &LogRecord<'_>) {
        self.run.parts.log.write(Some(self.name()), record);
    }

    fn serve(&self, service: Service) {
        if self.manifest().prefixes.is_empty() {
            tracing::warn!(
                plugin = self.name(),
                "serves public routes, but its manifest declares no prefixes"
            );
        }
        self.run.parts.services.offer(&self.run.offers, public(self.name()), service);
    }

    fn provide(&self, name: &str, service: Service) -> Result<(), String> {
        self.guard.ask(|rights| rights.provide(name))?;
        self.run.parts.services.offer(&self.run.offers, capability(name), service);
        Ok(())
    }

    fn service(&self, name: &str) -> Service {
        if let Err(reason) = self.guard.ask(|rights| rights.call(name)) {
            return refused(reason);
        }
        // Commands are reserved for users of the control socket; no plugin may call them.
        let name = if name.starts_with(COMMAND) { "" } else { name };
        self.run.parts.services.service(self.guard.stamp(), name)
    }

    fn next_mounts(&self, after: u64) -> FfiFuture<Mounts> {
        if self.guard.ask(Rights::mounts).is_err() {
            return no_mounts(after);
        }
        self.inside(self.run.parts.services.clone().next_mounts(self.guard.stamp(), self.run.number, after))
    }

    fn publish(&self, event: Event) -> FfiFuture<RResult<(), RString>> {
        if let Err(reason) = self.guard.ask(|rights| rights.publish(&event.subject)) {
            return std::future::ready(RResult::RErr(reason.into())).into_ffi();
        }
        let bus = self.run.parts.bus.clone();
        self.inside(async move {
            bus.publish(event.into()).await.map_err(|error| RString::from(error.to_string())).into()
        })
    }

    fn subscribe(&self, options: SubscribeOptions) -> Result<Subscription, String> {
        let SubscribeOptions { subject, queue, capacity, .. } = options;
        self.guard.ask(|rights| rights.subscribe(&subject))?;
        let active = self.run.offers.lock().is_active();
        let owner = (self.name(), self.run.number, active);
        let receiver = self.run.parts.bus.subscribe(owner, &subject, &queue, capacity);
        receiver.map(Subscription::new).map_err(|error| error.to_string())
    }

    fn set_health(&self, component: &str, state: HealthState, reason: &str) {
        self.run.set_health(component, state.into(), reason);
    }

    fn report(&self) -> String {
        self.supervisor.report()
    }

    fn panicked(&self, message: &str, location: &str) {
        self.supervisor.clone().panicked(&self.entry, &self.run, (message, location), false);
    }

    fn panicked_in_request(&self, message: &str, location: &str) {
        self.supervisor.clone().panicked(&self.entry, &self.run, (message, location), true);
    }
}
