//! Request bodies that arrive slowly, or wrongly framed.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use futures_util::StreamExt;
use streamgate_gateway::Settings;
use streamgate_plugin_api::settings::{ByteSize, Duration as Time};
use support::{Gateway, Raw, settings, start};
use tokio::io::AsyncWriteExt;

/// Reads a body to its end and returns how much arrived; a plugin that reports every failure as "too large".
fn counts(settings: &Settings) -> Gateway {
    let count = async |request: Request| {
        let mut body = request.into_body().into_data_stream();
        let mut length = 0;
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else { return (axum::http::StatusCode::PAYLOAD_TOO_LARGE, String::new()) };
            length += piece.len();
        }
        (axum::http::StatusCode::OK, length.to_string())
    };
    start(settings, [("/", Router::new().route("/", post(count)))])
}

fn problem(answer: &support::Answer) -> String {
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    problem["type"].as_str().unwrap().trim_start_matches("urn:streamgate:problem:").to_owned()
}

/// Sends a byte every 20 ms, `many` in total, or until the server has answered.
async fn dribble(client: &mut Raw, many: usize) -> bool {
    for _ in 0..many {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if client.tcp.write_all(b"1\r\nx\r\n").await.is_err() || client.answered() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_body_that_only_dribbles_is_cut_and_a_short_one_is_not() {
    let pace = Settings { body_timeout: Time::secs(1), min_body_rate: ByteSize::bytes(500), ..settings() };
    let head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let gateway = counts(&pace);
    let mut client = gateway.connect().await;
    client.send(head).await;
    assert!(dribble(&mut client, 1000).await, "a byte each 20 ms is never still, and never fast enough");
    let answer = client.answer().await;
    assert_eq!((answer.status, problem(&answer)), (408, "request-timeout".into()));
    assert!(answer.text().contains("500 bytes per second"), "{}", answer.text());

    let mut client = gateway.connect().await;
    client.send(head).await;
    assert!(!dribble(&mut client, 5).await);
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "5", "what ends in time may be as slow as it likes");

    let gateway = counts(&Settings { min_body_rate: ByteSize::bytes(0), ..pace });
    let mut client = gateway.connect().await;
    client.send(head).await;
    assert!(!dribble(&mut client, 80).await, "0 is any rate");
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "80");
}

#[tokio::test]
async fn chunks_that_are_none_are_the_requests_fault_whatever_the_plugin_makes_of_them() {
    let gateway = counts(&settings());
    for chunk in ["zz\r\nabc\r\n", "3\r\nabcdef\r\n", "-1\r\n", "ffffffffffffffffff\r\n"] {
        let mut client = gateway.connect().await;
        client.send(format!("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, problem(&answer)), (400, "malformed-body".into()), "{chunk}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}
