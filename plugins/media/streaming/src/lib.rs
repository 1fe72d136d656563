//! The `streaming` capability: HLS and DASH over the one set of CMAF segments that the transcoder writes,
//! from the first segment on. Playlists and manifests are generated from the catalogue's rows and contain
//! measured numbers only. This crate never touches media bytes, and stores only playback sessions: `access`
//! decides, and the decision is enforced here.

#[doc(hidden)]
pub mod fuzz;
mod gate;
mod manifest;
mod object;
mod routes;
#[cfg(test)]
#[path = "tests/samples.rs"]
mod samples;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use streamgate_contracts::events::{
    self, AccessChanged, AccessRevoked, ContentChanged, ContentDeleted, CredentialEnded,
};
use streamgate_plugin_api::{Event, Health, Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio::time::MissedTickBehavior;

use crate::gate::playback::Lifetimes;
use crate::gate::provider::Provider;
use crate::gate::token::Key;
use crate::gate::{Capabilities, Gate};
use crate::manifest::contents::{Contents, Limits, Watcher};
use crate::manifest::documents::Style;
use crate::object::objects::Objects;
use crate::object::path::ContentId;
use crate::routes::Site;
pub use crate::settings::Settings;

/// How often expired playback sessions are removed from the database.
const SWEEP: Duration = Duration::from_secs(600);

/// The plugin.
pub struct Streaming;

impl Plugin for Streaming {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let objects = Arc::new(Objects::new(
            host.service("storage"),
            settings.segment_cache.get(),
            settings.segment_cache_max_object.get(),
            settings.storage_timeout.get(),
        ));
        let health = host.health("catalogue");
        health.healthy();
        let watcher =
            Arc::new(CatalogueWatch { objects: objects.clone(), health, failing: AtomicBool::new(false) });
        let limits = Limits {
            cache_bytes: settings.timeline_cache.get(),
            max_age: settings.timeline_max_age.get(),
            growing_max_age: settings.growing_max_age.get(),
            timeout: settings.catalogue_timeout.get(),
        };
        let complete = format!("public, max-age={}", settings.playlist_max_age.as_secs());
        let style = Style { floor: settings.floor(), complete: HeaderValue::try_from(complete)? };
        let contents = Arc::new(Contents::new(host.service("catalogue"), watcher, limits, style));
        follow(&host, &contents)?;
        let gate = if settings.gated { Some(gate(&host, &settings)?) } else { None };
        let site = Site::new(contents, objects, gate);
        host.provide("streaming", site.clone())?;
        host.serve(site);
        Ok(Self)
    }
}

/// Follows events to keep cached contents current, until the plugin stops.
fn follow(host: &Host, contents: &Arc<Contents>) -> Result<(), StartError> {
    let mut changed = host.subscribe(events::CONTENT_CHANGED_ANY)?;
    let mut deleted = host.subscribe(events::CONTENT_DELETED_ANY)?;
    let (contents, shutdown) = (contents.clone(), host.shutdown());
    host.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                event = deleted.next() => match event {
                    Some(event) => take_deleted(&contents, &event),
                    None => break,
                },
                event = changed.next() => match event {
                    Some(event) => take_changed(&contents, &event),
                    None => break,
                },
            }
        }
    });
    Ok(())
}

/// Enforces access to contents that are not public.
fn gate(host: &Host, settings: &Settings) -> Result<Arc<Gate>, StartError> {
    let lifetimes = Lifetimes::new(
        settings.token_idle.get(),
        settings.token_max.get(),
        settings.sessions_per_principal as usize,
        settings.max_grants as usize,
    )
    .with_addresses(settings.addresses_per_player as usize);
    let provider = |name| {
        Provider::new(name, host.service(name), settings.access_timeout.get(), Some(host.health(name)))
    };
    let capabilities =
        Capabilities { access: provider("access"), auth: provider("auth"), database: provider("database") };
    let key = Key::open(host.data_dir())?;
    let policy_max_age = settings.policy_max_age.get();
    let gate = Arc::new(Gate::new(key, capabilities, lifetimes, policy_max_age, Arc::default()));
    follow_access(host, &gate)?;
    Ok(gate)
}

/// Follows the events of `access` and `auth`, and removes expired playback sessions, until the plugin stops.
fn follow_access(host: &Host, gate: &Arc<Gate>) -> Result<(), StartError> {
    let mut told = host.subscribe(events::ACCESS_ANY)?;
    let mut ended = host.subscribe(events::CREDENTIAL_ENDED_ANY)?;
    let (gate, shutdown) = (gate.clone(), host.shutdown());
    host.spawn(async move {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.tick().await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                event = told.next() => match event {
                    Some(event) => take_access(&gate, &event),
                    None => break,
                },
                event = ended.next() => match event {
                    Some(event) => take_access(&gate, &event),
                    None => break,
                },
                _ = sweep.tick() => {
                    let gate = gate.clone();
                    tokio::spawn(async move { gate.sweep().await });
                }
            }
        }
    });
    Ok(())
}

fn take_access(gate: &Gate, event: &Event) {
    let taken = match event.r#type.as_str() {
        events::TYPE_ACCESS_CHANGED => event.parse::<AccessChanged>().map(|change| gate.changed(&change)),
        events::TYPE_ACCESS_REVOKED => event.parse::<AccessRevoked>().map(|it| gate.revoked(&it)),
        events::TYPE_CREDENTIAL_ENDED => event.parse::<CredentialEnded>().map(|it| gate.ended(&it)),
        _ => Ok(()),
    };
    if let Err(error) = taken {
        tracing::warn!(subject = %event.subject, %error, "an event cannot be read");
    }
}

fn take_changed(contents: &Contents, event: &Event) {
    match event.parse::<ContentChanged>() {
        Ok(change) => {
            if let Some(id) = ContentId::parse(&change.id) {
                contents.changed(id, change.revision);
            }
        }
        Err(error) => tracing::warn!(subject = %event.subject, %error, "an event cannot be read"),
    }
}

fn take_deleted(contents: &Contents, event: &Event) {
    match event.parse::<ContentDeleted>() {
        Ok(deletion) => {
            if let Some(id) = ContentId::parse(&deletion.id) {
                contents.deleted(id);
            }
        }
        Err(error) => tracing::warn!(subject = %event.subject, %error, "an event cannot be read"),
    }
}

/// Passes on what the contents report: to the cached objects and to the plugin's health.
struct CatalogueWatch {
    objects: Arc<Objects>,
    health: Health,
    failing: AtomicBool,
}

impl Watcher for CatalogueWatch {
    fn outdated(&self, id: ContentId) {
        self.objects.forget(id);
    }

    fn catalogue(&self, error: Option<&str>) {
        if self.failing.swap(error.is_some(), Ordering::AcqRel) == error.is_some() {
            return;
        }
        match error {
            Some(error) => {
                tracing::warn!(error, "the catalogue does not answer; cached contents are still served");
                self.health.degraded(error);
            }
            None => self.health.healthy(),
        }
    }
}

export_plugin! {
    Streaming {
        name: "streaming",
        description: "HLS and DASH from one set of CMAF segments, playable while they are still being made",
        provides: ["streaming"],
        requires: ["storage", "catalogue"],
        uses: ["access", "auth", "database"],
        prefixes: ["/v"],
        subscribes: ["content.*.changed", "content.*.deleted", "access.>", "credential.*.ended"],
    }
}
