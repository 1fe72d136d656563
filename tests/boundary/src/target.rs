//! The called code: an axum router with a tonic server in it.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use self::proto::Word;
use self::proto::echo_server::{Echo, EchoServer};

/// Generated from `proto/echo.proto`.
#[allow(missing_docs)]
pub mod proto {
    tonic::include_proto!("streamgate.bench.v1");
}

/// The number of pieces that `/stream` answers with, and their length.
pub const PIECES: usize = 1_000;
/// See [`PIECES`].
pub const PIECE: usize = 1 << 10;

static ZEROES: [u8; PIECE] = [0; PIECE];

/// `GET /empty`, `POST /echo`, `GET /stream`, and the tonic server.
pub fn router() -> Router {
    Router::new()
        .route("/empty", get(async || ()))
        .route("/echo", post(async |body: Bytes| body))
        .route("/stream", get(async || Body::from_stream(pieces())))
        .merge(Routes::new(EchoServer::new(Says)).into_axum_router())
}

fn pieces() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::iter((0..PIECES).map(|_| Ok(Bytes::from_static(&ZEROES))))
}

struct Says;

#[tonic::async_trait]
impl Echo for Says {
    async fn say(&self, word: Request<Word>) -> Result<Response<Word>, Status> {
        Ok(Response::new(word.into_inner()))
    }
}
