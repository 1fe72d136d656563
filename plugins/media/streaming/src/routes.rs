//! The service under `/v`: one tower service instead of a router, because most answers come out of memory and
//! take less time than matching routes would.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use http::request::Parts;
use http::{Method, Request, Response, header};
use streamgate_plugin_api::time::now_ms;
use streamgate_plugin_api::{Body, Problem, problems};
use tower::Service;

use crate::gate::refusal::VARY;
use crate::gate::{Gate, Pass};
use crate::manifest::contents::{ContentError, Contents};
use crate::manifest::documents::{Missing, Snapshot, thumbnails};
use crate::manifest::texts;
use crate::manifest::timeline::Track;
use crate::object::answer::{method_not_allowed, options, personal, problem};
use crate::object::objects::{ObjectError, Objects, Wanted};
use crate::object::path::{self, BEGAN, ContentId, Item, PREFIX, QUERY};

/// The largest index of thumbnails that a token is put into; one for a day of video takes a tenth of that.
const MAX_INDEX_BYTES: usize = 16 << 20;

/// The public service.
#[derive(Clone)]
pub(crate) struct Site {
    shared: Arc<Shared>,
}

struct Shared {
    contents: Arc<Contents>,
    objects: Arc<Objects>,
    /// `None`: everyone may play everything.
    gate: Option<Arc<Gate>>,
}

type Answer = Result<Response<Body>, Infallible>;

impl Site {
    pub(crate) fn new(contents: Arc<Contents>, objects: Arc<Objects>, gate: Option<Arc<Gate>>) -> Self {
        Self { shared: Arc::new(Shared { contents, objects, gate }) }
    }

    /// The answer, if it is available without I/O.
    fn at_hand(&self, request: &Parts) -> Option<Response<Body>> {
        match request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return Some(options()),
            _ => return Some(method_not_allowed(&request.method)),
        }
        let Some((id, item)) = path::parse(request.uri.path()) else { return Some(nothing_here(request)) };
        let pass = match &self.shared.gate {
            None => Pass::Open,
            Some(gate) => gate.at_hand(id, item, request)?,
        };
        let snapshot = self.shared.contents.fresh(id)?;
        let wanted = match find(&snapshot, request, item, &pass) {
            Found::Answer(response) => return Some(pass.mark(response)),
            Found::Object(wanted) => wanted,
            Found::Nothing if item.may_be_new() => return None,
            Found::Nothing => return Some(nothing_here(request)),
        };
        let entity = self.shared.objects.cached(wanted)?;
        Some(pass.mark(entity.answer(&request.method, &request.headers)))
    }
}

impl Service<Request<Body>> for Site {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, _) = request.into_parts();
        if let Some(response) = self.at_hand(&parts) {
            return Either::Left(ready(Ok(response)));
        }
        let shared = self.shared.clone();
        Either::Right(async move { Ok(shared.answer(&parts).await) }.boxed())
    }
}

impl Shared {
    /// The answer when the catalogue or storage has to be called.
    async fn answer(&self, request: &Parts) -> Response<Body> {
        let Some((id, item)) = path::parse(request.uri.path()) else { return nothing_here(request) };
        let pass = match &self.gate {
            None => Pass::Open,
            Some(gate) => match gate.pass(id, item, request).await {
                Ok(pass) => pass,
                Err(refusal) => return refusal.answer(),
            },
        };
        let unknown = |error| match error {
            ContentError::NotFound => no_content(id),
            error => unavailable(&error.to_string()),
        };
        let snapshot = match self.contents.get(id).await {
            Ok(snapshot) => snapshot,
            Err(error) => return unknown(error),
        };
        let mut found = find(&snapshot, request, item, &pass);
        if matches!(found, Found::Nothing) && item.may_be_new() {
            match self.contents.anew(id).await {
                Ok(snapshot) => found = find(&snapshot, request, item, &pass),
                Err(error) => return unknown(error),
            }
        }
        let wanted = match found {
            Found::Answer(response) => return pass.mark(response),
            Found::Object(wanted) => wanted,
            Found::Nothing => return nothing_here(request),
        };
        let answer = match (item, pass.token()) {
            (Item::Thumbnails, Some(token)) => self.index(wanted, request, token).await,
            _ => self.objects.answer(wanted, &request.method, &request.headers).await,
        };
        match answer {
            Ok(response) => pass.mark(response),
            Err(ObjectError::Missing) => {
                tracing::warn!(object = wanted.key, "an object of the catalogue is not in storage");
                nothing_here(request)
            }
            Err(error) => {
                tracing::warn!(object = wanted.key, %error, "an object cannot be served");
                unavailable(&error.to_string())
            }
        }
    }
}

impl Shared {
    /// The index of thumbnails with a token in it.
    async fn index(
        &self,
        wanted: Wanted<'_>,
        request: &Parts,
        token: &str,
    ) -> Result<Response<Body>, ObjectError> {
        let index = self.objects.whole(wanted, MAX_INDEX_BYTES).await?;
        let text = thumbnails(&String::from_utf8_lossy(&index), token);
        Ok(personal(&request.headers, &request.method, text, texts::MEDIA_TYPE, VARY))
    }
}

/// What an item resolves to.
enum Found<'a> {
    Answer(Response<Body>),
    Object(Wanted<'a>),
    Nothing,
}

/// Looks up an item in its cached content.
fn find<'a>(snapshot: &Snapshot, request: &'a Parts, item: Item<'_>, pass: &Pass) -> Found<'a> {
    if let Some(answer) = since(snapshot, request, item, pass) {
        return Found::Answer(answer);
    }
    let document = match pass.token() {
        None => snapshot.document(item).map(|it| it.map(|it| it.answer(&request.method, &request.headers))),
        Some(token) => snapshot
            .personal(item, token)
            .map(|it| it.map(|it| personal(&request.headers, &request.method, it.text, it.media_type, VARY))),
    };
    match document {
        Some(Ok(answer)) => return Found::Answer(answer),
        Some(Err(Missing::NotPlayable(not))) => return Found::Answer(not_playable(not.why)),
        Some(Err(Missing::NotHere)) => return Found::Nothing,
        None => {}
    }
    let timeline = &snapshot.timeline;
    let of_track = |track: &Track| if track.is_video() { "video/mp4" } else { "audio/mp4" };
    let found = match item {
        Item::Init(folder) => {
            timeline.at(folder, now_ms()).map(|track| (Some(track.init_bytes), of_track(track)))
        }
        Item::Segment(folder, number) => timeline.at(folder, now_ms()).and_then(|track| {
            let segment = track.segments.get(usize::try_from(number).ok()?)?;
            Some((Some(segment.bytes), of_track(track)))
        }),
        Item::Text(name, version) => timeline
            .text(name)
            .and_then(|text| text.bytes_of(version, now_ms()))
            .map(|bytes| (Some(bytes), texts::MEDIA_TYPE)),
        Item::Poster => timeline.has_poster.then_some((None, "image/jpeg")),
        Item::Thumbnails => timeline.has_thumbnails.then_some((None, texts::MEDIA_TYPE)),
        Item::ThumbnailSheet(_) => timeline.has_thumbnails.then_some((None, "image/jpeg")),
        Item::Multivariant | Item::Manifest | Item::Playlist(_) | Item::IFrames(_) | Item::Chapters => None,
    };
    let key = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    match found {
        Some((bytes, media_type)) => Found::Object(Wanted { key, bytes, media_type }),
        None => Found::Nothing,
    }
}

/// A playlist or the manifest for a player that began with a generation that was replaced.
fn since(snapshot: &Snapshot, request: &Parts, item: Item<'_>, pass: &Pass) -> Option<Response<Body>> {
    if !snapshot.timeline.has_replaced() {
        return None;
    }
    let query = pass.token().map(|token| format!("{QUERY}{token}")).unwrap_or_default();
    let written = snapshot.since(item, began(request), now_ms(), &query)?;
    Some(match pass.token() {
        None => snapshot.entity(written).answer(&request.method, &request.headers),
        Some(_) => personal(&request.headers, &request.method, written.text, written.media_type, VARY),
    })
}

/// The generation that a player states it began with.
fn began(request: &Parts) -> Option<u32> {
    let pairs = request.uri.query()?.split('&');
    pairs.filter_map(|pair| pair.strip_prefix(BEGAN)).find_map(|generation| generation.parse().ok())
}

fn nothing_here(request: &Parts) -> Response<Body> {
    problem(
        Problem::of(problems::NOT_FOUND)
            .detail(format!("`{}` is not the address of anything playable.", request.uri.path())),
    )
}

fn no_content(id: ContentId) -> Response<Body> {
    problem(
        Problem::of(problems::NO_CONTENT)
            .detail(format!("No content has the id {id}; it may have been deleted.")),
    )
}

fn not_playable(why: &str) -> Response<Body> {
    problem(
        Problem::of(problems::NOT_PLAYABLE)
            .detail(format!("It is {why}. Its state in the catalogue shows when it is playable."))
            .with("state", why)
            .header(header::RETRY_AFTER, "1"),
    )
}

fn unavailable(why: &str) -> Response<Body> {
    problem(Problem::unavailable(format!("{why}. Try again.")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests/routes.rs"]
mod tests;
