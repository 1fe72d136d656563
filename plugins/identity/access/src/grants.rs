//! The current grants, and their dependencies: wallets, contracts, time. It is in memory, and rebuilt from
//! the database at the start.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::viewer::Viewer;

/// A content, a principal, and the rights of the credential used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) content: String,
    pub(crate) principal: String,
    /// [`Viewer::rights`].
    pub(crate) rights: String,
}

impl Key {
    pub(crate) fn of(content: &str, viewer: &Viewer) -> Self {
        Self { content: content.to_owned(), principal: viewer.principal.clone(), rights: viewer.rights() }
    }
}

/// A granted access.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) viewer: Viewer,
    /// Contracts that it depends on, as they are watched.
    pub(crate) assets: BTreeSet<String>,
    /// Wallets that it depends on: the viewer's, and those that delegated to them.
    pub(crate) wallets: BTreeSet<String>,
    /// By chain: the highest block that it was read at.
    pub(crate) blocks: BTreeMap<String, u64>,
    pub(crate) valid_until_ms: i64,
    /// Its inputs change at that time: it is checked again then.
    pub(crate) ends: bool,
    /// The event that may have ended it; it is checked again.
    pub(crate) cause: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_key: BTreeMap<Key, Grant>,
    by_wallet: HashMap<String, BTreeSet<Key>>,
    due: BTreeSet<(i64, Key)>,
}

impl Grants {
    /// Adds a grant, replacing an earlier one; `false` if there are `most` already.
    pub(crate) fn put(&mut self, key: Key, grant: Grant, most: usize) -> bool {
        self.remove(&key);
        if self.by_key.len() >= most {
            return false;
        }
        for wallet in &grant.wallets {
            self.by_wallet.entry(wallet.clone()).or_default().insert(key.clone());
        }
        self.due.insert((grant.valid_until_ms, key.clone()));
        self.by_key.insert(key, grant);
        true
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Grant> {
        let grant = self.by_key.remove(key)?;
        for wallet in &grant.wallets {
            if let Some(keys) = self.by_wallet.get_mut(wallet) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_wallet.remove(wallet);
                }
            }
        }
        self.due.remove(&(grant.valid_until_ms, key.clone()));
        Some(grant)
    }

    /// Removes a grant; also returns whether it was the principal's last one for the content. Of several
    /// concurrent removals exactly one is the last.
    pub(crate) fn leave(&mut self, key: &Key) -> (Option<Grant>, bool) {
        let gone = self.remove(key);
        let is_last = gone.is_some() && self.of_viewer(&key.content, &key.principal).next().is_none();
        (gone, is_last)
    }

    /// Removes all grants of a principal for a content.
    pub(crate) fn remove_viewer(&mut self, content: &str, principal: &str) {
        let keys: Vec<Key> = self.of_viewer(content, principal).cloned().collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn of_viewer(&self, content: &str, principal: &str) -> impl Iterator<Item = &Key> {
        let first =
            Key { content: content.to_owned(), principal: principal.to_owned(), rights: String::new() };
        let rest = self.by_key.range(first..).map(|(key, _)| key);
        rest.take_while(move |key| key.content == content && key.principal == principal)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Grant> {
        self.by_key.get(key)
    }

    /// Records why it has to be checked again; `false`: it is gone.
    pub(crate) fn invalidate(&mut self, key: &Key, cause: &str) -> bool {
        let grant = self.by_key.get_mut(key);
        grant.map(|grant| grant.cause = Some(cause.to_owned())).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Those of a content.
    pub(crate) fn of_content(&self, content: &str) -> Vec<Key> {
        let first = Key { content: content.to_owned(), ..Key::default() };
        let rest = self.by_key.range(first..).map(|(key, _)| key);
        rest.take_while(|key| key.content == content).cloned().collect()
    }

    /// Those of a principal.
    pub(crate) fn of_principal(&self, principal: &str) -> Vec<Key> {
        self.by_key.keys().filter(|key| key.principal == principal).cloned().collect()
    }

    /// Those that a transfer of this contract's tokens from or to this wallet may change.
    pub(crate) fn touched(&self, wallet: &str, asset: &str) -> Vec<Key> {
        let keys = self.by_wallet.get(wallet).into_iter().flatten();
        let depends = |key: &&Key| self.by_key.get(key).is_some_and(|grant| grant.assets.contains(asset));
        keys.filter(depends).cloned().collect()
    }

    /// Those that depend on this contract.
    pub(crate) fn resting_on(&self, asset: &str) -> Vec<Key> {
        let rest = self.by_key.iter().filter(|(_, grant)| grant.assets.contains(asset));
        rest.map(|(key, _)| key.clone()).collect()
    }

    /// Those that were read on this chain in a block above this one.
    pub(crate) fn above(&self, chain: &str, block: u64) -> Vec<Key> {
        let names = |grant: &Grant| grant.blocks.get(chain).is_some_and(|read| *read > block);
        self.by_key.iter().filter(|(_, grant)| names(grant)).map(|(key, _)| key.clone()).collect()
    }

    /// Expired ones. One with changing inputs is returned to be checked again, once; the rest is removed.
    pub(crate) fn over(&mut self, now_ms: i64) -> Vec<Key> {
        let mut again = Vec::new();
        while let Some((_, key)) = self.due.first().filter(|(time, _)| *time <= now_ms).cloned() {
            self.due.pop_first();
            match self.by_key.get(&key).is_some_and(|grant| grant.ends) {
                true => again.push(key),
                false => drop(self.remove(&key)),
            }
        }
        again
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(content: &str, principal: &str) -> Key {
        Key { content: content.into(), principal: principal.into(), rights: String::new() }
    }

    fn grant(wallets: &[&str], assets: &[&str], valid_until_ms: i64, ends: bool) -> Grant {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (assets, wallets) = (set(assets), set(wallets));
        let blocks = BTreeMap::new();
        Grant { viewer: Viewer::default(), assets, wallets, blocks, valid_until_ms, ends, cause: None }
    }

    #[test]
    fn a_transfer_affects_the_grants_with_the_wallet_and_the_token() {
        let mut grants = Grants::default();
        assert!(grants.put(key("c", "a"), grant(&["w1", "w2"], &["t"], 9, false), 10));
        assert!(grants.put(key("c", "b"), grant(&["w2"], &["u"], 9, false), 10));
        assert_eq!(grants.touched("w2", "t"), [key("c", "a")]);
        assert_eq!(grants.touched("w3", "t"), []);
        grants.remove(&key("c", "a"));
        assert_eq!(grants.touched("w2", "t"), []);
        assert_eq!(grants.of_content("c"), [key("c", "b")]);
    }

    #[test]
    fn a_reorganisation_concerns_those_that_were_read_above_the_block_that_holds() {
        let mut grants = Grants::default();
        for (principal, chain, block) in [("a", "eip155:1", 5), ("b", "eip155:1", 6), ("c", "eip155:5", 6)] {
            let blocks = BTreeMap::from([(chain.to_owned(), block)]);
            let read = Grant { blocks, ..grant(&[], &[], 9, false) };
            assert!(grants.put(key("c", principal), read, 10));
        }
        assert_eq!(grants.above("eip155:1", 6), []);
        assert_eq!(grants.above("eip155:1", 5), [key("c", "b")]);
        assert_eq!(grants.above("eip155:1", 4), [key("c", "a"), key("c", "b")]);
    }

    #[test]
    fn expired_grants_are_removed_and_those_with_changed_inputs_are_returned_once() {
        let mut grants = Grants::default();
        grants.put(key("c", "a"), grant(&[], &[], 5, false), 10);
        grants.put(key("c", "b"), grant(&["w"], &["t"], 5, true), 10);
        grants.put(key("d", "c"), grant(&[], &[], 6, true), 10);
        assert_eq!(grants.over(4), []);
        assert_eq!(grants.over(5), [key("c", "b")]);
        assert_eq!(grants.over(5), []);
        assert_eq!(grants.len(), 2);
        assert!(grants.get(&key("c", "b")).is_some());
    }

    #[test]
    fn the_last_of_a_principals_grants_is_recognized_on_removal() {
        let mut grants = Grants::default();
        let with = |rights: &str| Key { rights: rights.into(), ..key("c", "a") };
        for key in [with("r"), with("s"), key("c", "b"), key("d", "a")] {
            assert!(grants.put(key, grant(&[], &[], 5, false), 10));
        }
        assert!(matches!(grants.leave(&with("r")), (Some(_), false)));
        assert!(matches!(grants.leave(&with("r")), (None, false)));
        assert!(matches!(grants.leave(&with("s")), (Some(_), true)));
        grants.remove_viewer("c", "b");
        assert!(grants.get(&key("c", "b")).is_none() && grants.get(&key("d", "a")).is_some());
    }

    #[test]
    fn there_are_no_more_than_may_be() {
        let mut grants = Grants::default();
        assert!(grants.put(key("c", "a"), grant(&[], &[], 5, false), 1));
        assert!(!grants.put(key("c", "b"), grant(&[], &[], 5, false), 1));
        assert!(grants.put(key("c", "a"), grant(&[], &[], 7, false), 1));
    }
}
