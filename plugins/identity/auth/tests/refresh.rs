//! Refresh tokens whose answers are lost, and users behind one address who stay signed in.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use futures_util::future::join_all;
use serde_json::{Value, json};
use streamgate_auth::Settings;

async fn refresh(life: &Life, tokens: &Value) -> Answer {
    life.post("refresh", json!({ "refresh_token": tokens["refresh_token"] })).await
}

#[tokio::test]
async fn a_client_whose_answer_was_lost_retries_and_stays_signed_in_over_a_restart_too() {
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.sign_in(&Wallet::ethereum(1)).await;
    world.pass(600);
    let lost = refresh(&life, &first).await;
    world.pass(29);
    let life = world.live(settings()).await;
    let again = refresh(&life, &first).await;
    assert_eq!(again.status, 200, "{:?}", again.json);
    // It is the answer that was lost: no client has more tokens than before.
    assert_eq!(again.json["refresh_token"], lost.json["refresh_token"]);
    assert_eq!(again.json["session"], first["session"]);
    assert_eq!(again.json["refresh_expires_in"], 30 * 86_400 - 29);
    assert!(life.whose(text(&again.json, "access_token")).await.is_ok());
    let next = refresh(&life, &again.json).await;
    assert_eq!(next.status, 200);
    assert_ne!(next.json["refresh_token"], again.json["refresh_token"]);

    // Its successor was used meanwhile: another holder of it is a thief.
    assert_eq!(slug(&refresh(&life, &first).await), "refresh-reused");
    assert_eq!(slug(&refresh(&life, &next.json).await), "invalid-token");
    assert_eq!(life.whose(text(&next.json, "access_token")).await.unwrap_err().r#type, "session-ended");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_again_later_ends_its_session_whatever_the_newer_one() {
    let world = World::new();
    let life = world.live(settings()).await;
    let first = life.sign_in(&Wallet::ethereum(1)).await;
    let second = refresh(&life, &first).await.json;
    world.pass(30);
    let reused = refresh(&life, &first).await;
    assert_eq!((reused.status, slug(&reused)), (401, "refresh-reused"));
    assert_eq!(life.whose(text(&second, "access_token")).await.unwrap_err().r#type, "session-ended");
    assert_eq!(slug(&refresh(&life, &second).await), "invalid-token");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_refreshes_at_once_all_get_the_one_successor() {
    let world = World::new();
    let life = world.live(settings()).await;
    let tokens = life.sign_in(&Wallet::ethereum(1)).await;
    let posts = (0..50).map(|_| {
        let (life, tokens) = (life.clone(), tokens.clone());
        tokio::spawn(async move { refresh(&life, &tokens).await })
    });
    let answers: Vec<_> = join_all(posts).await.into_iter().map(Result::unwrap).collect();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        assert_eq!(answer.json["refresh_token"], answers[0].json["refresh_token"]);
        assert!(life.whose(text(&answer.json, "access_token")).await.is_ok());
    }
    assert_eq!(refresh(&life, &answers[0].json).await.status, 200);
}

#[tokio::test]
async fn any_number_of_people_behind_one_address_stay_signed_in_and_what_is_made_up_is_slowed_down() {
    let world = World::new();
    let life = world.live(Settings { attempts_per_address: 3, ..settings() }).await;
    let mut sessions = Vec::new();
    for number in 1..=20 {
        let from = [("x-streamgate-client", format!("203.0.113.{number}"))];
        let from: Vec<_> = from.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let proof = life.proof(&Wallet::ethereum(number)).await;
        sessions.push(life.send("POST", "sign-in", &from, Some(proof)).await.json);
    }
    let office = [("x-streamgate-client", "192.0.2.1")];
    let post = async |token: &Value| {
        life.send("POST", "refresh", &office, Some(json!({ "refresh_token": token }))).await
    };
    for _ in 0..3 {
        for session in &mut sessions {
            let answer = post(&session["refresh_token"]).await;
            assert_eq!(answer.status, 200, "{:?}", answer.json);
            *session = answer.json;
        }
    }
    let made_up =
        json!(format!("sgr_{}.{}.{}", text(&sessions[0], "session"), "A".repeat(22), "A".repeat(43)));
    for _ in 0..3 {
        assert_eq!(slug(&post(&made_up).await), "invalid-token");
    }
    let slowed = post(&made_up).await;
    assert_eq!((slowed.status, &slowed.headers["retry-after"]), (429, &"20".parse().unwrap()));
    assert_eq!((&slowed.json["setting"], &slowed.json["limit"]), (&"attempts_per_address".into(), &3.into()));
    // That only affects the client that makes them up.
    for session in &sessions {
        assert_eq!(post(&session["refresh_token"]).await.status, 200);
    }
}
