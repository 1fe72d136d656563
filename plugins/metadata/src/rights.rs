//! Whose a content is, and what that lets somebody do with it. What its policy lets everybody do is for
//! `access` to say, see `policies.rs`.

use http::HeaderMap;
use streamgate_contracts::catalogue::v1::Right;
use streamgate_contracts::scopes;
use streamgate_plugin_api::Principal;

/// Whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Of a principal; empty: nobody who is signed in.
    pub(crate) id: String,
    writes: bool,
    admin: bool,
}

impl Caller {
    /// The sender of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sender = Principal::of(headers);
        sender.map(|sender| Self::new(sender.id, &sender.scopes)).unwrap_or_default()
    }

    /// A principal with these scopes.
    pub(crate) fn new(id: String, scopes: &[String]) -> Self {
        let signed_in = !id.is_empty();
        let writes = signed_in && scopes::has(scopes, scopes::WRITE);
        Self { writes, admin: signed_in && scopes::over_all_contents(scopes), id }
    }

    pub(crate) fn is_nobody(&self) -> bool {
        self.id.is_empty()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }

    /// What they may do with a content of this owner because of whose it is.
    pub(crate) fn right_to(&self, owner: &str) -> Right {
        let theirs = owner == self.id || owner.is_empty();
        if self.admin || (self.writes && theirs) { Right::Own } else { Right::None }
    }

    /// Whether they may do what takes this right. Where nobody signs in, nobody owns anything, and whom
    /// the ingress lets pass may do it.
    pub(crate) fn may(&self, right: Right, owner: &str) -> bool {
        self.right_to(owner) >= right || (self.is_nobody() && owner.is_empty())
    }

    /// Owners whose contents they see whatever the policy.
    pub(crate) fn owners(&self) -> Vec<String> {
        if self.writes { vec![self.id.clone(), String::new()] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgate_contracts::scopes::{ADMIN, WRITE};

    fn caller(id: &str, scopes: &[&str]) -> Caller {
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Caller::new(id.into(), &scopes)
    }

    #[test]
    fn creators_own_what_is_theirs_admins_everything_and_viewers_nothing() {
        let (ann, admin) = (caller("ann", &["content:read", WRITE]), caller("bea", &[WRITE, ADMIN]));
        assert_eq!((ann.right_to("ann"), ann.right_to("bob")), (Right::Own, Right::None));
        assert_eq!((admin.right_to("ann"), admin.right_to("")), (Right::Own, Right::Own));
        let viewer = caller("ann", &["content:read"]);
        assert_eq!((viewer.right_to("ann"), viewer.right_to("bob")), (Right::None, Right::None));
        assert!(!viewer.may(Right::Edit, "ann") && !viewer.may(Right::Edit, ""));
    }

    #[test]
    fn a_key_that_is_for_the_server_alone_gives_no_contents() {
        let key = caller("bea", &[ADMIN]);
        assert_eq!((key.right_to("ann"), key.right_to("bea")), (Right::None, Right::None));
        assert!(!key.is_admin() && key.owners().is_empty());
    }

    #[test]
    fn what_nobody_owns_is_every_creators_and_where_nobody_signs_in_everybodys() {
        let (ann, nobody) = (caller("ann", &[WRITE]), Caller::default());
        assert_eq!((ann.right_to(""), nobody.right_to("")), (Right::Own, Right::None));
        assert!(nobody.may(Right::Edit, "") && !nobody.may(Right::View, "ann"));
        assert_eq!(ann.owners(), ["ann", ""]);
        assert!(nobody.owners().is_empty());
    }

    #[test]
    fn scopes_without_a_principal_are_nobodys() {
        assert_eq!(caller("", &[WRITE, ADMIN]), Caller::default());
    }
}
