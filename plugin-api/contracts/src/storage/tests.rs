#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use super::*;

/// A storage that returns these answers in order, then 503, and records its requests.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Response<Bytes>>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Fake {
    fn then(self, status: u16, fields: &[(&'static str, &str)], body: &str) -> Self {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        self.answers.lock().unwrap().push_back(answer.body(Bytes::from(body.to_owned())).unwrap());
        self
    }

    fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let line = format!("{} {}", request.method(), request.uri());
            fake.asked.lock().unwrap().push((line, request.headers().clone()));
            let answer = fake.answers.lock().unwrap().pop_front();
            let answer =
                answer.unwrap_or_else(|| Response::builder().status(503).body(Bytes::new()).unwrap());
            async move { Ok::<_, Infallible>(answer.map(Body::from)) }
        });
        Client { pause: Duration::ZERO, ..Client::new(Service::from_service(service)).below("media/") }
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

#[tokio::test]
async fn a_retrying_client_outlasts_a_short_pause_of_the_storage_and_another_one_tries_once() {
    let fake = Fake::default().then(503, &[], "").then(429, &[], "").then(200, &[], "text");
    assert_eq!(fake.client().retrying().get("a", 9).await, Ok(Some("text".into())));
    assert_eq!(fake.lines().len(), 3);

    let fake = Fake::default();
    assert!(matches!(fake.client().retrying().get("a", 9).await, Err(StorageError::Unavailable { .. })));
    assert_eq!(fake.lines().len(), TRIES as usize);

    let fake = Fake::default();
    let error = fake.client().get("a", 9).await.unwrap_err();
    assert_eq!(error.to_string(), "the storage answered 503 Service Unavailable (GET media/a)");
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn what_the_storage_refuses_for_good_is_not_tried_again() {
    for (status, expected) in [
        (412, StorageError::PreconditionFailed("media/a".into())),
        (507, StorageError::Full { kept: None }),
        (404, StorageError::NotFound("media/a".into())),
        (
            405,
            StorageError::Refused { request: "PUT media/a".into(), status: StatusCode::METHOD_NOT_ALLOWED },
        ),
    ] {
        let fake = Fake::default().then(status, &[], "").then(204, &[], "");
        assert_eq!(fake.client().retrying().put("a", Bytes::new()).await, Err(expected));
        assert_eq!(fake.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_storage_that_does_not_answer_is_not_waited_for_beyond_the_deadline() {
    let silent =
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let client = Client::new(Service::from_service(silent)).within(Duration::from_millis(5));
    let late = |error| matches!(error, StorageError::Unavailable { .. });
    assert!(late(client.get("a", 1).await.unwrap_err()));
    assert!(late(client.open("a", 0).await.map(drop).unwrap_err()));
    assert!(late(client.complete("a", 0).await.unwrap_err()));
}

#[tokio::test]
async fn a_range_is_all_of_its_bytes_or_an_error() {
    let fake = Fake::default().then(206, &[], "ab").then(200, &[], "abc").then(206, &[], "abc");
    assert_eq!(fake.client().retrying().get_range("a", 4, 3).await, Ok("abc".into()));
    assert_eq!(fake.lines().len(), 3);
    assert_eq!(fake.asked.lock().unwrap()[0].1[header::RANGE], "bytes=4-6");
    let fake = Fake::default().then(200, &[], "abc").then(416, &[], "");
    assert!(fake.client().open("a", 1).await.is_err() && fake.client().open("a", 1).await.is_err());
}

#[tokio::test]
async fn what_is_not_there_is_none_or_nothing_to_remove() {
    let fake = (0..6).fold(Fake::default(), |fake, _| fake.then(404, &[], "a problem"));
    let client = fake.client();
    assert_eq!((client.get("a", 9).await, client.size("a").await), (Ok(None), Ok(None)));
    assert!(client.open("a", 0).await.unwrap().is_none());
    assert_eq!((client.delete("a").await, client.delete_all("a/").await), (Ok(()), Ok(0)));
    assert_eq!(client.list(&Listing::default()).await, Ok(Page::default()));
}

#[tokio::test]
async fn keys_are_encoded_and_a_listing_is_read_page_by_page() {
    let page = r#"{"objects":[{"key":"a b","size":3,"modified_ms":5}],"prefixes":["c/"],"next":"c/"}"#;
    let fake = Fake::default().then(200, &[], page).then(200, &[], r#"{"deleted":7}"#).then(201, &[], "");
    let client = fake.client();
    let listing = Listing { prefix: "a&b/", after: "ü", incomplete: true, folders: true, limit: 1 };
    let page = client.list(&listing).await.unwrap();
    assert_eq!((page.objects[0].size, page.next.as_deref()), (3, Some("c/")));
    assert_eq!(client.delete_all("a b/").await, Ok(7));
    client.put_new("a b", "x".into()).await.unwrap();
    let query = "?prefix=a%26b/&after=%C3%BC&incomplete=true&delimiter=/&limit=1";
    let lines = fake.lines();
    assert_eq!(lines[0], format!("GET http://storage/media/{query}"));
    assert_eq!(lines[1], "DELETE http://storage/media/?prefix=a%20b/");
    assert_eq!(lines[2], "PUT http://storage/media/a%20b");
    assert_eq!(fake.asked.lock().unwrap()[2].1[header::IF_NONE_MATCH], "*");
}

#[tokio::test]
async fn writes_carry_the_fence_and_reads_and_the_end_of_a_content_do_not() {
    let fake = (0..5).fold(Fake::default(), |fake, _| fake.then(200, &[], ""));
    let client = fake.client().fenced("id", 3);
    client.raise_fence().await.unwrap();
    client.put("id/a", Bytes::new()).await.unwrap();
    client.delete("id/a").await.unwrap();
    client.get("id/a", 9).await.unwrap();
    client.delete_all("id/").await.unwrap();
    let asked = fake.asked.lock().unwrap();
    let fences: Vec<_> = asked.iter().map(|(_, fields)| fields.get(fence::HEADER)).collect();
    let fence = HeaderValue::from_static("id=3");
    assert_eq!(fences, [Some(&fence), Some(&fence), Some(&fence), None, None]);
    assert_eq!(asked[0].0, "PUT http://storage/media/");
}

#[tokio::test]
async fn an_append_says_how_much_is_on_disk_also_when_it_fails() {
    let fake = Fake::default()
        .then(204, &[("upload-offset", "7")], "")
        .then(409, &[("upload-offset", "3")], "")
        .then(507, &[("upload-offset", "5")], "")
        .then(204, &[], "")
        .then(204, &[], "");
    let client = fake.client();
    assert_eq!(client.append("a", 4, Body::from("abc")).await, Ok(7));
    assert_eq!(client.append("a", 4, Body::empty()).await, Err(StorageError::Gap { have: 3 }));
    assert_eq!(client.append("a", 4, Body::empty()).await, Err(StorageError::Full { kept: Some(5) }));
    assert!(matches!(client.append("a", 4, Body::empty()).await, Err(StorageError::Unavailable { .. })));
    client.complete("a", 7).await.unwrap();
    let asked = fake.asked.lock().unwrap();
    assert_eq!(
        (&asked[0].1[UPLOAD_OFFSET], &asked[4].1[UPLOAD_COMPLETE]),
        (&4.into(), &"?1".parse().unwrap())
    );
}

#[tokio::test]
async fn what_a_precondition_of_a_read_comes_to_is_an_answer() {
    let fake = Fake::default().then(304, &[], "").then(412, &[("etag", "\"x\"")], "").then(416, &[], "");
    let client = fake.client();
    for status in [304, 412, 416] {
        assert_eq!(client.fetch(&Method::GET, "a", HeaderMap::new()).await.unwrap().status(), status);
    }
    assert!(client.fetch(&Method::GET, "a", HeaderMap::new()).await.is_err());
}
