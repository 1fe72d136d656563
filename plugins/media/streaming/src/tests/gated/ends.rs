//! What ends a player: a revocation, the end of a session.

use streamgate_contracts::events::CredentialEnded;

use super::*;

#[tokio::test]
async fn a_revocation_ends_playing_at_once_with_its_reason() {
    let house = House::open();
    let (ada, bob) = (house.start(ADA).await, house.start(BOB).await);
    house.revoke("ada", 1);
    assert_eq!(house.segment(&ada).await.status, StatusCode::OK, "its generation is not smaller");
    house.revoke("ada", 2);
    house.say(denied("not-entitled", "You hold 0 of 1 tokens.", 2));
    for path in ["360p/1.m4s", "360p/index.m3u8", "master.m3u8", "manifest.mpd", "360p/init.mp4"] {
        let got = house.get(&format!("{path}?t={ada}"), &[]).await;
        assert_refused(&got, 403, "revoked", "The token went to another wallet.");
        let got = house.get(&format!("{path}?t={ada}"), &[ADA]).await;
        assert_refused(&got, 403, "revoked", "The token went to another wallet.");
    }
    assert_refused(&house.get("master.m3u8", &[ADA]).await, 403, "not-entitled", "You hold 0 of 1 tokens.");
    assert_eq!(house.segment(&bob).await.status, StatusCode::OK);
    house.revoke("", 3);
    house.say(denied("not-entitled", "You hold 0 of 1 tokens.", 3));
    assert_refused(&house.segment(&bob).await, 403, "revoked", "The token went to another wallet.");
}

#[tokio::test]
async fn who_is_let_in_again_after_a_revocation_plays_with_a_new_token_and_not_with_the_old_one() {
    let house = House::open();
    let old = house.start(ADA).await;
    house.revoke("ada", 2);
    house.say(allowed(2));
    let new = house.start(ADA).await;
    assert_eq!(house.segment(&new).await.status, StatusCode::OK);
    assert_refused(&house.segment(&old).await, 403, "revoked", "The token went to another wallet.");
    assert_eq!(house.get(&format!("360p/1.m4s?t={old}"), &[ADA]).await.status, StatusCode::OK);
    // A late event does not affect a decision made after it.
    house.revoke("ada", 2);
    assert_eq!(house.segment(&new).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_revocation_that_comes_while_a_decision_is_under_way_wins() {
    let house = House::open();
    house.doorman.leave.forget_permits(1);
    let revoking = async {
        until(async || house.decisions() == 1).await;
        house.revoke("ada", 2);
        house.say(denied("revoked", "The token went to another wallet.", 2));
        house.doorman.leave.add_permits(1);
    };
    let (got, ()) = tokio::join!(house.get("master.m3u8", &[ADA]), revoking);
    assert_refused(&got, 403, "revoked", "The token went to another wallet.");
}

#[tokio::test]
async fn players_whose_access_was_taken_back_do_not_count() {
    let house = House::open();
    for _ in 0..5 {
        house.play(ADA).await;
    }
    house.revoke("ada", 2);
    house.say(allowed(2));
    for _ in 0..5 {
        house.play(ADA).await;
    }
}

#[tokio::test]
async fn a_session_that_ends_ends_what_was_begun_with_it_and_nothing_of_another_one() {
    let house = House::open();
    let other = ("cookie", "session=ada#phone");
    let (ended, goes_on) = (house.play(ADA).await, house.play(other).await);
    let waiting = house.start(ADA).await;
    house.end("ada");
    for token in [&ended, &waiting] {
        for path in ["360p/1.m4s", "360p/init.mp4", "360p/index.m3u8", "master.m3u8", "manifest.mpd"] {
            for fields in [&[][..], &[ADA]] {
                let got = house.get(&format!("{path}?t={token}"), fields).await;
                assert_refused(&got, 401, "session-ended", "Sign in again.");
                assert_eq!(got.field("www-authenticate"), "Bearer");
            }
        }
    }
    assert_eq!(house.segment(&goes_on).await.status, StatusCode::OK);
    // After another sign-in the same address works again.
    assert_eq!(house.get(&format!("360p/1.m4s?t={ended}"), &[other]).await.status, StatusCode::OK);
    assert_eq!(house.segment(&ended).await.status, StatusCode::UNAUTHORIZED);
    // Neither a new policy nor a revocation changes the reason.
    house.change();
    house.revoke("ada", 2);
    house.say(allowed(2));
    assert_refused(&house.segment(&ended).await, 401, "session-ended", "Sign in again.");
}

#[tokio::test]
async fn an_end_that_was_not_heard_of_counts_when_the_decision_is_made_again() {
    let house = House::open();
    let (ended, goes_on) = (house.play(ADA).await, house.play(("cookie", "session=ada#phone")).await);
    house.end_unheard("ada");
    assert_eq!(house.segment(&ended).await.status, StatusCode::OK);
    house.clock.pass(MINUTE * 3 / 4);
    until(async || house.segment(&ended).await.status == StatusCode::UNAUTHORIZED).await;
    assert_refused(&house.segment(&ended).await, 401, "session-ended", "Sign in again.");
    assert_eq!(house.segment(&goes_on).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_end_that_is_heard_of_while_a_player_starts_wins() {
    let house = House::open();
    house.doorman.leave.forget_permits(1);
    let ending = async {
        until(async || house.decisions() == 1).await;
        house.end("ada");
        house.doorman.leave.add_permits(1);
    };
    let (got, ()) = tokio::join!(house.get("master.m3u8", &[ADA]), ending);
    assert_refused(&got, 401, "session-ended", "Sign in again.");
}

#[tokio::test]
async fn an_event_that_access_and_auth_do_not_confirm_ends_nothing() {
    let house = House::open();
    let token = house.play(ADA).await;
    house.revoke("ada", 1_000);
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    house.revoke("", u64::MAX);
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    assert_eq!(house.decisions(), 3, "one decision each");
    house.gate.ended(&CredentialEnded { credential: "session:ada".into(), principal: "ada".into() });
    assert_eq!(house.segment(&token).await.status, StatusCode::OK);
    // What is still true stays so.
    house.revoke("ada", 2);
    house.say(denied("not-entitled", "You hold 0 of 1 tokens.", 2));
    assert_refused(&house.segment(&token).await, 403, "revoked", "The token went to another wallet.");
}

#[tokio::test]
async fn while_access_is_away_nothing_plays_after_a_revocation() {
    let house = House::open();
    let token = house.play(ADA).await;
    house.revoke("ada", 2);
    *house.doorman.says.lock().unwrap() = Err(tonic::Status::unavailable("asleep"));
    assert_eq!(house.segment(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    house.say(denied("not-entitled", "You hold 0 of 1 tokens.", 2));
    assert_refused(&house.segment(&token).await, 403, "revoked", "The token went to another wallet.");
}

#[tokio::test]
async fn after_a_restart_nothing_plays_that_was_begun_with_a_session_that_ended() {
    let mut house = House::open();
    let (ended, goes_on) = (house.play(ADA).await, house.play(BOB).await);
    house.settled(2).await;
    house.end_unheard("ada");
    house.restart();
    assert_refused(&house.segment(&ended).await, 401, "session-ended", "Sign in again.");
    assert_eq!(house.segment(&goes_on).await.status, StatusCode::OK);
}
