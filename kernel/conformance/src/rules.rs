//! The rules, each with its check. `docs/reference/plugin-rules.md` describes them under the same ids.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;
use streamgate_plugin_api::Body;
use streamgate_plugin_api::abi::HealthState;
use tokio_stream::wrappers::ReceiverStream;

use crate::bench::{Bench, Verdict, broken, unshown};
use crate::host::{Record, Right};

/// One rule.
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    /// Its requirement, in a few words.
    pub(crate) says: &'static str,
    pub(crate) proof: for<'a> fn(&'a Bench) -> BoxFuture<'a, Verdict>,
}

macro_rules! rules {
    ($($id:literal $proof:ident $says:literal)*) => {
        &[$(Rule { id: $id, says: $says, proof: |bench| Box::pin($proof(bench)) }),*]
    };
}

/// All rules; those that others depend on come first.
pub(crate) const RULES: &[Rule] = rules! {
    "load.opens" load_opens "loads without a crash, with a version and a layout that the host accepts"
    "manifest.complete" manifest_complete "states its name and version, and lists each thing once"
    "settings.schema" settings_schema "has a schema that refuses unknown keys and describes the others"
    "settings.check" settings_check "checks settings at once, always with the same result, and starts nothing"
    "start.deadline" start_deadline "starts in time, or fails in time with a reason"
    "start.reason" start_reason "refuses settings that it cannot read with a reason"
    "start.serves" start_serves "answers under the prefixes of its manifest"
    "services.declared" services_declared "calls and provides only what its manifest names"
    "events.declared" events_declared "publishes and subscribes only to what its manifest names"
    "mounts.declared" mounts_declared "sends requests to the prefixes of others only as an ingress"
    "requests.answered" requests_answered "answers every request in time, including invalid ones"
    "ping.answers" ping_answers "keeps no thread of its runtime busy"
    "health.component" health_component "reports the health of a component, with a reason when it is not healthy"
    "log.bounded" log_bounded "logs little when nothing happens, and prints nothing"
    "events.bounded" events_bounded "publishes little when nothing happens"
    "drain.finishes" drain_finishes "finishes a request in progress before it is drained"
    "stop.deadline" stop_deadline "stops in time"
    "stop.again" stop_again "accepts a second stop, and starts again in the same process"
    "kill.starts" kill_starts "starts again after its process was killed"
    "panics.none" panics_none "does not panic"
    "leak.none" leak_none "releases threads, files and memory"
};

/// The rule that everything else depends on.
pub(crate) const LOADS: &str = "load.opens";
/// The rule that everything at run time depends on.
pub(crate) const STARTS: &str = "start.deadline";
/// The rules that can be checked for a plugin that does not start.
pub(crate) const WITHOUT_START: [&str; 5] =
    [LOADS, "manifest.complete", "settings.schema", "settings.check", "start.reason"];
/// The rule whose first half ends with the end of its process.
pub(crate) const KILLS: &str = "kill.starts";

/// An invalid type of settings for every plugin. (A list would be valid for a struct without required
/// fields.)
const NONSENSE: &str = "\"nonsense\"";
/// The idle time of the flood checks.
const IDLE: Duration = Duration::from_secs(2);
/// Records or events per second allowed while the plugin is idle.
const IDLE_RATE: u64 = 50;
/// Maximum cycles of start and stop before the first measurement.
const WARM_UP: u32 = 20;
/// Allowed growth of the resident memory in total, and per cycle.
const KIB: u64 = 1024;
const KIB_PER_CYCLE: u64 = 64;
/// Additional threads and files allowed after the warm-up.
const MORE: u64 = 8;
/// How long they may take to end after the last stop.
const SETTLES: Duration = Duration::from_secs(5);

async fn load_opens(bench: &Bench) -> Verdict {
    Ok(format!("{} {}", bench.manifest.name, bench.manifest.version))
}

async fn manifest_complete(bench: &Bench) -> Verdict {
    let manifest = &bench.manifest;
    if manifest.description.trim().is_empty() {
        return broken("it has no description; write one line for people into export_plugin!");
    }
    for (list, names) in [
        ("provides", &manifest.provides),
        ("requires", &manifest.requires),
        ("uses", &manifest.uses),
        ("prefixes", &manifest.prefixes),
        ("publishes", &manifest.publishes),
        ("subscribes", &manifest.subscribes),
    ] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
            return broken(format!("`{list}` names `{twice}` twice"));
        }
    }
    let mut needs = manifest.requires.iter().chain(&manifest.uses);
    if let Some(own) = needs.find(|name| manifest.provides.contains(name)) {
        return broken(format!("it needs `{own}`, which it provides itself"));
    }
    if let Some(both) = manifest.requires.iter().find(|name| manifest.uses.contains(name)) {
        return broken(format!("`{both}` is under `requires` and under `uses`; one of them says it"));
    }
    Ok(String::new())
}

async fn settings_schema(bench: &Bench) -> Verdict {
    let schema = &bench.schema;
    if schema["type"] == "null" {
        return Ok("it has no settings".to_owned());
    }
    let Some(object) = schema.as_object().filter(|schema| schema.get("type") == Some(&"object".into()))
    else {
        return broken("it is not a JSON Schema of an object; export a struct as the plugin's Settings");
    };
    if object.get("additionalProperties") != Some(&Value::Bool(false)) {
        return broken(
            "it takes unknown keys, so that a misspelt one is not found; put #[serde(deny_unknown_fields)] on the struct",
        );
    }
    let properties = object.get("properties").and_then(Value::as_object);
    let bare: Vec<_> = properties
        .into_iter()
        .flatten()
        .filter(|(_, property)| property["description"].as_str().is_none_or(str::is_empty))
        .map(|(key, _)| format!("`{key}`"))
        .collect();
    if !bare.is_empty() {
        return broken(format!("{} lack a description; write doc comments", bare.join(", ")));
    }
    Ok(format!("{} keys", properties.map_or(0, |properties| properties.len())))
}

async fn settings_check(bench: &Bench) -> Verdict {
    let check = bench.loaded.check.clone();
    let settings = bench.settings.clone();
    let files = files(&bench.data_dir);
    let judged = tokio::task::spawn_blocking(move || (check(&settings), check(&settings), check(NONSENSE)));
    let judged = bench.in_time("check", judged).await?;
    let Ok((first, second, nonsense)) = judged else {
        return broken("its check panicked across the boundary");
    };
    if first != second {
        return broken(format!("two calls say different things: {first:?} and {second:?}"));
    }
    if nonsense.is_empty() {
        return broken("it finds nothing wrong with a text for its settings");
    }
    if nonsense.iter().chain(&first).any(|problem| problem.message.trim().is_empty()) {
        return broken("it reports a problem without a message");
    }
    if self::files(&bench.data_dir) != files {
        return broken("it wrote into the data directory");
    }
    let said: Vec<_> = first.iter().map(ToString::to_string).collect();
    match said.as_slice() {
        [] => Ok(String::new()),
        said => unshown(format!("it refuses these settings: {}; give it others with --set", said.join("; "))),
    }
}

fn files(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

async fn start_deadline(bench: &Bench) -> Verdict {
    let began = std::time::Instant::now();
    let running = bench.start().await?;
    let took = began.elapsed();
    drop(running);
    Ok(format!("in {} ms", took.as_millis()))
}

async fn start_reason(bench: &Bench) -> Verdict {
    let record = Arc::new(Record::default());
    match bench.try_start(NONSENSE, &record).await? {
        Ok(_) => broken("it starts with a text for its settings"),
        Err(reason) if record.panics.load(Relaxed) > 0 => broken(format!("it panicked instead: {reason}")),
        Err(reason) if reason.trim().is_empty() => broken("its reason is empty"),
        // For a problem of the settings as a whole the key before the colon is empty.
        Err(reason) => Ok(format!("it said: {}", reason.trim_start_matches(": "))),
    }
}

async fn start_serves(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    let serves = running.record.public.lock().is_some();
    bench.end(running).await?;
    match (bench.manifest.prefixes.as_slice(), serves) {
        ([], true) => broken("it serves public routes, and its manifest names no prefixes"),
        ([], false) => Ok("it has no prefixes".to_owned()),
        (prefixes, true) => Ok(prefixes.join(" ")),
        (prefixes, false) => {
            broken(format!("nothing answers under {}; call host.serve in start", prefixes.join(" ")))
        }
    }
}

async fn services_declared(bench: &Bench) -> Verdict {
    declared(bench, Right::Services).await
}

async fn events_declared(bench: &Bench) -> Verdict {
    declared(bench, Right::Events).await
}

async fn mounts_declared(bench: &Bench) -> Verdict {
    declared(bench, Right::Mounts).await
}

async fn declared(bench: &Bench, right: Right) -> Verdict {
    let running = bench.start().await?;
    bench.ask_all(&running.record).await?;
    let record = bench.end(running).await?;
    let refused = record.refused.lock();
    let refused: Vec<_> = refused.iter().filter(|(of, _)| *of == right).map(|(_, it)| it.as_str()).collect();
    match refused.is_empty() {
        true => Ok(String::new()),
        false => broken(format!("it asks for {}", refused.join("; "))),
    }
}

async fn requests_answered(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    let asked = bench.ask_all(&running.record).await?;
    let record = bench.end(running).await?;
    if let Some(panic) = record.first_panic.lock().take() {
        return broken(format!("a request made it panic: {panic}"));
    }
    match asked {
        0 => unshown("it answers no requests"),
        asked => Ok(format!("{asked} requests")),
    }
}

async fn ping_answers(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    for _ in 0..10 {
        bench.in_time("ping", running.instance.ping()).await?;
    }
    bench.ask_all(&running.record).await?;
    bench.in_time("ping", running.instance.ping()).await?;
    bench.end(running).await?;
    Ok(String::new())
}

async fn health_component(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    // It may be reported from a task that start has begun.
    let told = async {
        while running.record.health.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = tokio::time::timeout(bench.deadline, told).await;
    let health = running.record.health.lock().clone();
    bench.end(running).await?;
    if told.is_err() {
        return broken("it reports no health; call host.health(\"component\").healthy() in start");
    }
    let silent =
        |(state, reason): &(HealthState, String)| *state != HealthState::Healthy && reason.trim().is_empty();
    if let Some((component, _)) = health.iter().find(|(_, health)| silent(health)) {
        return broken(format!("`{component}` is not healthy, and it gives no reason"));
    }
    Ok(health.keys().cloned().collect::<Vec<_>>().join(" "))
}

async fn log_bounded(bench: &Bench) -> Verdict {
    idle(bench, "log records", |record| record.logs.load(Relaxed)).await
}

async fn events_bounded(bench: &Bench) -> Verdict {
    idle(bench, "events", |record| record.events.load(Relaxed)).await
}

async fn idle(bench: &Bench, what: &str, count: impl Fn(&Record) -> u64) -> Verdict {
    let running = bench.start().await?;
    let before = count(&running.record);
    tokio::time::sleep(IDLE).await;
    let came = count(&running.record) - before;
    bench.end(running).await?;
    let seconds = IDLE.as_secs();
    match came <= IDLE_RATE * seconds {
        true => Ok(format!("{came} {what} in {seconds} s")),
        false => {
            broken(format!("{came} {what} in {seconds} idle seconds; {IDLE_RATE} per second are allowed"))
        }
    }
}

async fn drain_finishes(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    let mut waited = None;
    for target in bench.targets(&running.record) {
        let (body, halves) = tokio::sync::mpsc::channel(2);
        let stream = Body::from_stream(ReceiverStream::new(halves));
        let request = http::Request::post(&target.url).header("host", "conformance").body(stream);
        let Ok(request) = request else { return broken(format!("`{}` is not a path", target.url)) };
        let _ = body.send(Ok::<_, std::io::Error>(Bytes::from_static(b"half "))).await;
        let mut answer = tokio::spawn(target.client.send(request));
        let at_once = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
        if at_once.is_ok() {
            // It answers before the body's end, so no request is in progress.
            continue;
        }
        let mut drain = tokio::spawn(running.instance.drain());
        if tokio::time::timeout(Duration::from_millis(200), &mut drain).await.is_ok() {
            return broken(format!("drain answers while POST {} is under way", target.url));
        }
        let _ = body.send(Ok(Bytes::from_static(b"and half"))).await;
        drop(body);
        let what = format!("answer to POST {}, whose body ended during drain,", target.url);
        let whole = match bench.in_time(&what, answer).await? {
            Ok(Ok(response)) => {
                bench.in_time(&what, response.into_body().collect_bytes(1 << 20)).await?.err()
            }
            _ => return broken(format!("POST {} was cut off by drain", target.url)),
        };
        if let Some(error) = whole {
            return broken(format!("the answer to POST {} broke off: {error}", target.url));
        }
        let _ = bench.in_time("drain", drain).await?;
        waited = Some(target.url);
        break;
    }
    bench.end(running).await?;
    match waited {
        Some(url) => Ok(format!("POST {url}")),
        None => unshown("none of its services waits for the end of a posted body"),
    }
}

async fn stop_deadline(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    bench.ask_all(&running.record).await?;
    let began = std::time::Instant::now();
    bench.end(running).await?;
    Ok(format!("in {} ms", began.elapsed().as_millis()))
}

async fn stop_again(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    bench.in_time("stop", running.instance.stop()).await?;
    bench.in_time("second stop", running.instance.stop()).await?;
    bench.end(running).await?;
    let running = bench.start().await?;
    bench.in_time("ping", running.instance.ping()).await?;
    bench.ask_all(&running.record).await?;
    bench.end(running).await?;
    Ok(String::new())
}

/// The second half: the first one was killed in this data directory.
async fn kill_starts(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    bench.ask_all(&running.record).await?;
    bench.end(running).await?;
    Ok(String::new())
}

/// The first half of [`KILLS`]; it does not return if the plugin starts.
pub(crate) async fn be_killed(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    bench.ask_all(&running.record).await?;
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::future::pending().await
}

async fn panics_none(bench: &Bench) -> Verdict {
    let running = bench.start().await?;
    bench.ask_all(&running.record).await?;
    tokio::time::sleep(IDLE).await;
    let record = bench.end(running).await?;
    let first = record.first_panic.lock().take();
    match first {
        None => Ok(String::new()),
        Some(first) => broken(format!("{} panics, the first: {first}", record.panics.load(Relaxed))),
    }
}

async fn leak_none(bench: &Bench) -> Verdict {
    let warm_up = WARM_UP.min(bench.cycles / 2);
    let mut warm = Usage::default();
    for cycle in 0..bench.cycles {
        if cycle == warm_up {
            warm = Usage::now();
        }
        let running = bench.start().await?;
        bench.ask_all(&running.record).await?;
        bench.end(running).await?;
    }
    let cycles = bench.cycles - warm_up;
    let grows = |end: &Usage| {
        end.threads > warm.threads + MORE
            || end.files > warm.files + MORE
            || end.kib > warm.kib + KIB + KIB_PER_CYCLE * u64::from(cycles)
    };
    // Stopped threads and their files take a moment to end on a busy machine.
    let (mut end, ended) = (Usage::now(), Instant::now());
    while grows(&end) && ended.elapsed() < SETTLES {
        tokio::time::sleep(Duration::from_millis(50)).await;
        end = Usage::now();
    }
    let figures = format!(
        "over {cycles} cycles after {warm_up}: threads {} to {}, open files {} to {}, memory {} to {} KiB",
        warm.threads, end.threads, warm.files, end.files, warm.kib, end.kib
    );
    match grows(&end) {
        false => Ok(figures),
        true => broken(format!(
            "{figures}; {MORE} threads or files more are allowed, {KIB} KiB, and {KIB_PER_CYCLE} KiB for each cycle"
        )),
    }
}

/// The resources of this process.
#[derive(Default)]
struct Usage {
    threads: u64,
    files: u64,
    kib: u64,
}

impl Usage {
    fn now() -> Self {
        let count = |dir| std::fs::read_dir(dir).map_or(0, Iterator::count) as u64;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Self { threads: count("/proc/self/task"), files: count("/proc/self/fd"), kib: kib.unwrap_or(0) }
    }
}
