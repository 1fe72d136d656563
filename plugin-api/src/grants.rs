//! Access to what a provider keeps by name (the namespaces of a database, the buckets of a storage): a plugin
//! may use what has its own name, and what an operator grants to it.

use std::collections::BTreeMap;

use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Host;
use crate::caller::caller;
use crate::refusal::{Refusal, Refusals};

/// Rights on what is not a plugin's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Access {
    /// Read it.
    Read,
    /// Read, change and delete it.
    Write,
}

/// The grants, by name, then by plugin: `grants.media.streaming = "read"`.
pub type Grants = BTreeMap<String, BTreeMap<String, Access>>;

/// Checks access by name.
pub struct Keeper {
    /// The kind of the names, such as `namespace`.
    what: &'static str,
    grants: Grants,
    refusals: Refusals,
    host: Option<Host>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("what", &self.what)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// For names of `what`. Without a host, a refusal is reported only to the caller.
    pub fn new(what: &'static str, grants: Grants, host: Option<Host>) -> Self {
        Self { what, grants, refusals: Refusals::default(), host }
    }

    /// Whether the sender of a request may use `name`. Requests that did not come through the kernel are the
    /// provider's own.
    ///
    /// # Errors
    /// The reason, and what an operator would have to set.
    pub fn ask(&self, headers: &HeaderMap, name: &str, access: Access) -> Result<(), String> {
        let Some(caller) = caller(headers) else { return Ok(()) };
        let granted = || self.grants.get(name)?.get(caller).copied();
        if is_own(caller, name) || granted().is_some_and(|granted| granted >= access) {
            return Ok(());
        }
        let (verb, value) = match access {
            Access::Read => ("read", "read"),
            Access::Write => ("change", "write"),
        };
        let provider = self.host.as_ref().map_or("PROVIDER", Host::plugin);
        let refusal = Refusal {
            plugin: caller.to_owned(),
            asked: format!("to {verb} the {} `{name}`", self.what),
            reason: format!(
                "it bears another name, and nobody has opened it: plugins.{provider}.grants.{name}.{caller} = \
                 \"{value}\""
            ),
        };
        let reason = format!("access denied for {caller}: {}: {}", refusal.asked, refusal.reason);
        if let Some(host) = &self.host {
            self.refusals.tell(host, refusal);
        }
        Err(reason)
    }
}

/// A plugin's own name, with underscores instead of hyphens where names allow none.
fn is_own(caller: &str, name: &str) -> bool {
    let same = |(of_caller, of_name): (u8, u8)| of_caller == of_name || (of_caller, of_name) == (b'-', b'_');
    !caller.is_empty() && caller.len() == name.len() && caller.bytes().zip(name.bytes()).all(same)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::caller::CALLER;

    fn ask(caller: &'static str, name: &str, access: Access) -> Result<(), String> {
        let of_media = [("streaming".to_owned(), Access::Read), ("upload".to_owned(), Access::Write)];
        let keeper = Keeper::new("bucket", [("media".to_owned(), of_media.into())].into(), None);
        let mut headers = HeaderMap::new();
        headers.insert(CALLER, caller.parse().unwrap());
        keeper.ask(&headers, name, access)
    }

    #[test]
    fn a_plugin_has_what_bears_its_name_and_what_is_opened_to_it() {
        for (caller, name, access) in [
            ("auth", "auth", Access::Write),
            ("chain-evm", "chain_evm", Access::Write),
            ("streaming", "media", Access::Read),
            ("upload", "media", Access::Write),
            ("upload", "media", Access::Read),
        ] {
            assert_eq!(ask(caller, name, access), Ok(()), "{caller} {name}");
        }
        assert_eq!(
            Keeper::new("bucket", Grants::new(), None).ask(&HeaderMap::new(), "x", Access::Write),
            Ok(())
        );
    }

    #[test]
    fn it_has_nothing_else_and_the_refusal_names_the_setting() {
        for (caller, name, access) in [
            ("prowler", "auth", Access::Read),
            ("chain", "chain_evm", Access::Read),
            ("chain-evm", "chain-evm-2", Access::Read),
            ("", "", Access::Read),
            ("@kernel", "auth", Access::Read),
        ] {
            assert!(ask(caller, name, access).is_err(), "{caller} {name}");
        }
        let reason = ask("streaming", "media", Access::Write).unwrap_err();
        assert!(reason.ends_with("plugins.PROVIDER.grants.media.streaming = \"write\""), "{reason}");
    }
}
