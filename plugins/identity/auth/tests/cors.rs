//! Pages of other origins: those in the settings may sign people in, and no others.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Life, SITE, Wallet, World, settings, slug, text};
use serde_json::{Value, json};
use streamgate_auth::Settings;

const APP: &str = "https://app.example.org";
const STUDIO: &str = "https://studio.example.org";
const EVIL: &str = "https://evil.example";

async fn life(world: &World) -> Life {
    let allowed_origins = vec![APP.into(), STUDIO.into()];
    world.live(Settings { origins: vec![STUDIO.into()], allowed_origins, ..settings() }).await
}

async fn preflight(life: &Life, origin: &str, path: &str, method: &str) -> Answer {
    let fields = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    life.send("OPTIONS", path, &fields, None).await
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_in_the_settings_signs_people_in_and_reads_their_identity() {
    let world = World::new();
    let life = life(&world).await;
    let wallet = Wallet::ethereum(1);
    for path in ["challenge", "sign-in", "refresh", "logout", "wallets"] {
        let asked = preflight(&life, APP, path, "POST").await;
        assert_eq!((asked.status, field(&asked, "access-control-allow-origin")), (204, Some(APP)), "{path}");
        assert_eq!(field(&asked, "access-control-allow-headers"), Some("Authorization, Content-Type"));
        assert!(field(&asked, "access-control-allow-methods").unwrap().contains("POST"));
        assert_eq!(field(&asked, "access-control-allow-credentials"), None);
    }
    let page = [("origin", APP)];
    let wanted = json!({ "kind": "ethereum", "address": wallet.address() });
    let challenge = life.send("POST", "challenge", &page, Some(wanted)).await;
    assert_eq!(field(&challenge, "access-control-allow-origin"), Some(APP));
    // The wallet shows the page's own site, or it would warn.
    let message = text(&challenge.json, "message");
    assert!(message.starts_with("app.example.org wants you to sign in"), "{message}");
    assert!(message.contains("\nURI: https://app.example.org\n"), "{message}");
    let made = life.send("POST", "sign-in", &page, Some(wallet.answer(&challenge.json))).await;
    assert_eq!((made.status, field(&made, "access-control-allow-origin")), (200, Some(APP)), "{made:?}");
    let bearer = format!("Bearer {}", text(&made.json, "access_token"));
    let me = life.send("GET", "me", &[("origin", APP), ("authorization", &bearer)], None).await;
    assert_eq!((me.status, field(&me, "access-control-allow-origin")), (200, Some(APP)));
    assert_eq!(field(&me, "vary"), Some("Origin"));
    assert!(me.json["principal"].is_string());
    // A refusal can be read too.
    let refused = life.send("GET", "me", &[("origin", APP), ("authorization", "Bearer x")], None).await;
    assert_eq!((refused.status, field(&refused, "access-control-allow-origin")), (401, Some(APP)));
}

#[tokio::test]
async fn solana_wallets_sign_for_such_a_page_too() {
    let world = World::new();
    let life = life(&world).await;
    let wallet = Wallet::solana(2);
    let wanted = json!({ "kind": "solana", "address": wallet.address() });
    let challenge = life.send("POST", "challenge", &[("origin", APP)], Some(wanted)).await.json;
    assert!(text(&challenge, "message").starts_with("app.example.org wants you"), "{challenge}");
    let made = life.send("POST", "sign-in", &[("origin", APP)], Some(wallet.answer(&challenge))).await;
    assert_eq!(made.status, 200, "{:?}", made.json);
}

#[tokio::test]
async fn no_other_page_can_read_anything() {
    let world = World::new();
    let life = life(&world).await;
    let none = |answer: &Answer| {
        let names = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control"));
        assert_eq!(names.count(), 0, "{answer:?}");
    };
    for origin in
        [EVIL, "null", "http://app.example.org", "https://app.example.org:8443", "https://a.app.example.org"]
    {
        for path in ["challenge", "sign-in", "me"] {
            let asked = preflight(&life, origin, path, "POST").await;
            none(&asked);
            assert_eq!(field(&asked, "vary"), Some("Origin"), "a cache keeps the two apart");
        }
        none(&life.send("GET", "me", &[("origin", origin)], None).await);
    }
    // Nor can the page in the settings, from other routes.
    for path in ["keys", "sessions", "setup", "admin-session", "principals", "audit"] {
        none(&preflight(&life, APP, path, "POST").await);
        none(&life.send("GET", path, &[("origin", APP)], None).await);
    }
    // A message for a site that is not in the settings is refused.
    let wallet = Wallet::ethereum(3);
    let wanted = json!({ "kind": "ethereum", "address": wallet.address() });
    let message = text(&life.post("challenge", wanted).await.json, "message").to_owned();
    let host = SITE.trim_start_matches("https://");
    let forged = message.replace(host, "evil.example");
    let proof = json!({ "kind": "ethereum", "message": forged, "signature": wallet.sign(&forged) });
    assert_eq!(slug(&life.post("sign-in", proof).await), "wrong-domain");
}

#[tokio::test]
async fn cookies_are_for_pages_of_the_server_itself() {
    let world = World::new();
    let life = life(&world).await;
    let with_cookies = |mut proof: Value| {
        proof["cookies"] = json!(true);
        Some(proof)
    };
    let proof = life.proof(&Wallet::ethereum(4)).await;
    let refused = life.send("POST", "sign-in", &[("origin", APP)], with_cookies(proof)).await;
    assert_eq!((refused.status, slug(&refused)), (403, "cross-site"));
    assert!(refused.cookies.is_empty());
    // One that is in both lists is one of the server's own.
    let asked = preflight(&life, STUDIO, "sign-in", "POST").await;
    assert_eq!(field(&asked, "access-control-allow-credentials"), Some("true"));
    let proof = life.proof(&Wallet::ethereum(4)).await;
    let made = life.send("POST", "sign-in", &[("origin", STUDIO)], with_cookies(proof)).await;
    assert_eq!((made.status, made.cookies.len()), (200, 2));
    assert_eq!(field(&made, "access-control-allow-credentials"), Some("true"));
}
