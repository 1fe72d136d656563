//! One playback address with many users.

use super::*;

#[tokio::test]
async fn an_address_that_is_passed_on_plays_from_few_places_and_its_viewer_goes_on() {
    let lifetimes = Lifetimes::new(30 * MINUTE, 12 * 60 * MINUTE, 5, 100).with_addresses(3);
    let house = House::with(ContentState::Ready, lifetimes);
    let token = house.start(ADA).await;
    let path = |segment: u32| format!("360p/{segment}.m4s?t={token}");
    let from = async |address: &str| house.get(&path(1), &[("x-streamgate-client", address)]).await;
    for address in
        ["203.0.113.7", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "::ffff:203.0.113.7", "198.51.100.1"]
    {
        assert_eq!(from(address).await.status, StatusCode::OK, "{address}");
    }
    for number in 1..100 {
        let got = from(&format!("192.0.2.{number}")).await;
        assert_refused(&got, 429, "too-many-addresses", "start the player again");
        assert_eq!(got.field("retry-after"), "20");
    }
    // A playlist request is no playback, and a new player gets another address.
    let stranger = ("x-streamgate-client", "192.0.2.1");
    assert_eq!(house.get(&format!("360p/index.m3u8?t={token}"), &[stranger]).await.status, StatusCode::OK);
    let own = token_in(house.get("master.m3u8", &[ADA, stranger]).await.text());
    assert_ne!(own, token);
    assert_eq!(house.get(&format!("360p/1.m4s?t={own}"), &[stranger]).await.status, StatusCode::OK);
    // The viewer leaves the house, and continues from a new network.
    house.clock.pass(Duration::from_secs(21));
    assert_eq!(from("192.0.2.50").await.status, StatusCode::OK);
    assert_eq!(from("203.0.113.7").await.status, StatusCode::OK);
}
