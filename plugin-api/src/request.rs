//! Request bodies, read whole.

use bytes::Bytes;
use http::request::Parts;
use http::{Request, header};

use crate::{Body, BodyError, Problem, problems};

/// A request's body of at most `most` bytes, if it is of one of these media types; else the problem to answer
/// with: 415 for another or no type (a form of another site cannot send a type such as `application/json`
/// without a preflight), 413 for a longer body, 400 for one that was interrupted or violated its framing.
///
/// # Errors
/// The problem.
pub async fn read<B: Into<Body>>(
    request: Request<B>,
    media_types: &[&str],
    most: usize,
) -> Result<(Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let given = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media_types.iter().any(|known| known.eq_ignore_ascii_case(given)) {
        let detail = format!("Send `{}`.", media_types.join("` or `"));
        return Err(Problem::of(problems::UNSUPPORTED_MEDIA_TYPE).detail(detail));
    }
    Ok((parts, body.into().collect_bytes(most).await?))
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let kind = if error.is_too_long() { problems::TOO_LARGE } else { problems::BROKEN_BODY };
        Self::of(kind).detail(format!("{error}."))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::stream;

    async fn status(media_type: Option<&str>, body: impl Into<Body>) -> u16 {
        let mut request = Request::post("/");
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let request = request.body(body.into()).unwrap();
        match read(request, &["application/json"], 4).await {
            Ok((_, bytes)) => {
                assert!(bytes.len() <= 4);
                200
            }
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_refused_by_what_is_wrong_with_it() {
        assert_eq!(status(Some("Application/JSON; charset=utf-8"), "1234").await, 200);
        assert_eq!(status(Some("application/json"), "12345").await, 413);
        for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
            assert_eq!(status(other, "1").await, 415);
        }
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from("1")), Err("an invalid chunk size")]));
        assert_eq!(status(Some("application/json"), broken).await, 400);
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from("123"))));
        assert_eq!(status(Some("application/json"), endless).await, 413);
    }
}
