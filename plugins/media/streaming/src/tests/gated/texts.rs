//! Texts and chapters of contents that are not public.

use super::super::texts::{CAPTIONS, fill, response};
use super::*;

fn house() -> House {
    let house = House::open();
    fill(&house.stage, response(6));
    house
}

#[tokio::test]
async fn texts_and_chapters_need_the_right_to_play() {
    let house = house();
    for path in ["text-1/2.vtt", "text-1/index.m3u8", "chapters.vtt"] {
        assert_refused(&house.get(path, &[]).await, 401, "not-signed-in", "Only for members.");
    }
    let token = house.start(ADA).await;
    for path in ["text-1/2.vtt", "text-1/index.m3u8", "chapters.vtt"] {
        assert_eq!(house.get(&format!("{path}?t={token}"), &[]).await.status, StatusCode::OK, "{path}");
    }
    house.revoke("ada", 2);
    house.say(denied("not-entitled", "You hold 0 of 1 tokens.", 2));
    for path in ["text-1/2.vtt", "text-1/index.m3u8", "chapters.vtt"] {
        let got = house.get(&format!("{path}?t={token}"), &[]).await;
        assert_refused(&got, 403, "revoked", "The token went to another wallet.");
    }
}

#[tokio::test]
async fn every_address_of_a_text_carries_the_token_and_shared_caches_may_not_store_it() {
    let house = house();
    let token = house.start(ADA).await;
    let get = async |path: &str| house.get(&format!("{path}?t={token}"), &[]).await;
    let master = get("master.m3u8").await;
    assert!(master.text().contains(&format!("URI=\"text-1/index.m3u8?t={token}\"")), "{}", master.text());
    let manifest = get("manifest.mpd").await;
    assert!(manifest.text().contains(&format!("<BaseURL>text-1/2.vtt?t={token}</BaseURL>")));
    let playlist = get("text-1/index.m3u8").await;
    assert!(playlist.text().contains(&format!("\n2.vtt?t={token}\n")), "{}", playlist.text());
    assert_eq!(playlist.field("cache-control"), "private, no-store");
    let text = get("text-1/2.vtt").await;
    assert_eq!((text.text(), text.field("cache-control")), (CAPTIONS, "private, max-age=300"));
    let chapters = get("chapters.vtt").await;
    assert_eq!(chapters.field("cache-control"), "private, no-store");
    assert!(chapters.text().starts_with("WEBVTT\n") && !chapters.text().contains(&token));
}

#[tokio::test]
async fn reading_texts_starts_no_player() {
    let house = house();
    for _ in 0..10 {
        for path in ["text-1/2.vtt", "chapters.vtt"] {
            let got = house.get(path, &[ADA]).await;
            assert_eq!(got.status, StatusCode::OK, "{path}");
            assert_eq!(got.field("cache-control"), "private, max-age=300");
            assert_eq!(got.field("vary"), "cookie, authorization");
        }
    }
    // All slots are still free.
    for _ in 0..5 {
        house.play(ADA).await;
    }
    let token = house.start(ADA).await;
    assert_eq!(house.get(&format!("text-1/2.vtt?t={token}"), &[]).await.status, StatusCode::OK);
    assert_eq!(house.segment(&token).await.status, StatusCode::TOO_MANY_REQUESTS);
}
