//! Who answers: the internal service of each capability, and the public one of each plugin.
//!
//! What a plugin gets is a handle to a slot, good for ever: it finds whoever fills the slot at
//! the moment of a request, and answers 503 while nobody does. A request goes from one plugin to
//! the other without stopping here; nothing looks into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_ffi::FutureExt;
use http::StatusCode;
use http::header::RETRY_AFTER;
use parking_lot::Mutex;
use streamgate_plugin_api::Problem;
use streamgate_plugin_api::abi::{CallService, FfiFuture, Mount, Mounts, Request, Response, Service};
use tokio::sync::watch;

/// A place for a service.
struct Slot {
    /// `the capability "x"` or `the plugin "x"`, for the answer when it is empty.
    what: String,
    present: ArcSwapOption<Provider>,
}

struct Provider {
    plugin: String,
    service: Service,
}

/// The stable handle.
struct Handle(Arc<Slot>);

impl CallService for Handle {
    fn call(&self, request: Request) -> FfiFuture<Response> {
        match &*self.0.present.load() {
            Some(provider) => provider.service.call(request),
            None => {
                let problem =
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Service unavailable")
                        .detail(format!("{} is not running", self.0.what))
                        .header(RETRY_AFTER, "1");
                std::future::ready(problem.into_abi()).into_ffi()
            }
        }
    }
}

/// All slots.
pub(crate) struct Services {
    /// By what they are for.
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// Prefix and plugin.
    mounts: Vec<(String, String)>,
    generation: watch::Sender<u64>,
}

impl Services {
    /// The slots of these public prefixes, each with its plugin.
    pub(crate) fn new(mounts: Vec<(String, String)>) -> Self {
        Self { slots: Mutex::default(), mounts, generation: watch::Sender::new(1) }
    }

    fn slot(&self, kind: &str, name: &str) -> Arc<Slot> {
        let what = format!("the {kind} \"{name}\"");
        let empty = || Arc::new(Slot { what: what.clone(), present: ArcSwapOption::empty() });
        self.slots.lock().entry(what.clone()).or_insert_with(empty).clone()
    }

    fn fill(slot: &Slot, plugin: &str, service: Service) {
        slot.present.store(Some(Arc::new(Provider { plugin: plugin.to_owned(), service })));
    }

    /// Fills the slot of a capability, instead of whoever filled it before.
    pub(crate) fn provide(&self, plugin: &str, capability: &str, service: Service) {
        Self::fill(&self.slot("capability", capability), plugin, service);
    }

    /// Fills the public slot of a plugin.
    pub(crate) fn serve(&self, plugin: &str, service: Service) {
        Self::fill(&self.slot("plugin", plugin), plugin, service);
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Empties all slots that a plugin fills.
    pub(crate) fn remove_plugin(&self, plugin: &str) {
        for slot in self.slots.lock().values() {
            if slot.present.load().as_ref().is_some_and(|provider| provider.plugin == plugin) {
                slot.present.store(None);
            }
        }
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// The handle of a capability.
    pub(crate) fn service(&self, capability: &str) -> Service {
        Service::new(Handle(self.slot("capability", capability)))
    }

    /// All public prefixes, once their generation is greater than `after`. A prefix whose plugin
    /// does not run is among them, and answers 503.
    pub(crate) async fn next_mounts(self: Arc<Self>, after: u64) -> Mounts {
        let mut changes = self.generation.subscribe();
        // The sender is ours, so the wait ends with a generation.
        let generation =
            changes.wait_for(|generation| *generation > after).await.map_or(after, |found| *found);
        let mounts = self.mounts.iter().map(|(prefix, plugin)| {
            let service = Service::new(Handle(self.slot("plugin", plugin)));
            Mount { plugin: plugin.as_str().into(), prefix: prefix.as_str().into(), service }
        });
        Mounts { generation, mounts: mounts.collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use streamgate_plugin_api::abi::{Body, RequestHead, ResponseHead};

    struct Answer(u16);

    impl CallService for Answer {
        fn call(&self, _: Request) -> FfiFuture<Response> {
            let (mut parts, ()) = http::Response::new(()).into_parts();
            parts.status = http::StatusCode::from_u16(self.0).unwrap();
            let response = Response { head: ResponseHead::encode(&parts), body: Body::empty() };
            async move { response }.into_ffi()
        }
    }

    fn status(service: &Service) -> u16 {
        let (parts, ()) = http::Request::new(()).into_parts();
        let request = Request { head: RequestHead::encode(&parts), body: Body::empty() };
        service.call(request).now_or_never().unwrap().head.decode().unwrap().status.as_u16()
    }

    #[test]
    fn a_handle_finds_whoever_provides_at_the_moment() {
        let services = Services::new(vec![]);
        let handle = services.service("x");
        assert_eq!(status(&handle), 503);
        services.provide("a", "x", Service::new(Answer(201)));
        assert_eq!(status(&handle), 201);
        services.provide("b", "x", Service::new(Answer(202)));
        services.remove_plugin("a");
        assert_eq!(status(&handle), 202);
        services.remove_plugin("b");
        assert_eq!(status(&handle), 503);
    }

    #[test]
    fn mounts_name_every_prefix_and_come_again_when_something_changed() {
        let services = Arc::new(Services::new(vec![("/a".into(), "a".into()), ("/b".into(), "b".into())]));
        let first = services.clone().next_mounts(0).now_or_never().unwrap();
        assert_eq!(first.mounts.iter().map(|mount| mount.prefix.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(status(&first.mounts[0].service), 503);
        let mut next = Box::pin(services.clone().next_mounts(first.generation));
        assert!((&mut next).now_or_never().is_none());
        services.serve("a", Service::new(Answer(200)));
        assert!(next.now_or_never().unwrap().generation > first.generation);
        assert_eq!(status(&first.mounts[0].service), 200);
    }
}
