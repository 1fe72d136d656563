//! The scopes of `auth`, for plugins that serve contents (`Identity.scopes`, `Principal::scopes`).

/// To watch.
pub const READ: &str = "content:read";
/// To change one's own contents.
pub const WRITE: &str = "content:write";
/// To administer the server.
pub const ADMIN: &str = "admin";

/// Whether one of these scopes is the wanted one.
#[must_use]
pub fn has(scopes: &[String], wanted: &str) -> bool {
    scopes.iter().any(|scope| scope == wanted)
}

/// Whether the holder may change everyone's contents. A key for server administration only may not.
#[must_use]
pub fn over_all_contents(scopes: &[String]) -> bool {
    has(scopes, WRITE) && has(scopes, ADMIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybodys_contents_take_both_scopes() {
        let of = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
            over_all_contents(&scopes)
        };
        assert!(of(&[ADMIN, "content:read", WRITE]));
        assert!(!of(&[ADMIN, "content:read"]) && !of(&[WRITE]) && !of(&[]));
    }
}
