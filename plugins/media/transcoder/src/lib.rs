//! Encodes uploaded files into CMAF renditions with GStreamer: one set of segments for HLS and DASH,
//! published one by one as they are encoded.
//!
//! The plugin leases jobs of the queue `transcode` and provides the capability of that name. The engine
//! ([`encode`]) knows nothing of the platform: it reads a [`source::Source`] and writes to a [`sink::Sink`].
//! It never serves media, keeps no state on disk, and continues after a crash from the catalogue.

mod chapters;
mod choice;
mod closed;
mod collect;
mod container;
pub mod control;
mod cover;
mod decode;
pub mod encode;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod h264;
mod input;
mod job;
mod joins;
pub mod ladder;
pub mod media;
mod objects;
mod options;
mod packets;
mod pipeline;
mod probe;
mod publish;
mod pump;
mod reading;
mod recordings;
mod resume;
pub mod segment;
mod settings;
pub mod sink;
pub mod source;
mod texts;
mod thumbs;
mod timeline;
mod tonemap;
pub mod tracks;
mod worked;

use std::time::Duration;

use streamgate_contracts::jobs::v1::jobs_client::JobsClient;
use streamgate_contracts::jobs::v1::{LeaseRequest, LeaseResponse};
use streamgate_plugin_api::{Health, Host, Plugin, SettingsProblem, StartError, export_plugin};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use settings::Settings;

use job::{Platform, QUEUE};

/// How long one request for a job waits.
const WAIT: Duration = Duration::from_secs(20);
/// Log a warning if GStreamer takes longer than this to start.
const QUICK_START: Duration = Duration::from_secs(1);
/// Report degraded health if it takes this much longer.
const SLOW_START: Duration = Duration::from_secs(120);
/// Pause after a failed request.
const PAUSE: Duration = Duration::from_secs(1);

/// The plugin.
pub struct Transcoder {
    slots: Vec<JoinHandle<()>>,
}

impl Plugin for Transcoder {
    type Settings = Settings;

    fn check(settings: &Settings) -> Vec<SettingsProblem> {
        settings.problems()
    }

    async fn start(host: Host, settings: Settings) -> Result<Self, StartError> {
        let platform = Platform {
            storage: host.service("storage"),
            catalogue: host.service("catalogue"),
            jobs: host.service("jobs"),
            host: Some(host.clone()),
            shutdown: host.shutdown(),
            options: settings.options(),
            lease: settings.lease.get(),
            no_room_pause: settings.no_room_pause.get(),
        };
        host.provide("transcode", axum::Router::new())?;
        let (ready, started) = watch::channel(None);
        host.spawn(start_media(host.health("gstreamer"), ready));
        let slots = (0..settings.slots())
            .map(|slot| {
                let (platform, started) = (platform.clone(), started.clone());
                let health = host.health(&format!("encoder-{slot}"));
                host.spawn(async move { work(platform, slot, health, started).await })
            })
            .collect();
        Ok(Self { slots })
    }

    async fn stop(self) {
        // The shutdown token is cancelled: every slot gives its job back, and its work is kept.
        for slot in self.slots {
            if let Err(error) = slot.await {
                tracing::warn!(%error, "an encoder slot failed");
            }
        }
    }
}

/// Starts GStreamer in the background, so that the process is ready meanwhile.
async fn start_media(health: Health, ready: watch::Sender<Option<bool>>) {
    let mut starting = tokio::task::spawn_blocking(media::start);
    let result = match tokio::time::timeout(QUICK_START, &mut starting).await {
        Ok(result) => result,
        Err(_) => {
            // This is no failure yet: jobs wait until it is done.
            tracing::info!("GStreamer is scanning its plugins, as it does at its first start on a machine");
            match tokio::time::timeout(SLOW_START, &mut starting).await {
                Ok(result) => result,
                Err(_) => {
                    health.degraded("GStreamer is still scanning its plugins; encoding waits");
                    starting.await
                }
            }
        }
    };
    let started = match result {
        Ok(Ok(())) => {
            health.healthy();
            true
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "media cannot be encoded");
            health.unhealthy(error.to_string());
            false
        }
        Err(error) => {
            health.unhealthy(format!("starting GStreamer failed: {error}"));
            false
        }
    };
    ready.send_replace(Some(started));
}

/// One slot of the pool: leases a job, runs it, and so on until the plugin stops.
async fn work(platform: Platform, slot: usize, health: Health, mut started: watch::Receiver<Option<bool>>) {
    let shutdown = platform.shutdown.clone();
    let ready = tokio::select! {
        ready = started.wait_for(Option::is_some) => ready.is_ok_and(|ready| *ready == Some(true)),
        () = shutdown.cancelled() => return,
    };
    if !ready {
        health.unhealthy("GStreamer did not start");
        return;
    }
    health.healthy();
    let worker = format!("transcoder-{}-{slot}", std::process::id());
    let process = streamgate_plugin_api::process::own().unwrap_or_default();
    let mut jobs = JobsClient::new(platform.jobs.clone());
    while !shutdown.is_cancelled() {
        let request = LeaseRequest {
            queue: QUEUE.to_owned(),
            worker: worker.clone(),
            lease_ms: u32::try_from(platform.lease.as_millis()).unwrap_or(u32::MAX),
            wait_ms: WAIT.as_millis() as u32,
            process: process.clone(),
        };
        let leased = tokio::select! {
            leased = jobs.lease(request) => leased,
            () = shutdown.cancelled() => return,
        };
        match leased.map(tonic::Response::into_inner) {
            Ok(LeaseResponse { job: Some(job), lease, set_aside }) => {
                health.healthy();
                job::run(&platform, job, lease, set_aside).await;
            }
            Ok(_) => health.healthy(),
            Err(status) => {
                health.degraded(format!("jobs cannot be leased: {}", status.message()));
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shutdown.cancelled() => return,
                }
            }
        }
    }
}

export_plugin! {
    Transcoder {
        name: "transcoder",
        description: "Encodes uploads into H.264 and AAC renditions, segment by segment",
        provides: ["transcode"],
        requires: ["storage", "catalogue", "jobs"],
        subscribes: ["content.*.deleted"],
        isolated: true,
    }
}
