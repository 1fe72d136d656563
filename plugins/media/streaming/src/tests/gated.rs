//! Contents that are not public, through HTTP.

#[path = "gated/addresses.rs"]
mod addresses;
#[path = "gated/ends.rs"]
mod ends;
#[path = "gated/house.rs"]
mod house;
#[path = "gated/texts.rs"]
mod texts;

use std::collections::BTreeSet;

use streamgate_contracts::access::v1::Openness;
use streamgate_sqlite::Engine;

use super::*;
use crate::gate::playback::Lifetimes;
use crate::gate::token::Key;
use house::*;

const EVERYTHING: [&str; 12] = [
    "master.m3u8",
    "manifest.mpd",
    "360p/index.m3u8",
    "360p/iframes.m3u8",
    "360p/init.mp4",
    "360p/0.m4s",
    "poster.jpg",
    "thumbnails.vtt",
    "thumbnails-0.jpg",
    "text-1/index.m3u8",
    "text-1/2.vtt",
    "chapters.vtt",
];

#[tokio::test]
async fn public_contents_are_answered_as_without_a_gate_and_cost_one_question() {
    let house = House::open();
    *house.doorman.openness.lock().unwrap() = Some(Openness::Public);
    let without = Stage::with(ContentState::Ready, 3);
    for path in EVERYTHING {
        for fields in [&[][..], &[ADA]] {
            let (got, plain) = (house.get(path, fields).await, without.get(path).await);
            assert_eq!((got.status, &got.headers, &got.body), (plain.status, &plain.headers, &plain.body));
        }
    }
    assert_eq!(house.doorman.policies.load(Ordering::SeqCst), 1);
    assert_eq!((house.decisions(), house.authentications()), (0, 0));
}

#[tokio::test]
async fn a_policy_that_is_not_known_is_never_taken_for_open() {
    let house = House::open();
    *house.doorman.openness.lock().unwrap() = None;
    for path in EVERYTHING {
        assert_refused(&house.get(path, &[ADA]).await, 503, "access-unavailable", "Try again");
    }
    *house.doorman.openness.lock().unwrap() = Some(Openness::Public);
    assert_eq!(house.get("master.m3u8", &[]).await.status, StatusCode::OK);
    // The cached policy is used for its time, and no longer.
    *house.doorman.openness.lock().unwrap() = None;
    house.clock.pass(MINUTE / 2);
    assert_eq!(house.get("master.m3u8", &[]).await.status, StatusCode::OK);
    house.clock.pass(MINUTE);
    assert_refused(&house.get("master.m3u8", &[]).await, 503, "access-unavailable", "Try again");
}

#[tokio::test]
async fn a_policy_in_use_is_asked_for_anew_before_it_is_too_old() {
    let house = House::open();
    *house.doorman.openness.lock().unwrap() = Some(Openness::Public);
    house.get("master.m3u8", &[]).await;
    let asked = || house.doorman.policies.load(Ordering::SeqCst);
    house.clock.pass(MINUTE * 3 / 4);
    assert_eq!(asked(), 1);
    house.get("master.m3u8", &[]).await;
    until(async || asked() == 2).await;
    house.clock.pass(MINUTE / 2);
    until(async || house.get("master.m3u8", &[]).await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn every_item_of_a_private_content_needs_a_sign_in() {
    let house = House::open();
    for openness in [Openness::Gated, Openness::Private, Openness::Unspecified] {
        *house.doorman.openness.lock().unwrap() = Some(openness);
        house.change();
        for path in EVERYTHING {
            let got = house.get(path, &[]).await;
            assert_refused(&got, 401, "not-signed-in", "Only for members.");
            assert_eq!(got.field("www-authenticate"), "Bearer");
        }
    }
    assert_eq!(house.authentications(), 0);
}

#[tokio::test]
async fn a_refusal_is_that_of_the_decision_with_its_reason() {
    let house = House::open();
    house.say(denied("not-entitled", "You hold 0 of 2 tokens.", 1));
    assert_refused(&house.get("master.m3u8", &[ADA]).await, 403, "not-entitled", "You hold 0 of 2 tokens.");
    house.say(denied("revoked", "An admin took it back.", 2));
    assert_refused(&house.get("manifest.mpd", &[ADA]).await, 403, "revoked", "An admin took it back.");
    house.say(unknown());
    let got = house.get("360p/0.m4s", &[ADA]).await;
    assert_refused(&got, 503, "chain-unavailable", "Two endpoints disagree.");
    assert_eq!(got.field("retry-after"), "1");
    *house.doorman.says.lock().unwrap() = Err(Status::internal("a bug"));
    assert_refused(&house.get("master.m3u8", &[ADA]).await, 503, "access-unavailable", "Try again");
}

#[tokio::test]
async fn credentials_that_are_not_good_are_refused_as_auth_says_and_none_are_believed_while_it_is_away() {
    let house = House::open();
    let expired = house.get("master.m3u8", &[("cookie", "session=expired")]).await;
    assert_refused(&expired, 401, "token-expired", "Refresh the session.");
    *house.reception.broken.lock().unwrap() = true;
    assert_refused(&house.get("master.m3u8", &[ADA]).await, 503, "access-unavailable", "auth");
}

#[tokio::test]
async fn every_address_carries_one_token_and_playback_makes_no_further_call() {
    let house = House::open();
    let token = house.start(ADA).await;
    for path in
        ["master.m3u8", "manifest.mpd", "360p/index.m3u8", "360p/iframes.m3u8", "audio-64k/index.m3u8"]
    {
        let got = house.get(&format!("{path}?t={token}"), &[]).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert_eq!(got.field("cache-control"), "private, no-store");
        assert_eq!((got.field("etag"), got.field("vary")), ("", "cookie, authorization"));
        assert_eq!(got.field("content-length"), got.body.len().to_string());
        assert_eq!(tokens_in(got.text()), BTreeSet::from([token.clone()]), "{path}");
        let named = |end: &str| got.text().matches(end).count();
        let addresses = named(".m3u8") + named(".m4s") + named(".mp4?") + named("/init.mp4\"");
        assert_eq!(named("?t="), addresses, "{path}:\n{}", got.text());
    }
    for (path, media_type) in [("360p/init.mp4", "video/mp4"), ("audio-64k/0.m4s", "audio/mp4")] {
        for _ in 0..2 {
            let got = house.get(&format!("{path}?t={token}"), &[]).await;
            assert_eq!((got.status, got.field("content-type")), (StatusCode::OK, media_type));
            assert_eq!(got.field("cache-control"), "private, max-age=300");
            assert_eq!((got.field("etag"), got.field("vary")), ("\"stored\"", ""));
        }
    }
    let path = format!("/v/{ID}/360p/1.m4s?t={token}");
    let part = house.stage.request(Method::GET, &path, &[("range", "bytes=100-199")]).await;
    assert_eq!((part.status, part.body.len()), (StatusCode::PARTIAL_CONTENT, 100));
    assert_eq!(part.field("cache-control"), "private, max-age=300");
    assert_eq!((house.decisions(), house.authentications()), (1, 1));
    let asked = house.doorman.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.content.as_str(), asked.principal.as_str()), (ID, "ada"));
    assert_eq!((asked.roles, asked.wallets), (vec!["viewer".to_owned()], vec!["eip155:0xab".to_owned()]));
}

#[tokio::test]
async fn a_manifest_that_grows_says_where_to_fetch_it_again() {
    let house = House::with(ContentState::Playable, House::open().lifetimes);
    let manifest = house.get("manifest.mpd", &[ADA]).await;
    let token = token_in(manifest.text());
    assert!(manifest.text().contains(&format!("<Location>manifest.mpd?t={token}&amp;g=0</Location>")));
    for _ in 0..20 {
        assert_eq!(house.get(&format!("manifest.mpd?t={token}"), &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn who_began_with_another_generation_goes_on_behind_it_with_the_token_they_have() {
    let house = House::with(ContentState::Playable, House::open().lifetimes);
    let token = token_in(house.get("manifest.mpd", &[ADA]).await.text());
    let mut response = samples::response(ContentState::Playable, 5);
    for row in &mut response.renditions {
        row.rendition.as_mut().unwrap().generation = 1;
    }
    for mut old in samples::response(ContentState::Playable, 3).renditions {
        old.rendition.as_mut().unwrap().turn = Some(Turn { coming: false, until_ms: i64::MAX });
        response.renditions.push(old);
    }
    let content = response.content.as_mut().unwrap();
    content.revision += 1;
    let revision = content.revision;
    house.stage.put(response);
    house.stage.announce(revision).await;

    let manifest = house.get(&format!("manifest.mpd?t={token}&g=0"), &[]).await;
    let now = token_in(manifest.text());
    assert_eq!(manifest.text().matches("<Period ").count(), 2);
    assert_eq!(manifest.text().matches("<Location>").count(), 1);
    assert!(manifest.text().contains(&format!("manifest.mpd?t={now}&amp;g=0<")), "{}", manifest.text());
    let playlist = house.get(&format!("360p/index.m3u8?t={token}"), &[]).await;
    for address in ["\n2.m4s?t=", "\n../360p.1/3.m4s?t=", "URI=\"init.mp4?t=", "URI=\"../360p.1/init.mp4?t="]
    {
        assert!(playlist.text().contains(address), "{}", playlist.text());
    }
    for path in ["360p/2.m4s", "360p.1/3.m4s", "360p.1/init.mp4"] {
        assert_eq!(house.get(&format!("{path}?t={token}"), &[]).await.status, StatusCode::OK, "{path}");
        assert_eq!(house.get(path, &[]).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn thumbnails_and_the_poster_carry_the_token_and_looking_at_them_starts_no_player() {
    let house = House::open();
    let mut response = samples::response(ContentState::Ready, 3);
    let content = response.content.as_mut().unwrap();
    (content.revision, content.has_poster, content.has_thumbnails) = (6, true, true);
    house.stage.put(response);
    let index = "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nthumbnails-0.jpg#xywh=0,0,160,90\n";
    for (name, body) in [("poster.jpg", "picture"), ("thumbnails.vtt", index), ("thumbnails-0.jpg", "sheet")]
    {
        let key = format!("{ID}/{name}");
        house.stage.drawer.objects.lock().unwrap().insert(key, Bytes::from_static(body.as_bytes()));
    }
    for _ in 0..10 {
        for name in ["poster.jpg", "thumbnails.vtt", "thumbnails-0.jpg"] {
            let got = house.get(name, &[ADA]).await;
            assert_eq!(got.status, StatusCode::OK, "{name}");
            assert_eq!(got.field("cache-control"), "private, max-age=300");
            assert_eq!(got.field("vary"), "cookie, authorization");
        }
    }
    assert_eq!(house.get("thumbnails.vtt", &[ADA]).await.text(), index);
    for _ in 0..5 {
        house.start(ADA).await;
    }
    let token = house.get("thumbnails.vtt", &[ADA]).await;
    let token = token_in(token.text());
    let got = house.get(&format!("thumbnails.vtt?t={token}"), &[]).await;
    assert!(
        got.text().ends_with(&format!("\nthumbnails-0.jpg?t={token}#xywh=0,0,160,90\n")),
        "{}",
        got.text()
    );
    assert_eq!(got.field("cache-control"), "private, no-store");
    for name in ["poster.jpg", "thumbnails-0.jpg"] {
        assert_eq!(house.get(&format!("{name}?t={token}"), &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn tokens_that_were_forged_cut_or_made_for_another_content_or_by_another_key_open_nothing() {
    let house = House::open();
    let token = house.start(ADA).await;
    let claims = Key::new(&[7; 32]).read(house.stage.id(), &token).unwrap();
    let other_content = Key::new(&[7; 32]).mint(ContentId::parse(OTHER_ID).unwrap(), &claims);
    let other_key = Key::new(&[8; 32]).mint(house.stage.id(), &claims);
    let mut flipped = token.clone();
    flipped.replace_range(30..31, if &token[30..31] == "A" { "B" } else { "A" });
    for wrong in ["", "x", &token[..71], &format!("{token}AAAA"), &flipped, &other_content, &other_key] {
        for path in ["360p/1.m4s", "360p/index.m3u8", "master.m3u8", "poster.jpg"] {
            let got = house.get(&format!("{path}?t={wrong}"), &[]).await;
            assert_refused(&got, 401, "not-signed-in", "Only for members.");
        }
    }
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn after_a_restart_a_token_costs_one_decision_and_goes_on() {
    let mut house = House::open();
    let token = house.play(ADA).await;
    house.settled(1).await;
    house.restart();
    let all = futures_util::future::join_all((0..50).map(|_| house.segment(&token))).await;
    assert!(all.iter().all(|got| got.status == StatusCode::OK));
    assert_eq!((house.decisions(), house.authentications()), (2, 1));
    let playlist = house.get(&format!("360p/index.m3u8?t={token}"), &[]).await;
    assert_eq!(tokens_in(playlist.text()), BTreeSet::from([token]));
}

#[tokio::test]
async fn after_a_restart_a_token_of_a_smaller_generation_is_revoked_and_an_old_one_is_none() {
    let mut house = House::open();
    let token = house.play(ADA).await;
    house.settled(1).await;
    house.restart();
    house.say(allowed(2));
    assert_refused(&house.segment(&token).await, 403, "revoked", "Start the player again");
    house.restart();
    house.clock.pass(31 * MINUTE);
    assert_refused(&house.segment(&token).await, 401, "not-signed-in", "Only for members.");
    assert_eq!(house.get(&format!("360p/1.m4s?t={token}"), &[ADA]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_decision_is_renewed_in_the_background_while_it_is_valid() {
    let house = House::open();
    let token = house.start(ADA).await;
    for round in 2..6 {
        house.clock.pass(MINUTE * 3 / 4);
        house.doorman.leave.forget_permits(1);
        assert_eq!(house.segment(&token).await.status, StatusCode::OK);
        house.doorman.leave.add_permits(1);
        until(async || house.decisions() == round).await;
        // The renewal has arrived once no call is made after the old decision expired.
        let renewed = || house.gate_is_warm(&token);
        until(async || renewed()).await;
    }
    assert_eq!(house.authentications(), 1);
}

#[tokio::test]
async fn a_decision_that_ran_out_is_made_again_and_what_it_says_counts() {
    let house = House::open();
    let token = house.start(ADA).await;
    house.clock.pass(2 * MINUTE);
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    assert_eq!(house.decisions(), 2);
    house.say(unknown());
    house.clock.pass(2 * MINUTE);
    assert_refused(&house.segment(&token).await, 503, "chain-unavailable", "Two endpoints disagree.");
    house.say(allowed(1));
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    house.say(denied("not-entitled", "The subscription has ended.", 1));
    house.clock.pass(2 * MINUTE);
    for _ in 0..3 {
        assert_refused(&house.segment(&token).await, 403, "not-entitled", "The subscription has ended.");
    }
    assert_eq!(house.decisions(), 5);
}

#[tokio::test]
async fn while_a_chain_is_away_what_was_decided_goes_on_until_it_runs_out() {
    let house = House::open();
    let token = house.start(ADA).await;
    house.say(unknown());
    house.clock.pass(MINUTE * 3 / 4);
    for round in 2..4 {
        assert_eq!(house.segment(&token).await.status, StatusCode::OK);
        until(async || house.decisions() == round).await;
        house.clock.pass(Duration::from_secs(2));
    }
    house.clock.pass(MINUTE / 2);
    assert_refused(&house.segment(&token).await, 503, "chain-unavailable", "Two endpoints disagree.");
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_is_used_and_never_longer_than_its_bound() {
    let house = House::open();
    let (used, idle) = (house.play(ADA).await, house.play(ADA).await);
    for _ in 0..24 {
        house.clock.pass(29 * MINUTE);
        assert_eq!(house.segment(&used).await.status, StatusCode::OK);
    }
    assert_refused(&house.segment(&idle).await, 401, "not-signed-in", "Only for members.");
    house.clock.pass(28 * MINUTE);
    assert_refused(&house.segment(&used).await, 401, "not-signed-in", "Only for members.");
    // With a session a new playback session takes its place.
    let got = house.get(&format!("360p/index.m3u8?t={used}"), &[ADA]).await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(!tokens_in(got.text()).contains(&used));
}

#[tokio::test]
async fn a_player_that_drops_query_strings_plays_by_its_cookie_and_counts_once() {
    let house = House::open();
    let token = house.start(ADA).await;
    for path in ["360p/index.m3u8", "360p/init.mp4", "360p/0.m4s", "360p/1.m4s", "audio-64k/0.m4s"] {
        let got = house.get(path, &[ADA]).await;
        assert_eq!((got.status, got.field("vary")), (StatusCode::OK, "cookie, authorization"), "{path}");
    }
    assert_eq!(tokens_in(house.get("360p/index.m3u8", &[ADA]).await.text()), BTreeSet::from([token]));
    assert_eq!(house.decisions(), 1);
    for _ in 0..4 {
        house.play(ADA).await;
    }
}

#[tokio::test]
async fn a_cookie_counts_for_pages_of_this_origin_alone_and_a_bearer_token_for_all() {
    let house = House::open();
    for (name, value, status) in [
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "none", 200),
        ("sec-fetch-site", "same-site", 401),
        ("sec-fetch-site", "cross-site", 401),
        ("origin", "https://example.org", 401),
    ] {
        assert_eq!(house.get("360p/0.m4s", &[ADA, (name, value)]).await.status, status, "{name}: {value}");
    }
    let fields = [("authorization", "Bearer ada"), ("origin", "https://example.org")];
    let got = house.get("master.m3u8", &fields).await;
    assert_eq!((got.status, got.field("access-control-allow-origin")), (StatusCode::OK, "*"));
    assert_eq!(got.field("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_policy_that_changes_is_asked_for_and_every_decision_with_it_also_one_under_way() {
    let house = House::open();
    let token = house.start(ADA).await;
    house.change();
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    assert_eq!(house.decisions(), 2);

    house.change();
    house.doorman.leave.forget_permits(1);
    let changing = async {
        until(async || house.decisions() == 3).await;
        house.say(denied("not-entitled", "Two tokens are needed now.", 1));
        house.change();
        house.doorman.leave.add_permits(1);
    };
    let (got, ()) = tokio::join!(house.segment(&token), changing);
    assert_refused(&got, 403, "not-entitled", "Two tokens are needed now.");

    *house.doorman.openness.lock().unwrap() = Some(Openness::Public);
    house.change();
    let got = house.get("360p/1.m4s", &[]).await;
    assert_eq!(got.field("cache-control"), "public, max-age=31536000, immutable");
    *house.doorman.openness.lock().unwrap() = Some(Openness::Private);
    house.change();
    assert_eq!(house.get("360p/1.m4s", &[]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_principal_plays_in_so_many_places_and_no_more() {
    let house = House::open();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(house.play(ADA).await);
    }
    // The sixth player is refused, not the sixth opened page.
    let sixth = house.start(ADA).await;
    let playlist = house.get(&format!("360p/index.m3u8?t={sixth}"), &[]).await;
    assert_eq!(playlist.status, StatusCode::OK);
    for path in ["360p/0.m4s", "360p/init.mp4"] {
        let got = house.get(&format!("{path}?t={sixth}"), &[]).await;
        assert_refused(&got, 429, "too-many-sessions", "5 players of yours");
        let wait: u64 = got.field("retry-after").parse().unwrap();
        assert!((1..=20).contains(&wait));
    }
    for token in &tokens {
        assert_eq!(house.segment(token).await.status, StatusCode::OK);
        let again = house.get(&format!("master.m3u8?t={token}"), &[ADA]).await;
        assert_eq!(tokens_in(again.text()), BTreeSet::from([token.clone()]));
    }
    house.play(BOB).await;
}

#[tokio::test]
async fn the_player_that_was_idle_longest_loses_its_slot_and_gets_none_while_all_play() {
    let house = House::open();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(house.play(ADA).await);
        house.clock.pass(Duration::from_secs(1));
    }
    let sixth = house.start(ADA).await;
    assert_eq!(house.segment(&sixth).await.status, StatusCode::TOO_MANY_REQUESTS);
    // The first one pauses; the rest continue.
    house.clock.pass(Duration::from_secs(14));
    for token in &tokens[1..] {
        assert_eq!(house.segment(token).await.status, StatusCode::OK);
    }
    let got = house.segment(&sixth).await;
    assert_refused(&got, 429, "too-many-sessions", "try again in 1 s");
    house.clock.pass(Duration::from_secs(1));
    assert_eq!(house.segment(&sixth).await.status, StatusCode::OK);
    let got = house.segment(&tokens[0]).await;
    assert_refused(&got, 429, "too-many-sessions", "5 players of yours");
    house.clock.pass(MINUTE / 3);
    assert_eq!(house.segment(&tokens[0]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn opening_a_page_any_number_of_times_takes_no_slot_and_stores_nothing() {
    let house = House::open();
    let playing = house.play(ADA).await;
    let mut last = String::new();
    for n in 0..200 {
        last = house.start(ADA).await;
        if n % 3 == 0 {
            assert_eq!(house.get("manifest.mpd", &[ADA]).await.status, StatusCode::OK);
            assert_eq!(house.get(&format!("360p/index.m3u8?t={last}"), &[]).await.status, StatusCode::OK);
        }
    }
    for token in [&playing, &last] {
        assert_eq!(house.segment(token).await.status, StatusCode::OK);
    }
    house.settled(2).await;
    assert_eq!(house.written().await, 2, "only what is played is written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_start_at_once_no_more_than_that_play() {
    let house = House::open();
    let tokens = futures_util::future::join_all((0..20).map(|_| house.start(ADA))).await;
    assert_eq!(house.decisions(), 1);
    let all = futures_util::future::join_all(tokens.iter().map(|token| house.segment(token))).await;
    let with = |status: StatusCode| all.iter().filter(|got| got.status == status).count();
    assert_eq!((with(StatusCode::OK), with(StatusCode::TOO_MANY_REQUESTS)), (5, 15));
}

#[tokio::test]
async fn while_auth_is_away_what_was_decided_goes_on_until_it_runs_out() {
    let house = House::open();
    let token = house.play(ADA).await;
    *house.reception.broken.lock().unwrap() = true;
    house.clock.pass(MINUTE * 3 / 4);
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    house.clock.pass(MINUTE / 2);
    assert_refused(&house.segment(&token).await, 503, "access-unavailable", "still signed in");
    *house.reception.broken.lock().unwrap() = false;
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_decision_that_is_made_again_rests_on_what_the_viewer_has_then() {
    let house = House::open();
    let token = house.play(ADA).await;
    *house.reception.lost.lock().unwrap() = true;
    house.clock.pass(2 * MINUTE);
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    let wallets: Vec<_> =
        house.doorman.asked.lock().unwrap().iter().map(|asked| asked.wallets.len()).collect();
    assert_eq!(wallets, [1, 0]);
}

#[tokio::test]
async fn two_keys_of_one_principal_are_decided_about_apart() {
    let house = House::open();
    house.get("master.m3u8", &[("authorization", "Bearer ada/content:write")]).await;
    house.say(denied("not-entitled", "This key may not.", 1));
    let got = house.get("master.m3u8", &[("authorization", "Bearer ada")]).await;
    assert_refused(&got, 403, "not-entitled", "This key may not.");
}

#[tokio::test]
async fn a_playback_session_that_had_to_make_room_comes_back_by_its_token() {
    let lifetimes = Lifetimes::new(30 * MINUTE, 12 * 60 * MINUTE, 5, 8);
    let house = House::with(ContentState::Ready, lifetimes);
    let first = house.play(ADA).await;
    for n in 0..20 {
        house.clock.pass(Duration::from_secs(1));
        house.play(("cookie", &format!("session=viewer-{n}"))).await;
    }
    house.settled(21).await;
    let authentications = house.authentications();
    assert_eq!(house.segment(&first).await.status, StatusCode::OK);
    assert_eq!(house.authentications(), authentications);
}

#[tokio::test]
async fn what_is_too_old_is_removed_from_the_database() {
    let house = House::open();
    house.play(ADA).await;
    house.settled(1).await;
    house.clock.pass(13 * 60 * MINUTE);
    house.gate.sweep().await;
    assert_eq!(house.written().await, 0);
    let token = house.start(ADA).await;
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_database_playing_works_and_ends_with_the_run() {
    let mut house = House::open();
    house.engine =
        Engine::new(&house.folder.path().join("gone/for/good"), streamgate_sqlite::Settings::default());
    std::fs::write(house.folder.path().join("gone"), "a file where a folder should be").unwrap();
    house.restart();
    let token = house.start(ADA).await;
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    house.restart();
    assert_eq!(house.segment(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(house.get(&format!("360p/1.m4s?t={token}"), &[ADA]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_head_of_a_playlist_and_a_preflight_are_answered_too() {
    let house = House::open();
    let token = house.start(ADA).await;
    let path = format!("/v/{ID}/360p/index.m3u8?t={token}");
    let head = house.stage.request(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_ne!(head.field("content-length"), "0");
    let preflight = house.stage.request(Method::OPTIONS, &format!("/v/{ID}/master.m3u8"), &[]).await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
}
