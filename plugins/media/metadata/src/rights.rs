//! A content's owner and shares, and the rights that follow. `access` decides what the policy allows, see
//! `policies.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use streamgate_contracts::catalogue::v1::{Content, Right, Share};
use streamgate_contracts::scopes;
use streamgate_plugin_api::Principal;
use streamgate_plugin_api::time::{millis, now_ms};

use crate::shares;

/// The caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Of a principal; empty: not signed in.
    pub(crate) id: String,
    /// The names by which shares may refer to them.
    names: Vec<String>,
    reads: bool,
    writes: bool,
    admin: bool,
    /// Contents that they are blocked from; none: `access` does not say, and no share counts.
    bars: Option<Bars>,
}

/// Contents that somebody is blocked from.
pub(crate) type Bars = Arc<HashSet<String>>;

/// The current or former owner of a content, and its shares.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Holders {
    /// Of the content.
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) shares: Vec<Share>,
}

/// A right on a content.
pub(crate) trait Held {
    /// Of the content.
    fn id(&self) -> &str;
    fn owner(&self) -> &str;
    fn shares(&self) -> &[Share];
}

impl Held for Holders {
    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn shares(&self) -> &[Share] {
        &self.shares
    }
}

impl Held for Content {
    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn shares(&self) -> &[Share] {
        &self.shares
    }
}

impl From<&Content> for Holders {
    fn from(content: &Content) -> Self {
        let id = content.id.clone();
        Self { id, owner: content.owner.clone(), shares: content.shares.clone() }
    }
}

impl Caller {
    /// The sender of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sender = Principal::of(headers);
        sender.map(|sender| Self::new(sender.id, &sender.roles, &sender.scopes)).unwrap_or_default()
    }

    /// A principal with these roles and scopes.
    pub(crate) fn new(id: String, roles: &[String], scopes: &[String]) -> Self {
        if id.is_empty() {
            return Self::default();
        }
        let names = roles.iter().map(|role| shares::of_role(role));
        Self {
            names: std::iter::once(shares::of_principal(&id)).chain(names).collect(),
            reads: scopes::has(scopes, scopes::READ),
            writes: scopes::has(scopes, scopes::WRITE),
            admin: scopes::over_all_contents(scopes),
            bars: Some(Bars::default()),
            id,
        }
    }

    /// The same, blocked from these contents; none: it is not known.
    pub(crate) fn with_bars(self, bars: Option<Bars>) -> Self {
        Self { bars, ..self }
    }

    /// Whether it is not known if they may see a content that is shared with them.
    pub(crate) fn is_unsure_of(&self, held: &impl Held) -> bool {
        self.bars.is_none() && self.right_to(held) < Right::View && self.is_named(held)
    }

    /// Whether a block can keep them out of a content of somebody else.
    pub(crate) fn can_be_barred(&self) -> bool {
        !self.admin && !self.names().is_empty()
    }

    fn is_barred(&self, held: &impl Held) -> bool {
        self.bars.as_ref().is_none_or(|bars| bars.contains(held.id()))
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.id.is_empty()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }

    /// Their right on a content because of its owner and its shares.
    pub(crate) fn right_to(&self, held: &impl Held) -> Right {
        let theirs = held.owner() == self.id || held.owner().is_empty();
        if self.admin || (self.writes && theirs) {
            return Right::Own;
        }
        if self.is_barred(held) {
            return Right::None;
        }
        let shares = held.shares().iter().filter(|share| self.names.contains(&share.name));
        let most = match (self.writes, self.reads) {
            (true, _) => Right::Edit,
            (false, true) => Right::View,
            (false, false) => Right::None,
        };
        shares.map(Share::right).max().map_or(Right::None, |right| right.min(most))
    }

    /// Whether a content is shared with them, whether or not a block takes that away.
    pub(crate) fn is_named(&self, held: &impl Held) -> bool {
        let given = |share: &Share| share.right() >= Right::View && self.names.contains(&share.name);
        !self.names().is_empty() && held.shares().iter().any(given)
    }

    /// Whether a share of theirs was removed within this time: they are notified that it is gone.
    pub(crate) fn lost(&self, held: &impl Held, within: Duration) -> bool {
        let since_ms = now_ms() - millis(within);
        let named = |share: &&Share| self.names.contains(&share.name);
        let lost = |share: &Share| match share.right() < Right::View {
            true => share.since_ms >= since_ms,
            false => self.is_barred(held),
        };
        self.right_to(held) < Right::View && held.shares().iter().filter(named).any(lost)
    }

    /// Whether they have this right. Without authentication there are no owners, and every caller that the
    /// ingress lets through has it.
    pub(crate) fn may(&self, right: Right, held: &impl Held) -> bool {
        self.right_to(held) >= right || (self.is_nobody() && held.owner().is_empty())
    }

    /// Owners whose contents they see whatever the policy.
    pub(crate) fn owners(&self) -> Vec<String> {
        if self.writes { vec![self.id.clone(), String::new()] } else { Vec::new() }
    }

    /// The names of shares that make a content visible to them.
    pub(crate) fn names(&self) -> &[String] {
        if self.reads || self.writes { &self.names } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgate_contracts::scopes::{ADMIN, READ, WRITE};

    fn caller(id: &str, scopes: &[&str]) -> Caller {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let roles = if scopes.contains(&WRITE) { vec!["viewer", "creator"] } else { vec!["viewer"] };
        Caller::new(id.into(), &texts(&roles), &texts(scopes))
    }

    fn of(owner: &str) -> Holders {
        Holders { id: "film".into(), owner: owner.into(), shares: Vec::new() }
    }

    fn shared(with: &[(&str, Right)]) -> Holders {
        let share =
            |&(name, right): &(&str, Right)| Share { name: name.into(), right: right.into(), since_ms: 1 };
        Holders { id: "film".into(), owner: "ann".into(), shares: with.iter().map(share).collect() }
    }

    #[test]
    fn creators_own_what_is_theirs_admins_everything_and_viewers_nothing() {
        let (ann, admin) = (caller("ann", &[READ, WRITE]), caller("bea", &[WRITE, ADMIN]));
        assert_eq!((ann.right_to(&of("ann")), ann.right_to(&of("bob"))), (Right::Own, Right::None));
        assert_eq!((admin.right_to(&of("ann")), admin.right_to(&of(""))), (Right::Own, Right::Own));
        let viewer = caller("ann", &[READ]);
        assert_eq!((viewer.right_to(&of("ann")), viewer.right_to(&of("bob"))), (Right::None, Right::None));
        assert!(!viewer.may(Right::Edit, &of("ann")) && !viewer.may(Right::Edit, &of("")));
    }

    #[test]
    fn a_key_that_is_for_the_server_alone_gives_no_contents() {
        let key = caller("bea", &[ADMIN]);
        assert_eq!((key.right_to(&of("ann")), key.right_to(&of("bea"))), (Right::None, Right::None));
        assert_eq!(key.right_to(&shared(&[("principal:bea", Right::Edit)])), Right::None);
        assert!(!key.is_admin() && key.owners().is_empty() && key.names().is_empty());
    }

    #[test]
    fn a_content_without_an_owner_is_every_creators_and_without_authentication_everyones() {
        let (ann, nobody) = (caller("ann", &[WRITE]), Caller::default());
        assert_eq!((ann.right_to(&of("")), nobody.right_to(&of(""))), (Right::Own, Right::None));
        assert!(nobody.may(Right::Edit, &of("")) && !nobody.may(Right::View, &of("ann")));
        assert_eq!(ann.owners(), ["ann", ""]);
        assert!(nobody.owners().is_empty() && nobody.names().is_empty());
    }

    #[test]
    fn a_share_gives_the_most_that_any_name_has_and_no_more_than_the_scopes() {
        let held = shared(&[
            ("role:creator", Right::View),
            ("principal:bob", Right::Edit),
            ("role:viewer", Right::View),
        ]);
        let (bob, watching) = (caller("bob", &[READ, WRITE]), caller("bob", &[READ]));
        assert_eq!((bob.right_to(&held), watching.right_to(&held)), (Right::Edit, Right::View));
        assert_eq!(caller("cat", &[READ, WRITE]).right_to(&held), Right::View);
        assert_eq!(caller("cat", &[READ]).right_to(&held), Right::View);
        assert_eq!(Caller::default().right_to(&held), Right::None);
        let one = shared(&[("principal:bob", Right::View)]);
        assert_eq!(
            (bob.right_to(&one), caller("bobby", &[READ, WRITE]).right_to(&one)),
            (Right::View, Right::None)
        );
    }

    #[test]
    fn a_block_takes_away_what_a_share_gives_and_nothing_else() {
        let held = shared(&[("principal:bob", Right::Edit), ("role:viewer", Right::View)]);
        let blocked =
            |id: &str| caller(id, &[READ, WRITE]).with_bars(Some(Bars::new(["film".into()].into())));
        assert_eq!(
            (blocked("bob").right_to(&held), blocked("ann").right_to(&held)),
            (Right::None, Right::Own)
        );
        assert!(blocked("bob").lost(&held, Duration::ZERO) && !blocked("ann").lost(&held, Duration::ZERO));
        let other = caller("bob", &[READ]).with_bars(Some(Bars::new(["other".into()].into())));
        assert_eq!(other.right_to(&held), Right::View);
        assert_eq!(caller("bob", &[READ]).with_bars(None).right_to(&held), Right::None, "unknown is refused");
    }

    #[test]
    fn scopes_without_a_principal_are_nobodys() {
        assert_eq!(caller("", &[WRITE, ADMIN]), Caller::default());
    }
}
