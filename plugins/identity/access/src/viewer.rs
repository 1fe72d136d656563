//! A viewer, in canonical form.

use serde::{Deserialize, Serialize};
use streamgate_contracts::scopes;

use crate::caip;

/// Maximum wallets and roles; beyond it the request is refused.
pub(crate) const MAX: usize = 32;

/// A viewer from `auth`. An empty principal is not signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Viewer {
    #[serde(skip)]
    pub(crate) principal: String,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// `eip155:0x…` and `eip155:1:0x…` in lower case, `solana:…`; see [`caip::wallet`].
    pub(crate) wallets: Vec<String>,
}

impl Viewer {
    /// The viewer, or why it is invalid. An omitted wallet could satisfy a `not`, so none is omitted.
    pub(crate) fn new(
        principal: String,
        roles: Vec<String>,
        scopes: Vec<String>,
        wallets: Vec<String>,
    ) -> Result<Self, String> {
        for (what, many) in [("roles", &roles), ("scopes", &scopes), ("wallets", &wallets)] {
            if many.len() > MAX {
                return Err(format!("{} {what} are more than {MAX}", many.len()));
            }
        }
        if principal.len() > 64 {
            return Err(format!("{} characters are not the id of a principal", principal.len()));
        }
        let wallet = |text: &String| {
            let shown: String = text.chars().take(120).collect();
            caip::wallet(text).ok_or(format!("`{shown}` is not a wallet such as eip155:0x… or solana:…"))
        };
        let wallets = wallets.iter().map(wallet).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { principal, roles: ordered(roles), scopes: ordered(scopes), wallets: ordered(wallets) })
    }

    /// A principal with all the scopes that these roles give.
    pub(crate) fn with_roles(principal: &str, roles: Vec<String>) -> Self {
        let has = |role: &str| roles.iter().any(|name| name == role);
        let mut given = vec![scopes::READ];
        if has("creator") || has("admin") {
            given.push(scopes::WRITE);
        }
        if has("admin") {
            given.push(scopes::ADMIN);
        }
        let scopes = given.into_iter().map(str::to_owned).collect();
        Self { principal: principal.to_owned(), roles, scopes, wallets: Vec::new() }
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        !self.principal.is_empty()
    }

    /// The rights of its credential, in canonical form. They may be less than the principal's.
    pub(crate) fn rights(&self) -> String {
        format!("{} {}", self.roles.join(","), self.scopes.join(","))
    }

    /// Whether they may change everyone's contents. A key for server administration only may not.
    pub(crate) fn is_admin(&self) -> bool {
        self.is_signed_in() && scopes::over_all_contents(&self.scopes)
    }
}

fn ordered(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}
