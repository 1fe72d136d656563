//! The REST API under `/api/v1/auth`, and the published keys. See `docs/reference/http/auth.md`.

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use streamgate_plugin_api::time::rfc3339;
use streamgate_plugin_api::{Body, cors};

use crate::auth::Auth;
use crate::cors::cross_origin;
use crate::error::{AuthError, Why};
use crate::people::api_keys::NewKey;
use crate::people::roles::role_action;
use crate::principal::{Credential, Identity, Scope, rights};
use crate::session::credentials::{self, Credentials};
use crate::session::sessions::{Target, Tokens};
use crate::sign_in::{Proof, Wanted};
use crate::store::KeyRow;

const MAX_BODY_BYTES: usize = 32 * 1024;
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

impl Auth {
    /// The public REST API.
    pub fn public(&self) -> Router {
        router(self.clone())
    }
}

fn router(auth: Auth) -> Router {
    Router::new()
        .route("/api/v1/auth/challenge", post(challenge))
        .route("/api/v1/auth/sign-in", post(sign_in))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/setup", post(set_up))
        .route("/api/v1/auth/admin-session", post(admin_session))
        .route("/api/v1/auth/logout", post(logout))
        .route("/api/v1/auth/me", get(me))
        .route("/api/v1/auth/wallets", get(wallets).post(link))
        .route("/api/v1/auth/wallets/{kind}/{address}", delete(unlink))
        .route("/api/v1/auth/sessions", get(sessions).delete(end_sessions))
        .route("/api/v1/auth/sessions/{id}", delete(end_session))
        .route("/api/v1/auth/keys", get(keys).post(create_key))
        .route("/api/v1/auth/keys/{id}", delete(revoke_key))
        .route("/api/v1/auth/principals", get(principals))
        .route("/api/v1/auth/principals/{id}/sessions", delete(sign_out))
        .route("/api/v1/auth/principals/{id}/roles/{role}", put(grant).delete(take))
        .route("/api/v1/auth/principals/{id}/quota", get(quota).put(set_quota).delete(clear_quota))
        .route("/api/v1/auth/audit", get(audit))
        .route("/.well-known/jwks.json", get(jwks))
        .fallback(|| async { Why::NotFound.because("There is no resource at this path.") })
        .method_not_allowed_fallback(|| async {
            Why::MethodNotAllowed.because("The field `Allow` lists the allowed methods.")
        })
        .layer(axum::middleware::from_fn_with_state(auth.clone(), cross_origin))
        .with_state(auth)
}

/// The credentials of a request, and its body as JSON.
async fn read<T: DeserializeOwned>(request: Request) -> Result<(Credentials, T), AuthError> {
    read_at_most(MAX_BODY_BYTES, request).await
}

/// The same with a signature in it, which is two characters a byte.
async fn read_proof(auth: &Auth, request: Request) -> Result<(Credentials, Proof), AuthError> {
    let signature = usize::try_from(auth.base.settings.max_signature.get()).unwrap_or(usize::MAX);
    read_at_most(MAX_BODY_BYTES.saturating_add(signature.saturating_mul(2)), request).await
}

async fn read_at_most<T: DeserializeOwned>(
    most: usize,
    request: Request,
) -> Result<(Credentials, T), AuthError> {
    let (parts, body) = request.into_parts();
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    // A form of another site cannot send this type without a preflight.
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Why::UnsupportedMediaType.because("Send JSON as `application/json`."));
    }
    let body = Body::new(body).collect_bytes(most).await.map_err(|error| match error.is_too_long() {
        true => Why::TooLarge.because(format!("The body may have at most {most} bytes.")),
        false => Why::InvalidRequest.because(format!("The body did not arrive whole: {error}.")),
    })?;
    let json = serde_json::from_slice(&body)
        .map_err(|error| Why::InvalidRequest.because(format!("The body: {error}.")))?;
    Ok((Credentials::of(&parts.method, &parts.headers), json))
}

async fn challenge(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, wanted) = read::<Wanted>(request).await?;
    let principal =
        if wanted.link { auth.filters.with_session(&from).await?.0.principal } else { String::new() };
    let asked = auth.sign_in.challenge(wanted, &from, &principal)?;
    Ok(answer(StatusCode::OK, &json!(asked)))
}

async fn sign_in(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, proof) = read_proof(&auth, request).await?;
    let tokens = auth.sign_in.sign_in(&proof, &from).await?;
    Ok(given(&auth, &tokens, proof.cookies))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    /// Default: that of the cookie, and the new ones are cookies too.
    refresh_token: Option<String>,
}

async fn refresh(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, body) = read::<RefreshBody>(request).await?;
    if let Some(token) = body.refresh_token {
        return Ok(given(&auth, &auth.sign_in.refresh(&token, &from).await?, false));
    }
    let token = from.refresh(auth.sites.is_secure())?;
    let token = token.ok_or_else(|| Why::NotSignedIn.because("There is no refresh token."))?;
    from.same_site(&auth.sites.ours())?;
    match auth.sign_in.refresh(token, &from).await {
        Ok(tokens) => Ok(given(&auth, &tokens, true)),
        Err(error @ AuthError::Refused { .. }) => Ok(without_cookies(&auth, error.into_response())),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupBody {
    code: String,
    #[serde(default)]
    cookies: bool,
}

async fn set_up(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, body) = read::<SetupBody>(request).await?;
    if body.cookies {
        from.same_site(&auth.sites.ours())?;
    }
    auth.filters.limit_address(&from.address)?;
    let tokens = auth.people.set_up(&body.code, &from).await?;
    Ok(given(&auth, &tokens, body.cookies))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminSessionBody {
    token: String,
    #[serde(default)]
    cookies: bool,
}

async fn admin_session(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, body) = read::<AdminSessionBody>(request).await?;
    if body.cookies {
        from.same_site(&auth.sites.ours())?;
    }
    auth.filters.limit_address(&from.address)?;
    let tokens = auth.people.admin_session(&body.token, &from).await?;
    Ok(given(&auth, &tokens, body.cookies))
}

async fn logout(State(auth): State<Auth>, method: Method, headers: HeaderMap) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let (identity, session) = match auth.filters.with_session(&from).await {
        Ok(found) => found,
        // Of an ended session only the cookies are left.
        Err(AuthError::Refused { why: Why::NotSignedIn | Why::SessionEnded | Why::TokenExpired, .. })
            if !from.cookie.is_empty() =>
        {
            from.same_site(&auth.sites.ours())?;
            return Ok(without_cookies(&auth, StatusCode::NO_CONTENT.into_response()));
        }
        Err(error) => return Err(error),
    };
    auth.sessions.end_sessions(&identity.principal, Some(&session), &from.address).await?;
    Ok(without_cookies(&auth, StatusCode::NO_CONTENT.into_response()))
}

async fn me(State(auth): State<Auth>, method: Method, headers: HeaderMap) -> Result<Response, AuthError> {
    let identity = match auth.filters.authenticate(&Credentials::of(&method, &headers)).await {
        Ok(identity) => Some(identity),
        // Pages call this for every visitor: not being signed in is an answer. An invalid credential is still
        // a refusal.
        Err(AuthError::Refused { why: Why::NotSignedIn, .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(answer(StatusCode::OK, &identity_view(identity.as_ref(), auth.sites.main())))
}

async fn wallets(
    State(auth): State<Auth>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let identity = auth.filters.authenticate(&Credentials::of(&method, &headers)).await?;
    let wallets = auth.base.store.wallets(&identity.principal).await?;
    let items: Vec<_> = wallets
        .iter()
        .map(|wallet| {
            json!({ "kind": wallet.kind, "address": wallet.address, "linked_at": rfc3339(wallet.linked_at_ms) })
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items })))
}

async fn link(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, proof) = read_proof(&auth, request).await?;
    auth.sign_in.link(&proof, &from).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn unlink(
    State(auth): State<Auth>,
    Path((kind, address)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    auth.sign_in.unlink(&kind, &address, &Credentials::of(&method, &headers)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn sessions(
    State(auth): State<Auth>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let (identity, current) = auth.filters.with_session(&Credentials::of(&method, &headers)).await?;
    let sessions = auth.base.store.sessions(&identity.principal, auth.base.clock.now_ms()).await?;
    let items: Vec<_> = sessions
        .iter()
        .map(|session| {
            json!({
                "id": session.id,
                "current": session.id == current,
                "wallet": session.wallet,
                "user_agent": session.user_agent,
                "address": session.address,
                "created_at": rfc3339(session.created_at_ms),
                "refreshed_at": rfc3339(session.refreshed_at_ms),
                "expires_at": rfc3339(session.expires_at_ms),
            })
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items })))
}

async fn end_sessions(
    State(auth): State<Auth>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let (identity, _) = auth.filters.with_session(&from).await?;
    auth.sessions.end_sessions(&identity.principal, None, &from.address).await?;
    Ok(without_cookies(&auth, StatusCode::NO_CONTENT.into_response()))
}

async fn end_session(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let (identity, _) = auth.filters.with_session(&from).await?;
    match auth.sessions.end_sessions(&identity.principal, Some(&id), &from.address).await? {
        0 => Err(Why::NotFound.because("You have no such session.")),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn keys(State(auth): State<Auth>, method: Method, headers: HeaderMap) -> Result<Response, AuthError> {
    let identity = auth.filters.authenticate(&Credentials::of(&method, &headers)).await?;
    let keys = auth.base.store.keys(&identity.principal).await?;
    let items: Vec<_> = keys.iter().map(key_view).collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items })))
}

async fn create_key(State(auth): State<Auth>, request: Request) -> Result<Response, AuthError> {
    let (from, wanted) = read::<NewKey>(request).await?;
    let identity = auth.filters.authenticate(&from).await?;
    let (key, text) = auth.people.create_key(wanted, &identity, &from.address).await?;
    let mut view = key_view(&key);
    view["key"] = text.into();
    Ok(answer(StatusCode::CREATED, &view))
}

async fn revoke_key(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let identity = auth.filters.authenticate(&from).await?;
    auth.people.revoke_key(&id, &identity, &from.address).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn grant(
    State(auth): State<Auth>,
    Path((id, role)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    set_role(&auth, &id, &role, true, &Credentials::of(&method, &headers)).await
}

async fn take(
    State(auth): State<Auth>,
    Path((id, role)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    set_role(&auth, &id, &role, false, &Credentials::of(&method, &headers)).await
}

async fn set_role(
    auth: &Auth,
    id: &str,
    role: &str,
    granted: bool,
    from: &Credentials,
) -> Result<Response, AuthError> {
    let admin = auth.filters.with_scope(from, Scope::Admin, role_action(granted)).await?;
    auth.people.set_role(id, role, granted, &admin.principal, &from.address).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn quota(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    if auth.filters.authenticate(&from).await?.principal != id {
        auth.filters.with_scope(&from, Scope::Admin, "quota.read").await?;
        auth.people.known(&id).await?;
    }
    Ok(answer(StatusCode::OK, &auth.people.show_quota(&id).await?))
}

async fn set_quota(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, AuthError> {
    let (from, body) = read(request).await?;
    let admin = auth.filters.with_scope(&from, Scope::Admin, "quota.set").await?;
    auth.people.set_quota(&id, &body, &admin.principal, &from.address).await?;
    Ok(answer(StatusCode::OK, &auth.people.show_quota(&id).await?))
}

async fn clear_quota(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let admin = auth.filters.with_scope(&from, Scope::Admin, "quota.clear").await?;
    auth.people.clear_quota(&id, &admin.principal, &from.address).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends all sessions and API keys of a principal.
async fn sign_out(
    State(auth): State<Auth>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    let from = Credentials::of(&method, &headers);
    let admin = auth.filters.with_scope(&from, Scope::Admin, "revoke").await?;
    let ended =
        auth.sessions.revoke(Target::Principal(&id), &admin.principal, "an admin signed them out").await?;
    Ok(answer(StatusCode::OK, &json!({ "ended": ended })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    limit: Option<usize>,
    /// The `next_cursor` of the previous page: the id of its last entry.
    cursor: Option<String>,
    principal: Option<String>,
}

impl PageQuery {
    fn read(
        query: Result<Query<Self>, impl std::fmt::Display>,
    ) -> Result<(String, String, usize), AuthError> {
        let invalid = |detail: String| Why::InvalidRequest.because(detail);
        let Query(query) = query.map_err(|error| invalid(format!("The query: {error}.")))?;
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(invalid(format!("`limit` must be a whole number from 1 to {MAX_LIMIT}.")));
        }
        let id = |text: Option<String>, name: &str| {
            let text = text.unwrap_or_default();
            let digits = |uid: &str| uid.len() <= 10 && uid.bytes().all(|byte| byte.is_ascii_digit());
            let sound = text.is_empty()
                || text.len() == 36 && uuid::Uuid::try_parse(&text).is_ok()
                // A local user of the server.
                || name == "principal" && text.strip_prefix("uid:").is_some_and(digits);
            let reason = format!("`{name}` is not an id of an earlier answer.");
            if sound { Ok(text.to_ascii_lowercase()) } else { Err(invalid(reason)) }
        };
        Ok((id(query.cursor, "cursor")?, id(query.principal, "principal")?, limit))
    }
}

async fn audit(
    State(auth): State<Auth>,
    query: Result<Query<PageQuery>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    auth.filters.with_scope(&Credentials::of(&method, &headers), Scope::Admin, "audit.read").await?;
    let (cursor, principal, limit) = PageQuery::read(query)?;
    let mut rows = auth.base.store.audit(&cursor, &principal, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let items: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let mut item = json!({ "id": row.id, "at": rfc3339(row.at_ms) });
            for (name, text) in row.entry {
                item[name] = text.into();
            }
            item
        })
        .collect();
    Ok(answer(StatusCode::OK, &json!({ "items": items, "next_cursor": next })))
}

async fn principals(
    State(auth): State<Auth>,
    query: Result<Query<PageQuery>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, AuthError> {
    auth.filters.with_scope(&Credentials::of(&method, &headers), Scope::Admin, "principals.read").await?;
    let (cursor, _, limit) = PageQuery::read(query)?;
    let mut rows = auth.base.store.principals(&cursor, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(id, ..)| id.clone());
    let mut items = Vec::with_capacity(rows.len());
    for (id, name, created_at_ms) in rows {
        let roles = auth.base.store.roles(&id).await?;
        let (roles, _) = rights(&roles, None);
        let wallets = auth.base.store.wallet_names(&id).await?;
        items.push(json!({
            "id": id, "name": name, "created_at": rfc3339(created_at_ms), "roles": roles, "wallets": wallets,
        }));
    }
    Ok(answer(StatusCode::OK, &json!({ "items": items, "next_cursor": next })))
}

async fn jwks(State(auth): State<Auth>) -> Response {
    let mut response = answer(StatusCode::OK, &auth.sessions.jwks());
    let headers = response.headers_mut();
    // A new key signs at once: a reader of an unknown `kid` fetches the keys again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    cors::allow_any(headers);
    response
}

/// The caller, or none; and the address that browsers have cookies for.
fn identity_view(identity: Option<&Identity>, site: Option<String>) -> Value {
    let (session, api_key) = match identity.map(|identity| &identity.credential) {
        Some(Credential::Session(id)) => (Some(id), None),
        Some(Credential::ApiKey(id)) => (None, Some(id)),
        None => (None, None),
    };
    json!({
        "principal": identity.map(|identity| &identity.principal),
        "roles": identity.map(|identity| identity.roles.clone()).unwrap_or_default(),
        "scopes": identity.map(|identity| identity.scopes.clone()).unwrap_or_default(),
        "session": session,
        "api_key": api_key,
        "expires_at": identity.and_then(|identity| identity.expires_at_ms).map(rfc3339),
        "wallets": identity.map(|identity| identity.wallets.as_slice()).unwrap_or_default(),
        "site": site,
    })
}

fn key_view(key: &KeyRow) -> Value {
    json!({
        "id": key.id,
        "principal": key.principal,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": rfc3339(key.created_at_ms),
        "expires_at": key.expires_at_ms.map(rfc3339),
        "last_used_at": key.last_used_at_ms.map(rfc3339),
    })
}

/// Tokens in the body, or as cookies and then out of reach of the page.
fn given(auth: &Auth, tokens: &Tokens, cookies: bool) -> Response {
    let mut view = json!(tokens);
    if !cookies {
        return answer(StatusCode::OK, &view);
    }
    if let Some(fields) = view.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "access_token" | "refresh_token" | "token_type"));
    }
    let cookies = credentials::set(
        &tokens.access_token,
        &tokens.refresh_token,
        tokens.refresh_expires_in,
        auth.sites.is_secure(),
    );
    with_cookies(answer(StatusCode::OK, &view), cookies)
}

fn without_cookies(auth: &Auth, response: Response) -> Response {
    with_cookies(response, credentials::set("", "", 0, auth.sites.is_secure()))
}

fn with_cookies(mut response: Response, cookies: [String; 2]) -> Response {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn answer(status: StatusCode, json: &Value) -> Response {
    let mut response = (status, json.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
