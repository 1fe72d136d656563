//! Routing: longest prefix first, by whole path segments. Read without locks.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use streamgate_plugin_api::Client;

/// One prefix and its service.
#[derive(Debug, Clone)]
pub struct Route {
    /// `/files` matches `/files` and everything below; `/` matches what no other prefix does.
    pub prefix: String,
    /// The service.
    pub service: Client,
}

#[derive(Debug)]
pub(crate) struct Entry {
    prefix: String,
    pub(crate) service: Client,
    /// Whether the plugin limits bodies itself.
    pub(crate) unlimited: bool,
}

/// The table, which can change while requests are in progress.
#[derive(Debug)]
pub struct Table {
    entries: ArcSwap<Vec<Arc<Entry>>>,
    unlimited: Vec<String>,
}

impl Table {
    /// An empty table. `unlimited` are the prefixes whose bodies the plugins limit themselves.
    pub fn new(unlimited: Vec<String>) -> Self {
        Self { entries: ArcSwap::default(), unlimited }
    }

    /// Replaces all routes at once; requests in flight keep the routes they found.
    pub fn replace(&self, routes: impl IntoIterator<Item = Route>) {
        let mut entries: Vec<_> = routes
            .into_iter()
            .map(|Route { prefix, service }| {
                let prefix = prefix.trim_end_matches('/').to_owned();
                let unlimited =
                    self.unlimited.iter().any(|allowed| is_below(&prefix, allowed.trim_end_matches('/')));
                Arc::new(Entry { prefix, service, unlimited })
            })
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.prefix.len()));
        self.entries.store(Arc::new(entries));
    }

    /// The service at `path`.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let entries = self.entries.load();
        let index = entries.iter().position(|entry| is_below(path, &entry.prefix))?;
        Some(Found { entries, index })
    }
}

/// A found entry, without touching a reference count.
pub(crate) struct Found {
    entries: Guard<Arc<Vec<Arc<Entry>>>>,
    index: usize,
}

impl std::ops::Deref for Found {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.entries[self.index]
    }
}

/// Whether `path` is `prefix` or below it; a prefix has no slash at its end.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(prefixes: &[&str]) -> Table {
        let table = Table::new(vec!["/files".into()]);
        let service = Client::from_service(axum::Router::new());
        table.replace(
            prefixes.iter().map(|prefix| Route { prefix: (*prefix).into(), service: service.clone() }),
        );
        table
    }

    fn found(table: &Table, path: &str) -> Option<String> {
        table.find(path).map(|entry| entry.prefix.clone())
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let table = table(&["/", "/v", "/api/v1/contents", "/api/v1"]);
        for (path, prefix) in [
            ("/", ""),
            ("/v", "/v"),
            ("/v/1/master.m3u8", "/v"),
            ("/video", ""),
            ("/api/v1/contents/7", "/api/v1/contents"),
            ("/api/v1/contentsx", "/api/v1"),
            ("/api", ""),
        ] {
            assert_eq!(found(&table, path).unwrap(), prefix, "{path}");
        }
        assert_eq!(found(&self::table(&["/v"]), "/x"), None);
    }

    #[test]
    fn only_the_named_prefixes_are_without_a_body_limit() {
        let table = table(&["/", "/files", "/filesystem"]);
        let unlimited = |path: &str| table.find(path).unwrap().unlimited;
        assert!(unlimited("/files/1"));
        assert!(!unlimited("/filesystem") && !unlimited("/"));
    }

    proptest! {
        #[test]
        fn a_path_is_found_by_the_longest_of_all_prefixes_it_is_below(
            prefixes in prop::collection::vec("(/[ab]{1,2}){0,3}", 0..6),
            path in "(/[ab]{1,2}){0,4}/?",
        ) {
            let expected = prefixes
                .iter()
                .filter(|prefix| path == **prefix || path.starts_with(&format!("{prefix}/")))
                .max_by_key(|prefix| prefix.len())
                .cloned();
            let table = table(&prefixes.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(found(&table, &path), expected);
        }
    }
}
