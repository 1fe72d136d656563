//! Sharing contents, and handing them over.

use std::time::Duration;

use bytes::Bytes;
use prost::{DecodeError, Message as _};
use streamgate_contracts::auth::v1::auth_client::AuthClient;
use streamgate_contracts::auth::v1::{FindRequest, Person, Role};
use streamgate_contracts::catalogue::v1::{Content, Right, Share};
use streamgate_contracts::db::{Batch, params};
use streamgate_plugin_api::time::{millis, now_ms};

use crate::captions::Editor;
use crate::catalogue::Catalogue;
use crate::cursor::title_key;
use crate::dependencies::answered;
use crate::store::{Entry, StoreError};

/// Maximum shares of a content.
const MAX_SHARES: usize = 64;
/// Removed shares that are remembered, so that their holders are notified.
const MAX_TAKEN_BACK: usize = 64;
/// For how long.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(86_400);
const PRINCIPAL: &str = "principal:";
const ROLE: &str = "role:";
/// Roles that contents can be shared with.
const ROLES: [&str; 3] = ["viewer", "creator", "admin"];

/// The name of a principal in shares.
pub(crate) fn of_principal(id: &str) -> String {
    format!("{PRINCIPAL}{id}")
}

/// The name of a role in shares.
pub(crate) fn of_role(role: &str) -> String {
    format!("{ROLE}{role}")
}

/// The principal of a share, if it has one.
pub(crate) fn principal_of(share: &Share) -> Option<&str> {
    share.name.strip_prefix(PRINCIPAL)
}

/// The role of a share, if it has one.
pub(crate) fn role_of(share: &Share) -> Option<&str> {
    share.name.strip_prefix(ROLE)
}

/// The shares that give a right.
pub(crate) fn in_force(content: &Content) -> impl Iterator<Item = &Share> {
    content.shares.iter().filter(|share| share.right() >= Right::View)
}

/// Whether a change takes a share back.
pub(crate) fn takes(before: &Content, after: &Content) -> bool {
    let stays = |share: &Share| in_force(after).any(|other| other.name == share.name);
    let owned = !before.owner.is_empty() && before.owner != after.owner;
    owned || in_force(before).any(|share| !stays(share))
}

/// Shares in their stored form; `None`: there are none.
pub(crate) fn packed(shares: &[Share]) -> Option<Bytes> {
    let content = Content { shares: shares.to_vec(), ..Content::default() };
    (!shares.is_empty()).then(|| content.encode_to_vec().into())
}

/// The reverse.
pub(crate) fn unpacked(packed: Option<Bytes>) -> Result<Vec<Share>, DecodeError> {
    Content::decode(packed.unwrap_or_default()).map(|content| content.shares)
}

/// Writes, with the rest of a change, the index by which shared contents are found.
pub(crate) fn indexed(mut batch: Batch, before: &Content, after: &Content) -> Batch {
    let names = |content: &Content| in_force(content).map(|share| share.name.clone()).collect::<Vec<_>>();
    let title = title_key(after);
    if names(before) == names(after) {
        return match after.shares.is_empty() || title_key(before) == title {
            true => batch,
            false => {
                batch.push("UPDATE shared SET sort_title = $2 WHERE content = $1", params![&after.id, title])
            }
        };
    }
    batch = batch.push("DELETE FROM shared WHERE content = $1", params![&after.id]);
    for share in in_force(after) {
        batch = batch.push(
            "INSERT INTO shared (name, content, began_at_ms, sort_title) VALUES ($1, $2, $3, $4)",
            params![&share.name, &after.id, after.created_at_ms, &title],
        );
    }
    batch
}

impl Catalogue {
    /// Lets a principal or role view or edit a content. `with`: `role:` and a role, a wallet, or the id of a
    /// principal.
    pub(crate) async fn share(
        &self,
        id: &str,
        with: &str,
        right: Right,
        editor: &Editor,
    ) -> Result<Entry, StoreError> {
        let name = match with.strip_prefix(ROLE) {
            Some(role) if ROLES.contains(&role) => with.to_owned(),
            Some(role) => {
                let roles = ROLES.join("`, `");
                return Err(StoreError::NoPerson(format!(
                    "`{}` is not a role; the roles are `{roles}`",
                    short(role)
                )));
            }
            None => of_principal(&self.person(with).await?.principal),
        };
        let apply = |content: &mut Content| {
            if of_principal(&content.owner) == name {
                return Err(StoreError::Invalid(format!(
                    "`{}` is the owner, who has all rights already",
                    short(with)
                )));
            }
            give(content, &name, right)
        };
        let detail = format!("{name} may {}", verb(right));
        self.change_rights(id, (apply, None), ("content.share", detail), editor).await
    }

    /// Removes a share.
    pub(crate) async fn unshare(&self, id: &str, with: &str, editor: &Editor) -> Result<Entry, StoreError> {
        let shares = self.get(id).await?.shares;
        // A deleted principal is identified by the id.
        let given = [with.to_owned(), of_principal(with)];
        let known = shares.into_iter().find(|share| given.contains(&share.name));
        let name = match known {
            Some(share) => share.name,
            None if with.starts_with(ROLE) => with.to_owned(),
            None => of_principal(&self.person(with).await?.principal),
        };
        let apply = |content: &mut Content| {
            if !in_force(content).any(|share| share.name == name) {
                return Err(StoreError::NotShared(short(with)));
            }
            take_back(content, &name);
            Ok(())
        };
        self.change_rights(id, (apply, None), ("content.unshare", name.clone()), editor).await
    }

    /// Gives a content another owner; `former` is the remaining right of the previous one.
    pub(crate) async fn hand_over(
        &self,
        id: &str,
        to: &str,
        former: Right,
        editor: &Editor,
    ) -> Result<Entry, StoreError> {
        let person = self.person(to).await?;
        let creates = [Role::Creator, Role::Admin].map(i32::from);
        if !person.roles.iter().any(|role| creates.contains(role)) {
            let reason =
                format!("`{}` may not change contents: an admin has to make them a creator first", short(to));
            return Err(StoreError::NoPerson(reason));
        }
        let owner = person.principal;
        let room = self.may_store(id, &owner).await?;
        let apply = |content: &mut Content| {
            let before = std::mem::replace(&mut content.owner, owner.clone());
            content.shares.retain(|share| principal_of(share) != Some(owner.as_str()));
            match former {
                _ if before == owner || before.is_empty() => Ok(()),
                Right::View | Right::Edit => give(content, &of_principal(&before), former),
                _ => {
                    take_back(content, &of_principal(&before));
                    Ok(())
                }
            }
        };
        // A concurrent hand-over may take the room.
        let note = ("content.hand-over", format!("to {owner}"));
        match self.change_rights(id, (apply, room), note, editor).await {
            Err(StoreError::Busy(busy)) => {
                self.may_store(id, &owner).await?;
                Err(StoreError::Busy(busy))
            }
            handed => handed,
        }
    }

    async fn change_rights(
        &self,
        id: &str,
        (apply, room): (impl Fn(&mut Content) -> Result<(), StoreError>, Option<u64>),
        (action, detail): (&str, String),
        editor: &Editor,
    ) -> Result<Entry, StoreError> {
        let bound = |content: &mut Content| {
            editor.may(Right::Own, content)?;
            apply(content)
        };
        let detail = |_: &Content, _: &Content| detail.clone();
        self.edit(id, editor, (bound, room), (action, detail)).await?;
        self.entry(id).await
    }

    /// Refuses a content that exceeds the quota of its new owner; returns the quota.
    async fn may_store(&self, id: &str, owner: &str) -> Result<Option<u64>, StoreError> {
        self.room_for(owner, self.store.stored_bytes(id, owner).await?).await
    }

    /// The principal named by a caller.
    async fn person(&self, name: &str) -> Result<Person, StoreError> {
        let person = self.people(vec![name.to_owned()]).await?.pop().unwrap_or_default();
        if person.principal.is_empty() {
            let reason = format!(
                "no user has the id or the wallet `{}`; they have to sign in once first",
                short(name)
            );
            return Err(StoreError::NoPerson(reason));
        }
        Ok(person)
    }

    /// The principals with these ids or wallets, in their order.
    pub(crate) async fn people(&self, names: Vec<String>) -> Result<Vec<Person>, StoreError> {
        let mut auth = AuthClient::new(self.dependencies.auth.clone());
        Ok(answered(auth.find(FindRequest { names })).await.map_err(unavailable)?.people)
    }
}

fn unavailable(reason: String) -> StoreError {
    StoreError::Unavailable(format!("the user is unknown: `auth` failed: {reason}; try again"))
}

fn give(content: &mut Content, name: &str, right: Right) -> Result<(), StoreError> {
    if let Some(share) =
        content.shares.iter_mut().find(|share| share.name == name && share.right() >= Right::View)
    {
        share.set_right(right);
        return Ok(());
    }
    content.shares.retain(|share| share.name != name);
    if in_force(content).count() >= MAX_SHARES {
        let reason = format!("a content has at most {MAX_SHARES} shares; remove one first");
        return Err(StoreError::Limit(reason));
    }
    content.shares.push(Share { name: name.to_owned(), right: right.into(), since_ms: now_ms() });
    Ok(())
}

/// A removed share stays for a while without a right.
fn take_back(content: &mut Content, name: &str) {
    let now_ms = now_ms();
    let still = now_ms - millis(REMEMBERED);
    content
        .shares
        .retain(|share| share.name != name && (share.right() >= Right::View || share.since_ms >= still));
    while content.shares.len() - in_force(content).count() >= MAX_TAKEN_BACK {
        let Some(oldest) = content.shares.iter().position(|share| share.right() < Right::View) else { break };
        content.shares.remove(oldest);
    }
    content.shares.push(Share { name: name.to_owned(), right: Right::None.into(), since_ms: now_ms });
}

fn verb(right: Right) -> &'static str {
    if right >= Right::Edit { "edit" } else { "view" }
}

/// Text of the caller, shortened for a message.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
