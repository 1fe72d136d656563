//! The journal: changes by local users, including failed ones, and refused accesses of plugins. Stored before
//! they are answered, and published until a plugin acknowledges them. Bounded; the oldest are dropped.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate_bus::{Bus, Receiver};
use streamgate_plugin_api::Event;
use streamgate_plugin_api::abi::EventSource as _;
use streamgate_plugin_api::changes::{
    HOST_CHANGE_KEPT_ANY, HOST_CHANGED, HostChanged, TYPE_HOST_CHANGED, kept_id,
};
use streamgate_plugin_api::refusal::{REFUSAL_ANY, Refusal};
use streamgate_plugin_api::time::now_ms;
use tokio::sync::Notify;
use tokio::time::Instant;

const FILE: &str = "streamgate.changes";
/// Maximum pending changes; without a plugin that acknowledges them, these are the last ones.
const MOST: usize = 1_000;
/// Those that are published at once.
const ROUND: usize = 32;
/// How often pending ones are published again.
const AGAIN: Duration = Duration::from_secs(10);
/// Maximum length of `detail`, in characters.
const MAX_DETAIL: usize = 1_000;

/// Changes that are not acknowledged yet.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    waiting: Mutex<VecDeque<HostChanged>>,
    noted: Notify,
}

impl Journal {
    /// For a data directory.
    pub fn open(data_dir: &Path) -> Arc<Self> {
        let path = data_dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "pending changes by hand cannot be read");
                String::new()
            }
        };
        let read = |line| match serde_json::from_str(line) {
            Ok(change) => Some(change),
            Err(error) => {
                tracing::error!(file = %path.display(), %error, line, "a change by hand cannot be read");
                None
            }
        };
        let waiting = text.lines().filter_map(read).collect();
        Arc::new(Self { path, waiting: Mutex::new(waiting), noted: Notify::new() })
    }

    /// Stores a change; it is on disk on return, unless the log reports an error.
    pub(crate) async fn note(self: &Arc<Self>, mut change: HostChanged) {
        change.detail = change.detail.chars().take(MAX_DETAIL).collect();
        self.change(move |waiting| {
            waiting.push_back(change);
            while waiting.len() > MOST {
                waiting.pop_front();
            }
        })
        .await;
        self.noted.notify_one();
    }

    async fn change(self: &Arc<Self>, change: impl FnOnce(&mut VecDeque<HostChanged>) + Send + 'static) {
        let journal = self.clone();
        let saved = tokio::task::spawn_blocking(move || {
            let mut waiting = journal.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut waiting);
            journal.save(&waiting)
        });
        match saved.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "a change by hand could not be stored");
            }
        }
    }

    fn save(&self, waiting: &VecDeque<HostChanged>) -> io::Result<()> {
        let next = self.path.with_extension("changes.new");
        let mut text = String::new();
        for change in waiting {
            text.push_str(&serde_json::to_string(change)?);
            text.push('\n');
        }
        let mut file = std::fs::File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        std::fs::File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Publishes the changes until the process ends.
    pub async fn tell(self: Arc<Self>, bus: Arc<Bus>) {
        let mut kept = match bus.subscribe(("kernel", 0, true), HOST_CHANGE_KEPT_ANY, "", ROUND * 2) {
            Ok(kept) => kept,
            Err(error) => return tracing::error!(%error, "changes by hand cannot be published"),
        };
        let mut refused = match bus.subscribe(("kernel", 0, true), REFUSAL_ANY, "", ROUND * 2) {
            Ok(refused) => refused,
            Err(error) => return tracing::error!(%error, "refused accesses of plugins are not recorded"),
        };
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                self.publish(&bus).await;
                due = Instant::now() + AGAIN;
            }
            tokio::select! {
                () = self.noted.notified() => due = Instant::now(),
                () = tokio::time::sleep_until(due) => {}
                event = next(&mut refused) => {
                    let Some(event) = event else { return };
                    self.note_refusal(&event).await;
                }
                event = next(&mut kept) => {
                    let Some(event) = event else { return };
                    if let Some(id) = kept_id(&event.subject).map(str::to_owned) {
                        self.change(move |waiting| waiting.retain(|change| change.id != id)).await;
                    }
                }
            }
        }
    }

    async fn note_refusal(self: &Arc<Self>, event: &Event) {
        let Refusal { plugin, asked, reason } = match event.parse() {
            Ok(refusal) => refusal,
            Err(error) => return tracing::error!(%error, "a refused access of a plugin cannot be read"),
        };
        let through = event.subject.trim_start_matches("refusal.").to_owned();
        let by = format!("plugin:{plugin}");
        let change = HostChanged {
            id: uuid::Uuid::now_v7().to_string(),
            at_ms: now_ms(),
            action: "plugin.refused".to_owned(),
            plugin,
            by,
            through,
            done: false,
            detail: format!("{asked}: {reason}"),
        };
        self.note(change).await;
    }

    async fn publish(self: &Arc<Self>, bus: &Bus) {
        let journal = self.clone();
        // The writer holds the lock for as long as the disk takes.
        let oldest = tokio::task::spawn_blocking(move || {
            let waiting = journal.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.iter().take(ROUND).cloned().collect::<Vec<_>>()
        });
        for change in oldest.await.unwrap_or_default() {
            let told = match Event::json(HOST_CHANGED, TYPE_HOST_CHANGED, &change) {
                Ok(event) => bus.publish(Event { source: "kernel".into(), ..event }.into()).await,
                Err(error) => return tracing::error!(%error, "a change by hand cannot be published"),
            };
            if let Err(error) = told {
                return tracing::warn!(%error, "a change by hand is published again");
            }
        }
    }
}

async fn next(events: &mut Receiver) -> Option<Event> {
    std::future::poll_fn(|cx| events.poll_next(cx)).await.map(Event::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamgate_plugin_api::changes;

    fn change(id: &str) -> HostChanged {
        HostChanged {
            id: id.into(),
            at_ms: 1,
            action: "host.reload".into(),
            plugin: String::new(),
            by: "uid:1000".into(),
            through: "control socket".into(),
            done: false,
            detail: "the configuration has problems".into(),
        }
    }

    #[tokio::test]
    async fn a_change_survives_the_process_and_is_published_until_it_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path()).note(change("1")).await;
        let journal = Journal::open(dir.path());
        let bus = Bus::new(Duration::from_secs(1), 1 << 20);
        let mut told = bus.subscribe(("keeper", 1, true), HOST_CHANGED, "", 8).unwrap();
        let telling = tokio::spawn(journal.clone().tell(bus.clone()));
        assert_eq!(next(&mut told).await.unwrap().parse::<HostChanged>().unwrap(), change("1"));
        journal.note(change("2")).await;
        let mut ids = Vec::new();
        while !ids.contains(&"2".to_owned()) {
            ids.push(next(&mut told).await.unwrap().parse::<HostChanged>().unwrap().id);
        }
        assert_eq!(ids, ["1", "2"], "nobody has kept the first one");
        for id in ["1", "2"] {
            bus.publish(changes::kept(id).unwrap().into()).await.unwrap();
        }
        while !std::fs::read_to_string(dir.path().join(FILE)).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        telling.abort();
    }

    #[tokio::test]
    async fn without_acknowledgements_the_last_changes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path());
        {
            let mut waiting = journal.waiting.lock().unwrap();
            waiting.extend((0..MOST).map(|number| change(&number.to_string())));
        }
        journal.note(change("last")).await;
        let waiting = Journal::open(dir.path());
        let waiting = waiting.waiting.lock().unwrap();
        let ends = (waiting.front().unwrap().id.as_str(), waiting.back().unwrap().id.as_str());
        assert_eq!((waiting.len(), ends), (MOST, ("1", "last")));
    }
}
