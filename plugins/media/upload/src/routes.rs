//! The HTTP routes of uploads: tus 1.0.0 under `/files`. See `docs/reference/http/uploads.md`.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use streamgate_plugin_api::{Body, cors};

use crate::audit::Caller;
use crate::checksum;
use crate::cors::CORS;
use crate::fault::Fault;
use crate::protocol::{self, *};
use crate::store::{self, Kind, Upload};
use crate::uploads::Uploads;

/// The state of every route.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) uploads: Uploads,
    pub(crate) cors_origins: Arc<[String]>,
}

/// The public router.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/files", any(collection))
        .route("/files/", any(collection))
        .route("/files/{id}", any(one))
        .fallback(|State(api): State<Api>, request: Request| async move { answer(&api, request, None).await })
        .with_state(api)
}

async fn collection(State(api): State<Api>, request: Request) -> Response {
    answer(&api, request, None).await
}

async fn one(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Response {
    answer(&api, request, Some(id)).await
}

async fn answer(api: &Api, request: Request, id: Option<String>) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = request.method() == Method::OPTIONS;
    let mut response = dispatch(api, request, id).await.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.insert(TUS_RESUMABLE, HeaderValue::from_static(VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !cors::is_any(&api.cors_origins) {
        cors::vary(headers);
    }
    let allowed = origin.and_then(|origin| cors::allowed(&api.cors_origins, Some(&origin)));
    if preflight {
        CORS.preflight(allowed.clone(), headers);
    }
    CORS.expose(allowed, headers);
    response
}

async fn dispatch(api: &Api, request: Request, id: Option<String>) -> Result<Response, Fault> {
    let collection = matches!(request.uri().path(), "/files" | "/files/");
    let (parts, body) = request.into_parts();
    // The effective method: the gateway applied any override before the filters.
    let method = parts.method;
    if method == Method::OPTIONS {
        return Ok(abilities(api));
    }
    if ![Method::POST, Method::HEAD, Method::PATCH, Method::DELETE].contains(&method) {
        return Err(Fault::Method);
    }
    protocol::check_version(&parts.headers)?;
    match (&method, id) {
        (&Method::POST, None) if collection => create(api, &parts.headers, body.into()).await,
        (_, None) if collection => Err(Fault::Method),
        (&Method::POST, Some(_)) => Err(Fault::Method),
        (_, Some(id)) if protocol::is_id(&id) => match method {
            Method::HEAD => Ok(head(&api.uploads.head(&id, &Caller::of(&parts.headers)).await?)),
            Method::PATCH => {
                let patch = protocol::continuation(&parts.headers)?;
                let caller = Caller::of(&parts.headers);
                let upload = api.uploads.continue_with(id, patch, caller, body.into()).await?;
                Ok(standing(StatusCode::NO_CONTENT, &upload))
            }
            _ => {
                api.uploads.terminate(&id, &Caller::of(&parts.headers)).await?;
                Ok(StatusCode::NO_CONTENT.into_response())
            }
        },
        _ => Err(Fault::NotFound),
    }
}

/// tus 1.0 §OPTIONS.
fn abilities(api: &Api) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(TUS_VERSION, HeaderValue::from_static(VERSION));
    headers.insert(TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS));
    headers.insert(TUS_MAX_SIZE, api.uploads.max_size().into());
    headers.insert(TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(checksum::ALGORITHMS));
    response
}

async fn create(api: &Api, headers: &HeaderMap, body: Body) -> Result<Response, Fault> {
    let creation = protocol::creation(headers, api.uploads.max_size())?;
    let with_data = creation.body.is_some();
    let upload = api.uploads.create(creation, Caller::of(headers), body).await?;
    let mut response = standing(StatusCode::CREATED, &upload);
    put(response.headers_mut(), header::LOCATION, &format!("/files/{}", upload.id));
    if !with_data {
        response.headers_mut().remove(UPLOAD_OFFSET);
    }
    Ok(response)
}

/// tus 1.0 §HEAD.
fn head(upload: &Upload) -> Response {
    let mut response = standing(StatusCode::OK, upload);
    let headers = response.headers_mut();
    match upload.length {
        Some(length) => headers.insert(UPLOAD_LENGTH, length.into()),
        None => headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if upload.kind == Kind::Final && !upload.is_whole() {
        // §Concatenation: no offset before the parts are joined.
        headers.remove(UPLOAD_OFFSET);
    }
    if !upload.facts.header.is_empty() {
        put(headers, UPLOAD_METADATA, &upload.facts.header);
    }
    if !upload.concat.is_empty() {
        put(headers, UPLOAD_CONCAT, &upload.concat);
    }
    response
}

/// The state of an upload: its offset and, while it is unfinished, when it expires.
fn standing(status: StatusCode, upload: &Upload) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, upload.received.into());
    if upload.state == store::State::Receiving {
        let since = Duration::from_millis(u64::try_from(upload.expires_at_ms).unwrap_or(0));
        put(headers, UPLOAD_EXPIRES, &httpdate::fmt_http_date(UNIX_EPOCH + since));
    }
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
