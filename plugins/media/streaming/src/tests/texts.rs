//! Texts and chapters from outside.

use super::*;

pub(super) const CAPTIONS: &str = "WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n";

/// A complete content with one text in its second version, and two chapters.
pub(super) fn response(revision: u64) -> TimelineResponse {
    let mut response = samples::response(ContentState::Ready, 3);
    let content = response.content.as_mut().unwrap();
    content.revision = revision;
    content.texts = vec![TextTrack {
        name: "text-1".into(),
        version: 2,
        bytes: CAPTIONS.len() as u32,
        language: "en".into(),
        ..TextTrack::default()
    }];
    let chapter = |start_ms, title: &str| Chapter { start_ms, title: title.into() };
    content.chapters = vec![chapter(0, "One"), chapter(2500, "Two <&> more")];
    response
}

/// With every version of the text in storage.
pub(super) fn fill(stage: &Stage, response: TimelineResponse) {
    stage.put(response);
    for version in 1..4 {
        let key = format!("{ID}/text-1/{version}.vtt");
        stage.drawer.objects.lock().unwrap().insert(key, Bytes::from_static(CAPTIONS.as_bytes()));
    }
}

fn stage() -> Stage {
    let stage = Stage::new(Duration::from_secs(3600));
    fill(&stage, response(5));
    stage
}

#[tokio::test]
async fn a_text_is_immutable_typed_and_readable_by_any_page() {
    let stage = stage();
    for _ in 0..2 {
        let got = stage.get("text-1/2.vtt").await;
        assert_eq!((got.status, got.text()), (StatusCode::OK, CAPTIONS));
        assert_eq!(got.field("content-type"), "text/vtt; charset=utf-8");
        assert_eq!(got.field("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(got.field("access-control-allow-origin"), "*");
        assert_eq!(got.field("etag"), "\"stored\"");
    }
    assert_eq!(stage.loads(), 1);
    let path = format!("/v/{ID}/text-1/2.vtt");
    let part = stage.request(Method::GET, &path, &[("range", "bytes=0-5")]).await;
    assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, "WEBVTT"));
    let known = stage.request(Method::GET, &path, &[("if-none-match", "\"stored\"")]).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    let failed = stage.request(Method::GET, &path, &[("if-match", "\"other\"")]).await;
    assert_eq!(failed.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn only_the_present_version_of_a_text_that_there_is_can_be_had() {
    let stage = stage();
    for path in ["text-1/1.vtt", "text-1/3.vtt", "text-1/0.vtt", "text-2/2.vtt", "360p/2.vtt", "text-1/0.m4s"]
    {
        assert_eq!(stage.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(stage.loads(), 0);
    let mut newer = response(6);
    newer.content.as_mut().unwrap().texts[0].version = 3;
    fill(&stage, newer);
    stage.announce(6).await;
    assert_eq!(stage.get("text-1/3.vtt").await.status, StatusCode::OK);
    assert_eq!(stage.get("text-1/2.vtt").await.status, StatusCode::NOT_FOUND);
    assert!(stage.get("text-1/index.m3u8").await.text().contains("\n3.vtt\n"));
}

#[tokio::test]
async fn a_player_that_began_before_a_text_was_replaced_plays_on_with_the_text_it_knows() {
    let stage = stage();
    let known = stage.get("text-1/index.m3u8").await;
    assert!(known.text().contains("\n2.vtt\n"));
    let mut newer = response(6);
    let text = &mut newer.content.as_mut().unwrap().texts[0];
    (text.version, text.bytes) = (3, 16);
    let hour = 3_600_000;
    let version = |version: u32, until_ms| EarlierText { version, bytes: CAPTIONS.len() as u32, until_ms };
    text.earlier = vec![version(1, now_ms() - hour), version(2, now_ms() + hour)];
    fill(&stage, newer);
    let key = format!("{ID}/text-1/3.vtt");
    stage.drawer.objects.lock().unwrap().insert(key, Bytes::from_static(b"WEBVTT\n\nNOTE new"));
    stage.announce(6).await;
    let before = stage.get("text-1/2.vtt").await;
    assert_eq!((before.status, before.text()), (StatusCode::OK, CAPTIONS));
    assert_eq!(before.field("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(stage.get("text-1/3.vtt").await.text(), "WEBVTT\n\nNOTE new");
    let playlist = stage.get("text-1/index.m3u8").await;
    assert!(playlist.text().contains("\n3.vtt\n") && !playlist.text().contains("2.vtt"));
    assert!(stage.get("manifest.mpd").await.text().contains("<BaseURL>text-1/3.vtt</BaseURL>"));
    assert_eq!(stage.get("text-1/1.vtt").await.status, StatusCode::NOT_FOUND, "its time is over");
}

#[tokio::test]
async fn a_text_that_was_removed_is_gone_and_nothing_of_it_stays_in_memory() {
    let stage = stage();
    assert_eq!(stage.get("text-1/2.vtt").await.status, StatusCode::OK);
    let mut without = response(6);
    without.content.as_mut().unwrap().texts.clear();
    stage.put(without);
    stage.announce(6).await;
    assert_eq!(stage.get("text-1/2.vtt").await.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.get("text-1/index.m3u8").await.status, StatusCode::NOT_FOUND);
    assert!(!stage.get("master.m3u8").await.text().contains("SUBTITLES"));
    fill(&stage, response(7));
    stage.announce(7).await;
    assert_eq!(stage.get("text-1/2.vtt").await.status, StatusCode::OK);
    assert_eq!(stage.loads(), 2);
}

#[tokio::test]
async fn playlists_name_the_text_and_its_playlist_names_the_file() {
    let stage = stage();
    let master = stage.get("master.m3u8").await;
    assert!(master.text().contains("URI=\"text-1/index.m3u8\""), "{}", master.text());
    let playlist = stage.get("text-1/index.m3u8").await;
    assert_eq!(playlist.field("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(playlist.field("cache-control"), "public, max-age=60");
    assert!(playlist.text().ends_with("#EXTINF:6.0,\n2.vtt\n#EXT-X-ENDLIST\n"), "{}", playlist.text());
    let manifest = stage.get("manifest.mpd").await;
    assert!(manifest.text().contains("<BaseURL>text-1/2.vtt</BaseURL>"), "{}", manifest.text());
}

#[tokio::test]
async fn chapters_are_a_file_of_cues_and_without_any_there_is_none() {
    let stage = stage();
    let got = stage.get("chapters.vtt").await;
    assert_eq!((got.status, got.field("content-type")), (StatusCode::OK, "text/vtt; charset=utf-8"));
    assert_eq!(got.field("access-control-allow-origin"), "*");
    assert!(got.text().ends_with("\n2\n00:00:02.500 --> 00:00:06.000\nTwo &lt;&amp;&gt; more\n"));
    let known = [("if-none-match", got.field("etag"))];
    let again = stage.request(Method::GET, &format!("/v/{ID}/chapters.vtt"), &known).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    let without = Stage::with(ContentState::Ready, 3);
    assert_eq!(without.get("chapters.vtt").await.status, StatusCode::NOT_FOUND);
}
