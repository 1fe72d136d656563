//! The REST API of captions and chapters, under `/api/v1/contents/{id}`. Uploads become WebVTT before they
//! are stored. See `docs/reference/http/captions.md`.

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use streamgate_captions::{Captions, CaptionsError, MAX_BYTES};
use streamgate_contracts::catalogue::v1::{Content, Right};
use streamgate_plugin_api::{Body, Problem, problems};

use crate::limits;
use crate::patch::line;
use crate::routes::{Api, bad_fields, bad_query, content_response, etag, json, parsed, query_of};
use crate::store::StoreError;
use crate::texts::{self, About};
use crate::view::CaptionView;

/// The media types of captions; the format itself is detected from the text.
const TEXTS: [&str; 11] = [
    "text/vtt",
    "application/x-subrip",
    "text/srt",
    "text/x-ssa",
    "text/x-ass",
    "application/x-ass",
    "application/ttml+xml",
    "application/xml",
    "text/xml",
    "text/plain",
    "application/octet-stream",
];
/// A JSON merge patch (RFC 7396).
const PATCHES: [&str; 2] = ["application/merge-patch+json", "application/json"];
const MAX_PATCH_BYTES: usize = 16 * 1024;
/// A thousand chapters with titles of four bytes a character, all of them escaped, would be longer.
const MAX_CHAPTERS_BYTES: usize = 1 << 20;

/// The routes.
pub(crate) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/contents/{id}/captions", get(list).post(add))
        .route("/api/v1/contents/{id}/captions/{name}", get(show).put(replace).patch(change).delete(remove))
        .route("/api/v1/contents/{id}/chapters", put(set_chapters))
}

async fn list(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StoreError> {
    let content = api.catalogue.seen(&id, &api.sight(&headers).await).await?.content;
    let items = serde_json::json!({ "items": CaptionView::all(&content) });
    Ok(json(StatusCode::OK, items.to_string(), Some(etag(&content))))
}

async fn add(
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Response> {
    api.may_change(&id, request.headers()).await?;
    let query = query_of::<AddQuery>(raw).ok_or_else(|| {
        let known = "Known parameters are `language`, `label`, `default`, `forced` and `hearing_impaired`, each at \
                     most once.";
        bad_query("", known.into()).into_response()
    })?;
    let says_language = query.language.is_some();
    let mut about = query.into_about().map_err(|problem| problem.into_response())?;
    let (headers, captions) = captions_of(request).await?;
    if !says_language {
        about.language = limits::language(&captions.language);
    }
    let added = api.catalogue.add_text(&id, &about, captions.vtt, &api.editor(&headers).await).await;
    let (content, name) = added.map_err(IntoResponse::into_response)?;
    let mut response = caption(StatusCode::CREATED, &content, &name).map_err(IntoResponse::into_response)?;
    let location = HeaderValue::try_from(format!("/api/v1/contents/{id}/captions/{name}"));
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn show(
    State(api): State<Api>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let sight = api.sight(&headers).await;
    let seen = api.catalogue.seen(&id, &sight).await.map_err(IntoResponse::into_response)?;
    if !sight.is_sure(&seen.content) {
        return Err(not_here());
    }
    let text = api.catalogue.text(&id, &name).await;
    let (content, body) = text.map_err(IntoResponse::into_response)?;
    let mut response = Response::new(axum::body::Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/vtt; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(etag(&content)) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

async fn replace(
    State(api): State<Api>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Response> {
    api.may_change(&id, request.headers()).await?;
    let (headers, captions) = captions_of(request).await?;
    let replaced = api.catalogue.replace_text(&id, &name, captions.vtt, &api.editor(&headers).await).await;
    let shown = replaced.and_then(|content| caption(StatusCode::OK, &content, &name));
    shown.map_err(IntoResponse::into_response)
}

async fn change(
    State(api): State<Api>,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Response> {
    let read = streamgate_plugin_api::read(request, &PATCHES, MAX_PATCH_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    let patch: Map<String, Value> = parsed(&body, "object").map_err(|problem| problem.into_response())?;
    let about = About::from_json(patch).map_err(bad_fields)?;
    api.may_change(&id, &parts.headers).await?;
    let changed = api.catalogue.change_text(&id, &name, &about, &api.editor(&parts.headers).await).await;
    let shown = changed.and_then(|content| caption(StatusCode::OK, &content, &name));
    shown.map_err(IntoResponse::into_response)
}

async fn remove(
    State(api): State<Api>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, StoreError> {
    api.held(&id, &headers, Right::Edit).await?;
    api.catalogue.remove_text(&id, &name, &api.editor(&headers).await).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_chapters(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let read = streamgate_plugin_api::read(request, &["application/json"], MAX_CHAPTERS_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    let list: Vec<Value> = parsed(&body, "list").map_err(|problem| problem.into_response())?;
    let chapters = texts::chapters(list).map_err(bad_fields)?;
    api.may_change(&id, &parts.headers).await?;
    let set = api.catalogue.set_chapters(&id, &chapters, &api.editor(&parts.headers).await).await;
    Ok(content_response(
        StatusCode::OK,
        &set.map_err(IntoResponse::into_response)?,
        &api.sight(&parts.headers).await,
    ))
}

impl Api {
    /// Whether the sender of a request may change a content.
    async fn may_change(&self, id: &str, headers: &HeaderMap) -> Result<(), Response> {
        self.held(id, headers, Right::Edit).await.map(drop).map_err(IntoResponse::into_response)
    }
}

/// Seeing a content in the catalogue does not include its captions: access to them is decided by playback.
fn not_here() -> Response {
    let detail = "Captions are read here by the owner of the content and by admins. Everybody \
                  who may play the content reads them at their `url`.";
    Problem::of(problems::FORBIDDEN).detail(detail).into_response()
}

/// The JSON of one text.
fn caption(status: StatusCode, content: &Content, name: &str) -> Result<Response, StoreError> {
    let text = texts::find(content, name)?;
    let view = CaptionView::new(&content.id, text);
    let body = serde_json::to_string(&view).expect("numbers and text are always JSON");
    Ok(json(status, body, Some(etag(content))))
}

/// The captions of a request, as WebVTT.
async fn captions_of<B: Into<Body>>(request: http::Request<B>) -> Result<(HeaderMap, Captions), Response> {
    let read = streamgate_plugin_api::read(request, &TEXTS, MAX_BYTES).await;
    let (parts, body) = read.map_err(IntoResponse::into_response)?;
    Ok((parts.headers, converted(body).await?))
}

async fn converted(body: Bytes) -> Result<Captions, Response> {
    // Large files take time, in which other requests must not wait.
    let read = tokio::task::spawn_blocking(move || streamgate_captions::read(&body)).await;
    match read {
        Ok(Ok(captions)) => Ok(captions),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(error) => {
            tracing::error!(%error, "captions could not be read");
            Err(StoreError::Unavailable("the captions could not be read; try again".into()).into_response())
        }
    }
}

fn unreadable(error: &CaptionsError) -> Response {
    let kind = match error {
        CaptionsError::TooLarge { .. } => problems::TOO_LARGE,
        _ => problems::INVALID_CAPTIONS,
    };
    let mut problem = Problem::of(kind).detail(format!("{error}."));
    if let Some(line) = error.line() {
        problem = problem.with("line", line);
    }
    problem.into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddQuery {
    language: Option<String>,
    label: Option<String>,
    default: Option<String>,
    forced: Option<String>,
    hearing_impaired: Option<String>,
}

impl AddQuery {
    fn into_about(self) -> Result<About, Box<Problem>> {
        let flag = |name: &str, given: Option<String>| match given.as_deref() {
            None | Some("" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Box::new(bad_query(name, format!("`{name}` must be `true` or `false`.")))),
        };
        let language = match self.language.as_deref() {
            None | Some("") => String::new(),
            Some(tag) => limits::language(tag).ok_or_else(|| {
                bad_query("language", "`language` must be one such as `de` or `pt-BR` (BCP 47).".into())
            })?,
        };
        let label = line(Value::String(self.label.unwrap_or_default()), limits::LABEL_CHARS)
            .map_err(|error| bad_query("label", format!("`label` {error}.")))?;
        Ok(About {
            language: Some(language),
            label: Some(label),
            default: Some(flag("default", self.default)?),
            forced: Some(flag("forced", self.forced)?),
            hearing_impaired: Some(flag("hearing_impaired", self.hearing_impaired)?),
        })
    }
}
