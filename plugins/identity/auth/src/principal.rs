//! Roles and scopes: the rights of a credential. A role is a set of scopes, and an API key with less than a
//! whole role has only its scopes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use streamgate_contracts::auth::v1;

/// The roles, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everyone who is signed in.
    Viewer,
    /// May upload, and change contents.
    Creator,
    /// Has all rights.
    Admin,
}

/// What a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// Watch.
    #[serde(rename = "content:read")]
    ContentRead,
    /// Upload, change and delete contents.
    #[serde(rename = "content:write")]
    ContentWrite,
    /// Grant roles, read the audit log, run the server.
    #[serde(rename = "admin")]
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Creator, Self::Admin];

    /// `viewer`, `creator` or `admin`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Creator => "creator",
            Self::Admin => "admin",
        }
    }

    /// The role of this name, if there is one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Viewer => &Scope::ALL[..1],
            Self::Creator => &Scope::ALL[..2],
            Self::Admin => &Scope::ALL,
        }
    }
}

impl From<Role> for v1::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Creator => Self::Creator,
            Role::Admin => Self::Admin,
        }
    }
}

impl Scope {
    /// All scopes.
    pub(crate) const ALL: [Self; 3] = [Self::ContentRead, Self::ContentWrite, Self::Admin];

    /// `content:read`, `content:write` or `admin`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ContentRead => "content:read",
            Self::ContentWrite => "content:write",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name, if there is one.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The owner of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Session(String),
    ApiKey(String),
}

impl Credential {
    /// `session:` or `key:` and its id. Not secret.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Session(id) => format!("session:{id}"),
            Self::ApiKey(id) => format!("key:{id}"),
        }
    }

    /// The credential of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.split_once(':')? {
            ("session", id) => Some(Self::Session(id.into())),
            ("key", id) => Some(Self::ApiKey(id.into())),
            _ => None,
        }
    }
}

/// The caller, and its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) principal: String,
    pub(crate) credential: Credential,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) scopes: BTreeSet<Scope>,
    /// When the credential expires, in Unix milliseconds.
    pub(crate) expires_at_ms: Option<i64>,
    /// `eip155:0x…`, `solana:…`.
    pub(crate) wallets: Vec<String>,
}

/// The roles and scopes of a credential: all of `granted`, or the part that an API key of `scopes` has.
pub(crate) fn rights(
    granted: &BTreeSet<Role>,
    scopes: Option<&BTreeSet<Scope>>,
) -> (BTreeSet<Role>, BTreeSet<Scope>) {
    let mut roles = granted.clone();
    roles.insert(Role::Viewer);
    // An admin is a creator too.
    if roles.contains(&Role::Admin) {
        roles.insert(Role::Creator);
    }
    let mut all: BTreeSet<Scope> = roles.iter().flat_map(|role| role.scopes()).copied().collect();
    if let Some(scopes) = scopes {
        all.retain(|scope| scopes.contains(scope));
        roles.retain(|role| role.scopes().iter().all(|scope| scopes.contains(scope)));
    }
    (roles, all)
}

/// CAIP-10 without the chain, except for contracts: `eip155:0x…`, `eip155:137:0x…`, `solana:…`.
pub(crate) fn wallet_name(kind: &str, address: &str) -> String {
    match kind {
        "ethereum" => format!("eip155:{address}"),
        _ => format!("{kind}:{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_key_never_gives_a_role_that_is_more_than_its_scopes() {
        let admin = BTreeSet::from([Role::Admin]);
        let (roles, scopes) = rights(&admin, None);
        assert_eq!((roles.len(), scopes.len()), (3, 3));
        let write = BTreeSet::from([Scope::ContentRead, Scope::ContentWrite]);
        let (roles, scopes) = rights(&admin, Some(&write));
        assert_eq!(roles, BTreeSet::from([Role::Viewer, Role::Creator]));
        assert_eq!(scopes, write);
        // Without reading it is not even a viewer.
        let (roles, scopes) = rights(&admin, Some(&BTreeSet::from([Scope::Admin])));
        assert_eq!((roles.len(), scopes), (0, BTreeSet::from([Scope::Admin])));
    }

    #[test]
    fn an_api_key_gives_nothing_that_its_owner_lost() {
        let wanted = BTreeSet::from(Scope::ALL);
        let (roles, scopes) = rights(&BTreeSet::new(), Some(&wanted));
        assert_eq!(roles, BTreeSet::from([Role::Viewer]));
        assert_eq!(scopes, BTreeSet::from([Scope::ContentRead]));
    }
}
