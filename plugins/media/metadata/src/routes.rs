//! The REST API under `/api/v1/contents`: reading, changing and deleting contents, and
//! their live changes. Captions and chapters are in `captions_routes.rs`. See `docs/reference/http/contents.md`.

use axum::Router;
use axum::extract::{Path, Query, RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::{Map, Value};
use streamgate_contracts::audit::By;
use streamgate_contracts::catalogue::v1::{Content, ContentState, Right};
use streamgate_contracts::db::DbError;
use streamgate_plugin_api::conditional::{Validators, Verdict};
use streamgate_plugin_api::fair::{Full, Holder};
use streamgate_plugin_api::time::{now_ms, rfc3339};
use streamgate_plugin_api::{Problem, problems};

use crate::captions::Editor;
use crate::captions_routes;
use crate::catalogue::Catalogue;
use crate::cors::Cors;
use crate::cursor::{Cursor, Order};
use crate::listing::Filter;
use crate::live::{Follower, Live};
use crate::patch::{FieldError, Patch};
use crate::policies::Sight;
use crate::rights::Caller;
use crate::search::{Searches, Unsearched};
use crate::shares_routes;
use crate::store::{Entry, StoreError};
use crate::view::ContentView;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;
const MAX_QUERY_CHARS: usize = 200;
const MAX_PATCH_BYTES: usize = 256 * 1024;
/// A JSON merge patch (RFC 7396).
const PATCHES: [&str; 2] = ["application/merge-patch+json", "application/json"];

/// The state of every route.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) catalogue: Catalogue,
    pub(crate) live: Live,
    pub(crate) searches: Searches,
    pub(crate) cors: Cors,
}

impl Api {
    pub(crate) async fn sight(&self, headers: &HeaderMap) -> Sight {
        self.catalogue.policies.sight(Caller::of(headers)).await
    }

    /// Who changes what they saw.
    pub(crate) async fn editor(&self, headers: &HeaderMap) -> Editor {
        let caller = self.sight(headers).await.caller;
        Editor { by: By::of(headers), caller, expected: expected(headers) }
    }

    /// The content, if the sender of a request has this right.
    pub(crate) async fn held(
        &self,
        id: &str,
        headers: &HeaderMap,
        right: Right,
    ) -> Result<Entry, StoreError> {
        let sight = self.sight(headers).await;
        match self.catalogue.held(id, &sight, right).await {
            Err(StoreError::NotYours(_)) if sight.caller.is_nobody() => Err(StoreError::NotSignedIn),
            held => held,
        }
    }
}

/// The public router.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/contents", get(list))
        .route("/api/v1/contents/events", get(all_events))
        .route("/api/v1/contents/{id}", get(show).patch(change).delete(remove))
        .route("/api/v1/contents/{id}/events", get(events))
        .route("/api/v1/contents/{id}/retry", post(retry))
        .merge(captions_routes::router())
        .merge(shares_routes::router())
        .fallback(|| async { not_found("There is no resource at this path.") })
        .method_not_allowed_fallback(|| async { Problem::of(problems::METHOD_NOT_ALLOWED) })
        .layer(middleware::from_fn_with_state(api.clone(), cross_origin))
        .with_state(api)
}

async fn cross_origin(State(api): State<Api>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if request.method() == Method::OPTIONS {
        return api.cors.preflight(origin.as_ref());
    }
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if api.catalogue.policies.are_asked() {
        let by_whom = HeaderValue::from_static("Authorization, Cookie");
        response.headers_mut().append(header::VARY, by_whom);
    }
    api.cors.decorate(&method, origin.as_ref(), response.headers_mut());
    response
}

impl IntoResponse for StoreError {
    fn into_response(self) -> Response {
        let detail = self.to_string();
        let problem = match self {
            Self::NotFound(_) => return not_found(&detail).into_response(),
            Self::Deleted(_) => return not_found(&detail).into_response(),
            Self::NotSignedIn => return Problem::not_signed_in().into_response(),
            Self::NotShared(_) => Problem::of(problems::NOT_FOUND),
            Self::NoText(_) => Problem::of(problems::NOT_FOUND),
            Self::Limit(_) => Problem::of(problems::LIMIT_REACHED),
            Self::Spent { minutes, until_ms } => {
                let seconds = until_ms.saturating_sub(now_ms()).max(0) / 1_000 + 1;
                Problem::of(problems::QUOTA_ENCODE_MINUTES)
                    .header(header::RETRY_AFTER, seconds.to_string())
                    .with("limit", minutes)
                    .with("until", rfc3339(until_ms))
            }
            Self::NoRoom { limit, used, needed } => Problem::of(problems::QUOTA_STORED)
                .with("limit", limit)
                .with("used", used)
                .with("needed", needed),
            Self::Forbidden(_) | Self::Precondition(_) | Self::Superseded { .. } => {
                Problem::of(problems::WRONG_STATE)
            }
            Self::NoPerson(_) => shares_routes::no_person(),
            Self::NotYours(_) => Problem::of(problems::FORBIDDEN),
            Self::Changed { .. } => Problem::of(problems::CHANGED_MEANWHILE),
            Self::Invalid(_) => Problem::of(problems::INVALID_REQUEST),
            Self::Busy(_) | Self::Unavailable(_) | Self::Db(DbError::Unavailable { .. }) => {
                Problem::of(problems::UNAVAILABLE).header(header::RETRY_AFTER, "1")
            }
            Self::Full(_) | Self::Db(DbError::Full { .. }) => Problem::of(problems::INSUFFICIENT_STORAGE),
            Self::Db(error) => return error.problem("the catalogue").into_response(),
        };
        problem.detail(detail).into_response()
    }
}

fn not_found(detail: &str) -> Problem {
    Problem::of(problems::NOT_FOUND).detail(detail)
}

/// The revision that a change requires (RFC 9110 §13.1.1), if any.
pub(crate) fn expected(headers: &HeaderMap) -> Option<u64> {
    match headers.get(header::IF_MATCH).map(HeaderValue::to_str) {
        None | Some(Ok("*")) => None,
        Some(Ok(tag)) => {
            let tag = tag.trim().trim_matches('"');
            Some(tag.split('.').next().and_then(|revision| revision.parse().ok()).unwrap_or(0))
        }
        Some(Err(_)) => Some(0),
    }
}

/// A JSON body, which must be an `object` or a `list`.
pub(crate) fn parsed<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Box<Problem>> {
    serde_json::from_slice(body).map_err(|error| {
        let problem = match error.classify() {
            Category::Data if is_json(body, what) => {
                let detail = format!("The body has a wrong member or value: {error}.");
                Problem::of(problems::INVALID_REQUEST).detail(detail)
            }
            _ => {
                let detail = format!("The body is not a JSON {what}: {error}.");
                Problem::of(problems::INVALID_JSON).detail(detail)
            }
        };
        Box::new(problem)
    })
}

/// Whether a body is JSON of the required kind, whatever its members.
fn is_json(body: &[u8], what: &str) -> bool {
    let json = serde_json::from_slice::<Value>(body);
    json.is_ok_and(|json| if what == "object" { json.is_object() } else { json.is_array() })
}

pub(crate) fn bad_fields(errors: Vec<FieldError>) -> Response {
    let first = errors.first().map(|error| format!("{} {}.", error.pointer, error.detail));
    Problem::of(problems::INVALID_FIELDS)
        .detail(first.unwrap_or_default())
        .with("errors", serde_json::to_value(&errors).unwrap_or_default())
        .into_response()
}

pub(crate) fn bad_query(parameter: &str, detail: String) -> Problem {
    Problem::of(problems::INVALID_PARAMETER).detail(detail).with("parameter", parameter)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
    state: Option<String>,
    q: Option<String>,
    sort: Option<String>,
    owner: Option<String>,
    shared: Option<String>,
}

impl ListQuery {
    fn into_filter(self, sight: &Sight) -> Result<Filter, Box<Problem>> {
        let owner = owner(self.owner, sight)?;
        let shared = shared(self.shared.as_deref(), sight)?;
        let limit = match self.limit.as_deref() {
            None | Some("") => DEFAULT_LIMIT,
            Some(text) => match text.parse() {
                Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => limit,
                _ => {
                    let detail = format!("`limit` must be a whole number from 1 to {MAX_LIMIT}.");
                    return Err(Box::new(bad_query("limit", detail)));
                }
            },
        };
        let order = match self.sort.as_deref() {
            None | Some("") => Order::default(),
            Some(name) => Order::from_name(name)
                .ok_or_else(|| bad_query("sort", "`sort` is `newest`, `oldest` or `title`.".into()))?,
        };
        let after = match self.cursor.as_deref() {
            None | Some("") => None,
            Some(text) => {
                Some(Cursor::decode(text).filter(|cursor| cursor.order == order).ok_or_else(|| {
                    let detail = "`cursor` must be a `next_cursor` of an earlier page with the same `sort`.";
                    bad_query("cursor", detail.into())
                })?)
            }
        };
        let state = match self.state.as_deref() {
            None | Some("") => None,
            Some(name) => {
                Some(ContentState::from_name(name).map_err(|error| bad_query("state", format!("{error}.")))?)
            }
        };
        let text = self.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| text.chars().count() > MAX_QUERY_CHARS) {
            let detail = format!("`q` must be at most {MAX_QUERY_CHARS} characters long.");
            return Err(Box::new(bad_query("q", detail)));
        }
        Ok(Filter { state, text, order, after, limit, owner, shared, ..Filter::default() })
    }
}

/// The owner filter of a list. Only admins may filter by other owners.
fn owner(asked: Option<String>, sight: &Sight) -> Result<Option<String>, Box<Problem>> {
    let caller = &sight.caller;
    match asked {
        None => Ok(None),
        Some(owner) if owner.is_empty() => {
            Err(Box::new(bad_query("owner", "`owner` must be `me` or the id of a principal.".into())))
        }
        Some(_) if caller.is_nobody() => Err(Box::new(not_signed_in("owner"))),
        Some(owner) if owner == "me" => Ok(Some(caller.id.clone())),
        Some(owner) if owner == caller.id || caller.is_admin() => Ok(Some(owner)),
        Some(_) => {
            let problem = Problem::of(problems::FORBIDDEN);
            let detail = "`owner` may be `me`; only admins may filter by other owners.";
            Err(Box::new(problem.detail(detail).with("parameter", "owner")))
        }
    }
}

/// Whether a list shows only what others share with the caller.
fn shared(asked: Option<&str>, sight: &Sight) -> Result<bool, Box<Problem>> {
    match asked {
        None => Ok(false),
        Some("") => Err(Box::new(bad_query("shared", "`shared` may be `me`.".into()))),
        Some(_) if sight.caller.is_nobody() => Err(Box::new(not_signed_in("shared"))),
        Some("me") => Ok(true),
        Some(_) => Err(Box::new(bad_query("shared", "`shared` may be `me`.".into()))),
    }
}

fn not_signed_in(parameter: &str) -> Problem {
    let detail =
        format!("`{parameter}` requires authentication: sign in, or send an access token or an API key.");
    Problem::not_signed_in().detail(detail)
}

/// The parsed query; an error if a parameter is unknown, or given twice.
pub(crate) fn query_of<T: DeserializeOwned>(raw: Option<String>) -> Option<T> {
    let uri = http::Uri::builder().path_and_query(format!("/?{}", raw.unwrap_or_default())).build();
    Query::try_from_uri(&uri.ok()?).ok().map(|Query(query)| query)
}

#[derive(Serialize)]
struct Page<'a> {
    items: Vec<ContentView<'a>>,
    next_cursor: Option<String>,
}

async fn list(
    State(api): State<Api>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let Some(query) = query_of::<ListQuery>(raw) else {
        let known = "Known parameters are `limit`, `cursor`, `state`, `sort`, `owner`, `shared` and `q`, each at \
                     most once.";
        return Err(bad_query("", known.into()).into_response());
    };
    let sight = api.sight(&headers).await;
    let filter = query.into_filter(&sight).map_err(|problem| problem.into_response())?;
    let searches = filter.text.is_some();
    let listing = api.catalogue.list(filter, &sight);
    let listed = match searches {
        true => api.searches.run(Holder::of(&headers), listing).await.map_err(unsearched)?,
        false => listing.await,
    };
    let (entries, next) = listed.map_err(IntoResponse::into_response)?;
    let next_cursor = next.as_ref().map(Cursor::encode);
    let view = |entry| ContentView::new(entry, sight.shows_owner(&entry.content));
    let page = Page { items: entries.iter().map(view).collect(), next_cursor };
    let body = serde_json::to_string(&page).expect("numbers, text and lists are always JSON");
    Ok(json(StatusCode::OK, body, None))
}

async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StoreError> {
    let sight = api.sight(&headers).await;
    let entry = api.catalogue.seen(&id, &sight).await?;
    let tag = HeaderValue::try_from(tag_of(&entry, &sight)).ok();
    if (Validators { etag: tag.as_ref(), modified: None }).judge(&headers) == Verdict::NotModified {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
        return Ok(response);
    }
    Ok(content_response(StatusCode::OK, &entry, &sight))
}

async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let read = streamgate_plugin_api::read(request, &PATCHES, MAX_PATCH_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    let patch: Map<String, Value> = parsed(&body, "object").map_err(|problem| problem.into_response())?;
    let patch = Patch::from_json(patch).map_err(bad_fields)?;
    let sight = api.sight(&parts.headers).await;
    api.held(&id, &parts.headers, Right::Edit).await.map_err(IntoResponse::into_response)?;
    let entry = api
        .catalogue
        .patch(&id, &patch, &api.editor(&parts.headers).await)
        .await
        .map_err(IntoResponse::into_response)?;
    Ok(content_response(StatusCode::OK, &entry, &sight))
}

async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, StoreError> {
    api.held(&id, &headers, Right::Own).await?;
    let editor = api.editor(&headers).await;
    let may = |content: &Content| editor.may(Right::Own, content);
    if api.catalogue.delete(&id, &editor.by, may).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(StoreError::NotFound(id))
    }
}

async fn retry(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StoreError> {
    let sight = api.sight(&headers).await;
    api.held(&id, &headers, Right::Edit).await?;
    Ok(content_response(StatusCode::ACCEPTED, &api.catalogue.retry(&id, &By::of(&headers)).await?, &sight))
}

async fn all_events(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Response> {
    let follower = follower(&api, &headers).await?;
    api.live.all(&api.catalogue, &headers, follower).await.map_err(IntoResponse::into_response)
}

async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let follower = follower(&api, &headers).await?;
    api.live.one(&api.catalogue, &id, follower).await.map_err(IntoResponse::into_response)
}

async fn follower(api: &Api, headers: &HeaderMap) -> Result<Follower, Response> {
    let (sight, policies) = (api.sight(headers).await, api.catalogue.policies.clone());
    api.live.admit(headers, sight, policies).await.map_err(no_place)
}

fn no_place(full: Full) -> Response {
    let (status, setting, limit) = match full {
        Full::Share(most) => (StatusCode::TOO_MANY_REQUESTS, "plugins.auth.quotas: event_streams", most),
        Full::All(most) => (StatusCode::SERVICE_UNAVAILABLE, "max_event_clients", most),
    };
    Problem::of(problems::TOO_MANY_CLIENTS.with_status(status))
        .detail(format!("Of the streams of live changes {full}. Close one, or try again later."))
        .with("setting", setting)
        .with("limit", limit)
        .header(header::RETRY_AFTER, "10")
        .into_response()
}

fn unsearched(reason: Unsearched) -> Response {
    Problem::of(problems::TOO_MANY_SEARCHES)
        .detail(format!("{reason}. Lists without `q` are not affected; try again in a moment."))
        .header(header::RETRY_AFTER, "1")
        .into_response()
}

pub(crate) fn content_response(status: StatusCode, entry: &Entry, sight: &Sight) -> Response {
    let view = ContentView::new(entry, sight.shows_owner(&entry.content));
    json(status, view.to_json(), Some(tag_of(entry, sight)))
}

/// The revision, followed by whatever else of a view may change for users who may change the content.
fn tag_of(entry: &Entry, sight: &Sight) -> String {
    match sight.shows_owner(&entry.content) {
        true => format!("\"{}.{}\"", entry.content.revision, entry.openness as i32),
        false => etag(&entry.content),
    }
}

pub(crate) fn json(status: StatusCode, body: String, tag: Option<String>) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// RFC 9110 §8.8.3: the revision, which every change increments.
pub(crate) fn etag(content: &Content) -> String {
    format!("\"{}\"", content.revision)
}
