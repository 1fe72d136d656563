//! The services: the internal one of each capability, and the public one of each plugin.
//!
//! A plugin gets a handle to a slot, valid forever: it finds the current occupant of the slot for each
//! request. An empty slot answers 503, or lets the request wait if it is held for a successor. A request goes
//! from one plugin to the other without stopping here; its content is not inspected.

mod guard;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_ffi::FutureExt;
use http::HeaderName;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use parking_lot::Mutex;
use streamgate_plugin_api::abi::{
    CallService, Extra, FfiFuture, Mount, Mounts, Request, Response, Service, Stamp,
};
use streamgate_plugin_api::{Problem, problems};
use tokio::sync::watch;

pub use self::guard::{Guard, no_mounts};
pub use self::rights::Rights;

/// The gRPC fields of status and message, and `UNAVAILABLE`.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const UNAVAILABLE: &str = "14";

const PERMISSION_DENIED: &str = "7";

/// A gRPC client expects a problem in gRPC fields.
fn in_its_words(request: Request, problem: Problem, code: &'static str, reason: &str) -> Problem {
    let head = request.head.decode();
    let kind = head.as_ref().ok().and_then(|head| head.headers.get(CONTENT_TYPE));
    match kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        true => problem.header(GRPC_STATUS, code).header(GRPC_MESSAGE, reason),
        false => problem,
    }
}

/// The service for a plugin without the right to call a capability.
struct Refused(String);

impl CallService for Refused {
    fn call(&self, request: Request) -> FfiFuture<Response> {
        let problem = Problem::of(problems::NOT_GRANTED);
        let problem = problem.detail(self.0.as_str());
        let response = in_its_words(request, problem, PERMISSION_DENIED, &self.0).into_abi();
        std::future::ready(response).into_ffi()
    }
}

/// A slot for a service.
struct Slot {
    /// `the capability "x"` or `the plugin "x"`, for the answer when it is empty.
    what: String,
    present: ArcSwapOption<Provider>,
    /// The plugin whose start requests wait for while the slot is empty.
    held: watch::Sender<Option<Stamp>>,
    back: Mutex<Back>,
}

/// When an empty slot will be filled, as far as that is known.
#[derive(Debug, Clone, Copy)]
enum Back {
    /// It is starting, or has just stopped.
    Soon,
    At(Instant),
    Unknown,
}

struct Provider {
    run: u64,
    service: Service,
}

impl Slot {
    /// The answer of an empty slot.
    fn absent(&self, request: Request) -> Response {
        let reason = format!("{} is not running", self.what);
        let mut problem = Problem::of(problems::UNAVAILABLE).detail(reason.as_str());
        let seconds = match *self.back.lock() {
            Back::Soon => Some(1),
            // Rounded up, so that a retry finds it.
            Back::At(at) => Some(at.saturating_duration_since(Instant::now()).as_secs() + 1),
            Back::Unknown => None,
        };
        if let Some(seconds) = seconds {
            problem = problem.header(RETRY_AFTER, seconds.to_string());
        }
        in_its_words(request, problem, UNAVAILABLE, &reason).into_abi()
    }

    async fn wait(self: Arc<Self>, request: Request) -> Response {
        // The holder of a slot releases it, at the latest when its plugin's deadlines are over.
        let _ = self.held.subscribe().wait_for(Option::is_none).await;
        // Not locked while waiting.
        let call = match &*self.present.load() {
            Some(provider) => provider.service.call(request),
            None => return self.absent(request),
        };
        call.await
    }
}

/// The stable handle of one caller.
struct Handle(Arc<Slot>, Stamp);

impl CallService for Handle {
    fn call(&self, mut request: Request) -> FfiFuture<Response> {
        request.head.stamp(&self.1);
        if let Some(provider) = &*self.0.present.load() {
            return provider.service.call(request);
        }
        // A plugin that calls itself while it starts would wait for its own start.
        if self.0.held.borrow().as_ref().is_some_and(|starting| *starting != self.1) {
            return self.0.clone().wait(request).into_ffi();
        }
        // It may have been filled and released between these two checks.
        match &*self.0.present.load() {
            Some(provider) => provider.service.call(request),
            None => std::future::ready(self.0.absent(request)).into_ffi(),
        }
    }
}

/// A service that refuses every request, with this reason.
pub fn refused(reason: String) -> Service {
    Service::new(Refused(reason))
}

/// The services of one run of a plugin. They take effect once the run is active.
pub struct Offers {
    run: u64,
    active: bool,
    /// By the key of their slots.
    services: BTreeMap<String, Service>,
}

impl Offers {
    /// None yet. Each run has a unique number; one without a predecessor is active at once.
    pub fn new(run: u64, active: bool) -> Mutex<Self> {
        Mutex::new(Self { run, active, services: BTreeMap::new() })
    }

    /// Whether its services are in their slots.
    pub fn is_active(&self) -> bool {
        self.active
    }
}

/// The key of the slot of a capability.
pub fn capability(name: &str) -> String {
    format!("the capability \"{name}\"")
}

/// The key of a plugin's public slot.
pub fn public(plugin: &str) -> String {
    format!("the plugin \"{plugin}\"")
}

/// All slots.
pub struct Services {
    /// By capability or plugin.
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// Prefix and plugin.
    mounts: Mutex<Vec<(String, String)>>,
    /// Services removed from their slots that a caller may be about to call.
    leaving: Mutex<Vec<Arc<Provider>>>,
    generation: watch::Sender<u64>,
    /// The runs that route by the prefixes, and the generation that each has applied.
    routers: watch::Sender<BTreeMap<u64, u64>>,
}

/// Lets requests wait for the slots that a run filled, until it is dropped.
pub struct Held(Vec<Arc<Slot>>);

impl Drop for Held {
    fn drop(&mut self) {
        for slot in &self.0 {
            slot.held.send_replace(None);
        }
    }
}

impl Default for Services {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            mounts: Mutex::default(),
            leaving: Mutex::default(),
            generation: watch::Sender::new(1),
            routers: watch::Sender::default(),
        }
    }
}

impl Services {
    /// Sets which plugin answers under which public prefix.
    pub fn mount(&self, mounts: Vec<(String, String)>) {
        *self.mounts.lock() = mounts;
        self.changed();
    }

    fn changed(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn slot(&self, key: String) -> Arc<Slot> {
        let empty = |what| {
            let (present, held) = (ArcSwapOption::empty(), watch::Sender::new(None));
            Arc::new(Slot { what, present, held, back: Mutex::new(Back::Soon) })
        };
        self.slots.lock().entry(key).or_insert_with_key(|key| empty(key.clone())).clone()
    }

    fn fill(&self, key: &str, run: u64, service: &Service) {
        let provider = Provider { run, service: service.clone() };
        self.put(&self.slot(key.to_owned()), Some(Arc::new(provider)));
    }

    /// Sets when a stopped plugin is expected to answer again, publicly and for its capabilities; `None`:
    /// unknown. It applies until the plugin is back.
    pub fn expect(&self, plugin: &str, provides: &[String], within: Option<Duration>) {
        let back = within.map_or(Back::Unknown, |within| Back::At(Instant::now() + within));
        for key in provides.iter().map(|name| capability(name)).chain([public(plugin)]) {
            let slot = self.slot(key);
            if slot.present.load().is_none() {
                *slot.back.lock() = back;
            }
        }
    }

    fn put(&self, slot: &Slot, provider: Option<Arc<Provider>>) {
        if provider.is_some() {
            *slot.back.lock() = Back::Soon;
        }
        self.leaving.lock().extend(slot.present.swap(provider));
    }

    /// Waits until every request that has found a service of this replaced run has reached it.
    pub async fn left(&self, run: u64) {
        // A caller keeps the content of a slot locked until the call is made.
        let called = || {
            let leaving = self.leaving.lock();
            leaving.iter().filter(|it| it.run == run).all(|it| Arc::strong_count(it) == 1)
        };
        while !called() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Adds to a run's services: in effect at once if it is active, else with all the rest.
    pub fn offer(&self, offers: &Mutex<Offers>, key: String, service: Service) {
        let mut offers = offers.lock();
        if offers.active {
            self.fill(&key, offers.run, &service);
            self.changed();
        }
        offers.services.insert(key, service);
    }

    /// Fills the slots with all services of a run, and removes what is left of `old`.
    pub fn activate(&self, offers: &Mutex<Offers>, old: Option<&Mutex<Offers>>) {
        let mut offers = offers.lock();
        offers.active = true;
        for (key, service) in &offers.services {
            self.fill(key, offers.run, service);
        }
        drop(offers);
        if let Some(old) = old {
            self.withdraw(old);
        }
        self.changed();
    }

    /// Empties all slots that a run fills.
    pub fn withdraw(&self, offers: &Mutex<Offers>) {
        let mut offers = offers.lock();
        offers.active = false;
        self.filled_by(offers.run).iter().for_each(|slot| self.put(slot, None));
        self.changed();
    }

    /// Empties them, and drops all services of the run: what they hold ends with them.
    pub fn forget(&self, offers: &Mutex<Offers>) {
        self.withdraw(offers);
        let (run, services) = {
            let mut offers = offers.lock();
            (offers.run, std::mem::take(&mut offers.services))
        };
        self.routers.send_modify(|routers| _ = routers.remove(&run));
        let gone: Vec<_> = self.leaving.lock().extract_if(.., |provider| provider.run == run).collect();
        // Dropping them runs code of the plugin: not under the lock.
        drop((services, gone));
    }

    /// Lets requests wait for a successor in the slots that a run of a plugin fills, except those of the
    /// plugin itself, whose stamp is given.
    pub fn hold(&self, offers: &Mutex<Offers>, plugin: &Stamp) -> Held {
        let slots = self.filled_by(offers.lock().run);
        slots.iter().for_each(|slot| _ = slot.held.send_replace(Some(plugin.clone())));
        Held(slots)
    }

    fn filled_by(&self, run: u64) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock();
        let filled = |slot: &&Arc<Slot>| slot.present.load().as_ref().is_some_and(|it| it.run == run);
        slots.values().filter(filled).cloned().collect()
    }

    /// The handle of a capability, for one caller: its name is on every request.
    pub fn service(&self, caller: Stamp, name: &str) -> Service {
        Service::new(Handle(self.slot(capability(name)), caller))
    }

    /// Waits until every run that routes by the prefixes has applied the current ones.
    pub async fn routed(&self) {
        let now = *self.generation.borrow();
        let mut routers = self.routers.subscribe();
        // The sender is ours, so the wait has no error.
        let _ = routers.wait_for(|routers| routers.values().all(|taken| *taken >= now)).await;
    }

    /// All public prefixes, once their generation is greater than `after`, which `run` of `caller` has
    /// applied. A prefix whose plugin does not run is included, and answers 503.
    pub async fn next_mounts(self: Arc<Self>, caller: Stamp, run: u64, after: u64) -> Mounts {
        self.routers.send_modify(|routers| _ = routers.insert(run, after));
        let mut changes = self.generation.subscribe();
        // The sender is ours, so the wait ends with a generation.
        let generation =
            changes.wait_for(|generation| *generation > after).await.map_or(after, |found| *found);
        let mounts = self.mounts.lock().clone();
        let mounts = mounts.into_iter().map(|(prefix, plugin)| {
            let service = Service::new(Handle(self.slot(public(&plugin)), caller.clone()));
            Mount { plugin: plugin.into(), prefix: prefix.into(), service, extra: Extra::default() }
        });
        Mounts { generation, mounts: mounts.collect(), extra: Extra::default() }
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

    fn begin(service: &Service) -> FfiFuture<Response> {
        let (parts, ()) = http::Request::new(()).into_parts();
        service.call(Request { head: RequestHead::encode(&parts), body: Body::empty() })
    }

    fn status(service: &Service) -> u16 {
        begin(service).now_or_never().unwrap().head.decode().unwrap().status.as_u16()
    }

    fn offers(services: &Services, run: u64, key: String, answer: u16) -> Mutex<Offers> {
        let offers = Offers::new(run, false);
        services.offer(&offers, key, Service::new(Answer(answer)));
        offers
    }

    #[test]
    fn a_run_takes_over_with_all_it_gives_at_once_and_what_is_left_of_the_old_one_goes() {
        let services = Services::default();
        let (x, y) =
            (services.service(Stamp::new("a", false), "x"), services.service(Stamp::new("a", false), "y"));
        let old = offers(&services, 1, capability("x"), 201);
        services.offer(&old, capability("y"), Service::new(Answer(201)));
        assert_eq!(status(&x), 503);
        services.activate(&old, None);
        let new = offers(&services, 2, capability("x"), 202);
        assert_eq!((status(&x), status(&y)), (201, 201));
        services.activate(&new, Some(&old));
        assert_eq!((status(&x), status(&y)), (202, 503));
        services.activate(&old, Some(&new));
        assert_eq!((status(&x), status(&y)), (201, 201));
        services.withdraw(&old);
        assert_eq!(status(&x), 503);
    }

    #[test]
    fn a_grpc_client_gets_a_grpc_status_without_a_provider() {
        let handle = Services::default().service(Stamp::new("a", false), "x");
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.headers.insert(CONTENT_TYPE, "application/grpc".parse().unwrap());
        let call = handle.call(Request { head: RequestHead::encode(&parts), body: Body::empty() });
        let head = call.now_or_never().unwrap().head.decode().unwrap();
        assert_eq!(head.status, 503);
        assert_eq!(head.headers[GRPC_STATUS], UNAVAILABLE);
        assert_eq!(head.headers[GRPC_MESSAGE], "the capability \"x\" is not running");
    }

    #[test]
    fn retry_after_is_when_the_plugin_is_back_and_absent_when_unknown() {
        let services = Services::default();
        let retry_after = |service: &Service| {
            let head = begin(service).now_or_never().unwrap().head.decode().unwrap();
            head.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
        };
        let (x, p) = (
            services.service(Stamp::new("a", false), "x"),
            Service::new(Handle(services.slot(public("p")), Stamp::new("a", true))),
        );
        assert_eq!(retry_after(&x), Some(1));
        services.expect("p", &["x".to_owned()], Some(Duration::from_secs(600)));
        for service in [&x, &p] {
            assert!((590..=601).contains(&retry_after(service).unwrap()));
        }
        services.expect("p", &["x".to_owned()], None);
        assert_eq!((retry_after(&x), retry_after(&p)), (None, None));
        let run = offers(&services, 1, capability("x"), 200);
        services.activate(&run, None);
        services.expect("p", &["x".to_owned()], None);
        services.withdraw(&run);
        assert_eq!((retry_after(&x), retry_after(&p)), (Some(1), None));
    }

    #[test]
    fn requests_wait_for_the_successor_of_a_held_slot() {
        let services = Services::default();
        let handle = services.service(Stamp::new("a", false), "x");
        let old = offers(&services, 1, capability("x"), 201);
        services.activate(&old, None);
        let held = services.hold(&old, &Stamp::new("p", false));
        services.withdraw(&old);
        let mut waiting = begin(&handle);
        assert!((&mut waiting).now_or_never().is_none());
        let own = services.service(Stamp::new("p", false), "x");
        assert_eq!(status(&own), 503, "it would wait for its own start");
        let new = offers(&services, 2, capability("x"), 202);
        services.activate(&new, None);
        drop(held);
        assert_eq!(waiting.now_or_never().unwrap().head.decode().unwrap().status.as_u16(), 202);
        let held = services.hold(&new, &Stamp::new("p", false));
        services.withdraw(&new);
        drop(held);
        assert_eq!(status(&handle), 503);
    }

    #[tokio::test]
    async fn a_run_has_left_when_every_request_that_found_it_has_reached_it() {
        let services = Services::default();
        let handle = services.service(Stamp::new("a", false), "x");
        let old = offers(&services, 1, capability("x"), 201);
        services.activate(&old, None);
        let found = services.slot(capability("x")).present.load_full();
        services.activate(&offers(&services, 2, capability("x"), 202), Some(&old));
        let mut left = Box::pin(services.left(1));
        assert!((&mut left).now_or_never().is_none());
        drop(found);
        left.await;
        assert_eq!(status(&handle), 202);
        services.forget(&old);
        assert!(services.leaving.lock().is_empty());
    }

    #[test]
    fn mounts_name_every_prefix_and_come_again_when_something_changed() {
        let services = Arc::new(Services::default());
        services.mount(vec![("/a".into(), "a".into()), ("/b".into(), "b".into())]);
        let first = services.clone().next_mounts(Stamp::new("a", true), 9, 0).now_or_never().unwrap();
        assert_eq!(first.mounts.iter().map(|mount| mount.prefix.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(status(&first.mounts[0].service), 503);
        let mut next = Box::pin(services.clone().next_mounts(Stamp::new("a", true), 9, first.generation));
        assert!((&mut next).now_or_never().is_none());
        services.activate(&offers(&services, 1, public("a"), 200), None);
        let second = next.now_or_never().unwrap();
        assert!(second.generation > first.generation);
        assert_eq!(status(&first.mounts[0].service), 200);
    }

    #[test]
    fn a_change_of_prefixes_waits_until_all_that_route_by_them_have_applied_it() {
        let services = Arc::new(Services::default());
        assert!(services.routed().now_or_never().is_some());
        let mounts = services.clone().next_mounts(Stamp::new("a", true), 9, 0).now_or_never().unwrap();
        assert!(services.routed().now_or_never().is_none());
        let mut waiting = Box::pin(services.clone().next_mounts(Stamp::new("a", true), 9, mounts.generation));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(services.routed().now_or_never().is_some());
        services.mount(vec![("/a".into(), "a".into())]);
        assert!(services.routed().now_or_never().is_none());
        // An ended run is not waited for.
        services.forget(&Offers::new(9, true));
        services.mount(Vec::new());
        assert!(services.routed().now_or_never().is_some());
    }
}
