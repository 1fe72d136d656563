//! Refused accesses of plugins. The refusing side (the kernel, a database, a storage) publishes it; the host
//! stores it, and it is added to the audit log.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Event, Host};

/// All [`Refusal`]s.
pub const REFUSAL_ANY: &str = "refusal.*";
/// CloudEvents `type` of [`Refusal`].
pub const TYPE_REFUSAL: &str = "streamgate.refusal.v1";

/// How long a repeated refusal is suppressed.
const AGAIN: Duration = Duration::from_secs(600);
/// Refusals that are remembered.
const MOST: usize = 1_000;

/// A plugin requested something without the right to it, and was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// The plugin.
    pub plugin: String,
    /// The request, as text: `the namespace auth`.
    pub asked: String,
    /// Why it was refused, and what would allow it.
    pub reason: String,
}

impl Refusal {
    /// Logs it, and publishes it as an event of `by`, the refusing side.
    pub async fn tell<F, E>(self, by: &str, publish: impl FnOnce(Event) -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        tracing::warn!(plugin = self.plugin, asked = self.asked, reason = self.reason, "refused");
        let told = match Event::json(format!("refusal.{by}"), TYPE_REFUSAL, &self) {
            Ok(event) => publish(event).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tracing::warn!(error, "a refusal is not in the audit log");
        }
    }
}

/// Reports each refusal once in ten minutes, however often it happens.
#[derive(Debug, Default)]
pub struct Refusals {
    told: Mutex<HashMap<(String, String), Instant>>,
}

impl Refusals {
    /// Whether this is to be reported now.
    pub fn is_news(&self, refusal: &Refusal) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (refusal.plugin.clone(), refusal.asked.clone());
        if told.get(&key).is_some_and(|at| now.duration_since(*at) < AGAIN) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, at| now.duration_since(*at) < AGAIN);
        }
        // A plugin with a thousand different requests is logged a thousand times.
        if told.len() >= MOST {
            return false;
        }
        told.insert(key, now);
        true
    }

    /// Logs a refusal and publishes it, if it is new. The manifest needs `publishes: ["refusal.<plugin>"]`.
    pub fn tell(&self, host: &Host, refusal: Refusal) {
        if !self.is_news(&refusal) {
            return;
        }
        let told = host.clone();
        host.spawn(async move { refusal.tell(told.plugin(), |event| told.publish(event)).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: usize) -> Refusal {
        Refusal { plugin: "p".into(), asked: number.to_string(), reason: String::new() }
    }

    #[test]
    fn a_refusal_is_news_once_and_a_flood_of_them_is_bounded() {
        let refusals = Refusals::default();
        assert!(refusals.is_news(&refusal(1)) && !refusals.is_news(&refusal(1)));
        let news = (0..5_000).filter(|number| refusals.is_news(&refusal(*number))).count();
        assert_eq!(news, MOST - 1);
    }
}
