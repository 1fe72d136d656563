//! Calls of a service, either linked or provided by the host.

use std::fmt::Debug;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use tonic::client::GrpcService;
use tower::{Service, ServiceExt};

use crate::cost;
use crate::target::proto::Word;
use crate::target::proto::echo_client::EchoClient;
use crate::target::{PIECE, PIECES};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How many concurrent requests, where it is more than one.
const TOGETHER: u32 = 32;

/// Makes requests with bodies of type `B`, and reads the answers to their ends.
pub async fn measure<S, B, R>(service: S, case: &str) -> Option<f64>
where
    S: Service<Request<B>, Response = Response<R>, Error: Debug> + Clone,
    B: From<Bytes>,
    R: http_body::Body<Data = Bytes, Error: Debug> + Unpin,
{
    let exchange = async |method: &Method, uri: &Uri, fields: &HeaderMap, body: &Bytes| {
        let mut request = Request::new(B::from(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        request.headers_mut().clone_from(fields);
        let answer = service.clone().oneshot(request).await.expect("the target answers");
        assert!(answer.status().is_success(), "{uri}: {}", answer.status());
        answer.into_body()
    };
    let (none, nothing) = (HeaderMap::new(), Bytes::new());
    let (empty, echo) = (uri("/empty"), uri("/echo"));
    Some(match case {
        "empty" => {
            cost(async || {
                let body = exchange(&Method::GET, &empty, &none, &nothing).await;
                assert!(whole(body).await.is_empty());
            })
            .await
        }
        "together" => {
            let all = cost(async || {
                let answers = (0..TOGETHER).map(|_| async {
                    let body = exchange(&Method::GET, &empty, &none, &nothing).await;
                    assert!(whole(body).await.is_empty());
                });
                join_all(answers).await;
            });
            all.await / f64::from(TOGETHER)
        }
        "fields" => {
            let fields = browser();
            cost(async || {
                let body = exchange(&Method::GET, &empty, &fields, &nothing).await;
                assert!(whole(body).await.is_empty());
            })
            .await
        }
        "1-kib" | "1-mib" => {
            let sent = Bytes::from(vec![7; if case == "1-kib" { 1 << 10 } else { 1 << 20 }]);
            cost(async || {
                let body = exchange(&Method::POST, &echo, &none, &sent).await;
                assert_eq!(whole(body).await.len(), sent.len());
            })
            .await
        }
        "piece" => {
            let stream = uri("/stream");
            let all = cost(async || {
                let mut body = exchange(&Method::GET, &stream, &none, &nothing).await;
                let mut length = 0;
                while let Some(frame) = body.frame().await {
                    length += frame.expect("a frame").data_ref().map_or(0, Bytes::len);
                }
                assert_eq!(length, PIECES * PIECE);
            });
            #[allow(clippy::cast_precision_loss)]
            let pieces = PIECES as f64;
            all.await / pieces
        }
        _ => return None,
    })
}

/// Makes calls of the tonic server with the generated client.
pub async fn tonic<S>(service: S) -> f64
where
    S: GrpcService<tonic::body::Body> + Clone,
    S::ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static,
{
    let client = EchoClient::new(service);
    let word = Word { text: "streamgate".to_owned(), number: 42 };
    cost(async || {
        let answer = client.clone().say(word.clone()).await.expect("the target answers");
        assert_eq!(answer.into_inner().number, word.number);
    })
    .await
}

fn uri(path: &'static str) -> Uri {
    Uri::builder().scheme("http").authority("bench").path_and_query(path).build().expect("a plain path")
}

async fn whole<R>(body: R) -> Bytes
where
    R: http_body::Body<Data = Bytes, Error: Debug>,
{
    body.collect().await.expect("the body is whole").to_bytes()
}

/// The headers of a browser with each request of a player, as forwarded by the gateway.
fn browser() -> HeaderMap {
    let fields = [
        (header::HOST, "media.example.org"),
        (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (header::ACCEPT, "*/*"),
        (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
        (header::ACCEPT_ENCODING, "gzip, deflate, br, zstd"),
        (header::REFERER, "https://media.example.org/watch/0198c0de"),
        (header::ORIGIN, "https://media.example.org"),
        (header::CONNECTION, "keep-alive"),
        (header::IF_NONE_MATCH, "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""),
        (header::HeaderName::from_static("sec-fetch-dest"), "empty"),
        (header::HeaderName::from_static("sec-fetch-mode"), "cors"),
        (
            header::HeaderName::from_static("traceparent"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}
