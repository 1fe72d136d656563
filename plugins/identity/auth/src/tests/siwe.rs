//! The examples of EIP-4361, single violations, and properties.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// EIP-4361, section "Examples": with implicit scheme, implicit scheme and port, explicit scheme.
fn examples() -> [String; 3] {
    ["example.com", "example.com:3388", "https://example.com"].map(|site| {
        format!(
            "{site} wants you to sign in with your Ethereum account:\n\
             0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\
             \n\
             I accept the ExampleOrg Terms of Service: https://example.com/tos\n\
             \n\
             URI: https://example.com/login\n\
             Version: 1\n\
             Chain ID: 1\n\
             Nonce: 32891756\n\
             Issued At: 2021-09-30T16:25:24Z\n\
             Resources:\n\
             - ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/\n\
             - https://example.com/my-web2-claim.json"
        )
    })
}

fn with(from: &str, to: &str) -> String {
    let [text, ..] = examples();
    assert!(text.contains(from), "{from:?}");
    text.replacen(from, to, 1)
}

#[test]
fn the_examples_of_the_standard_are_read_and_printed_again() {
    for text in examples() {
        assert_eq!(Message::parse(&text).unwrap().to_string(), text);
    }
    let [text, _, explicit] = examples();
    let message = Message::parse(&text).unwrap();
    assert_eq!(
        (message.domain.as_str(), message.chain_id, message.nonce.as_str()),
        ("example.com", 1, "32891756")
    );
    assert_eq!(message.resources.unwrap().len(), 2);
    assert_eq!(Message::parse(&explicit).unwrap().scheme.as_deref(), Some("https"));
}

#[test]
fn what_the_abnf_leaves_open_is_open() {
    for text in [
        with("I accept the ExampleOrg Terms of Service: https://example.com/tos\n", ""),
        with("example.com wants", "localhost:8080 wants"),
        with("example.com wants", "127.0.0.1 wants"),
        with("example.com wants", "[::1]:80 wants"),
        with("example.com wants", "user@example.com wants"),
        with("24Z", "24.123456Z"),
        with("24Z", "24z"),
        with("30T16", "30t16"),
        with("I accept the ExampleOrg Terms of Service: https://example.com/tos", ""),
        with("Chain ID: 1", "Chain ID: 0001"),
        with("0xC02aaA39", "0XC02aaA39"),
        with("24Z", "24+02:00"),
        with("URI: https://example.com/login", "URI: did:key:z6Mk"),
        with("URI: https://example.com/login", "URI: https://example.com/a%20b?c=d/e?f#g"),
        with("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"),
        with(
            "\nResources:",
            "\nExpiration Time: 2100-01-07T14:31:43.952Z\nNot Before: 2000-01-07T14:31:43.952Z\nRequest ID: a%20b:@!\nResources:",
        ),
        with("\nResources:", "\nRequest ID: \nResources:"),
        with("Chain ID: 1\n", "Chain ID: 18446744073709551615\n"),
        examples()[0].split("\n- ").next().unwrap().to_owned(),
        examples()[0].split("\nResources").next().unwrap().to_owned(),
    ] {
        let message = Message::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(message.to_string(), text);
    }
}

#[test]
fn what_departs_from_the_abnf_is_refused() {
    for text in [
        String::new(),
        with("example.com wants", " wants"),
        with("example.com wants", "exa mple.com wants"),
        with("example.com wants", "example.com/path wants"),
        with("example.com wants", "example.com?x wants"),
        with("example.com wants", "example.com# wants"),
        with("example.com wants", "://example.com wants"),
        with("example.com wants", "1https://example.com wants"),
        with("example.com wants", "example.com:port wants"),
        with("example.com wants", "[::1 wants"),
        with("example.com wants", "ex\u{e4}mple.com wants"),
        with("Ethereum account:", "Ethereum account"),
        with("Ethereum account:", "ethereum account:"),
        // EIP-55: one letter in the other case.
        with("0xC02aaA39", "0xc02aaA39"),
        with("0xC02aaA39", "C02aaA39"),
        with("6Cc2\n", "6Cc\n"),
        with("6Cc2\n", "6Cc2f\n"),
        with("6Cc2\n", "6Cg2\n"),
        with("6Cc2\n\n", "6Cc2\n"),
        with("I accept", "\n\nI accept"),
        with("I accept the ExampleOrg Terms of Service: https://example.com/tos", "\n"),
        with("I accept the ExampleOrg Terms of Service: https://example.com/tos\n", "\n\n"),
        with("I accept the", "I \"accept\" the"),
        with("I accept the", "I accept\nthe"),
        with("I accept the", "I acc%65pt <the>"),
        with("I accept the", "I\taccept the"),
        with("tos\n\n", "tos\n"),
        with("tos\n\n", "tos\n\n\n"),
        with("URI: https://example.com/login\n", ""),
        with("URI: https://example.com/login", "URI: /login"),
        with("URI: https://example.com/login", "URI:https://example.com/login"),
        with("URI: https://example.com/login", "URI: https://example.com/a b"),
        with("URI: https://example.com/login", "URI: https://example.com/%zz"),
        with("URI: https://example.com/login", "URI: https://example.com/%4"),
        with("URI: https://example.com/login", "URI: https://example.com/#a#b"),
        with("URI: https://example.com/login", "uri: https://example.com/login"),
        with("Version: 1", "Version: 2"),
        with("Version: 1", "Version: 01"),
        with("Version: 1\n", ""),
        with("Chain ID: 1", "Chain ID: +1"),
        with("Chain ID: 1", "Chain ID: "),
        with("Chain ID: 1", "Chain ID: 0x1"),
        with("Chain ID: 1", "Chain ID: 18446744073709551616"),
        with("Chain ID: 1\n", ""),
        with("Nonce: 32891756", "Nonce: 3289175"),
        with("Nonce: 32891756", "Nonce: 32891756-"),
        with("Nonce: 32891756\n", ""),
        with("Chain ID: 1\nNonce: 32891756", "Nonce: 32891756\nChain ID: 1"),
        with("2021-09-30T16:25:24Z", "2021-09-30 16:25:24Z"),
        with("2021-09-30T16:25:24Z", "2021-09-30T16:25:24"),
        with("2021-09-30T16:25:24Z", "2021-13-30T16:25:24Z"),
        with("2021-09-30T16:25:24Z", "Thu Sep 30 2021"),
        with("Issued At: 2021-09-30T16:25:24Z\n", ""),
        with(
            "\nResources:",
            "\nNot Before: 2000-01-07T14:31:43.952Z\nExpiration Time: 2100-01-07T14:31:43.952Z\nResources:",
        ),
        with("\nResources:", "\nExpiration Time: soon\nResources:"),
        with("\nResources:", "\nRequest ID: a/b\nResources:"),
        with("\nResources:", "\nresources:"),
        with("Resources:", "Resources: "),
        with("- https://example.com/my-web2-claim.json", "- not a uri"),
        with("- https://example.com/my-web2-claim.json", "* https://example.com/"),
        format!("{}\n", examples()[0]),
        format!("\n{}", examples()[0]),
        format!("{} ", examples()[0]),
        examples()[0].replace('\n', "\r\n"),
        format!("{}\n- https://a.example/{}", examples()[0], "x".repeat(MAX_BYTES)),
    ] {
        assert!(Message::parse(&text).is_err(), "{text}");
    }
}

/// The characters that RFC 3986 and EIP-4361 allow at each place of a message, one by one.
#[test]
fn at_each_place_the_characters_of_its_rule_are_taken_and_no_other_ones() {
    const UNRESERVED: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    const SUB_DELIMS: &str = "!$&'()*+,;=";
    let names = format!("{UNRESERVED}{SUB_DELIMS}");
    let (userinfo, pchar) = (format!("{names}:"), format!("{names}:@"));
    let after_path = format!("{pchar}/?");
    let statement = format!("{pchar}/?#[] ");
    let alphanumeric = UNRESERVED.trim_end_matches("-._~");
    let scheme = format!("{alphanumeric}+-.");
    let uri = "URI: https://example.com/login";
    // The rule, what comes before and after a character of it, what is accepted, and what would be another
    // rule's.
    for (rule, from, before, after, taken, other) in [
        ("scheme", "example.com wants", "s", "://example.com wants", &*scheme, ""),
        ("userinfo", "example.com wants", "u", "@example.com wants", &*userinfo, ""),
        ("reg-name", "example.com wants", "a", "b wants", &*names, "@"),
        ("port", "example.com wants", "a:", " wants", "0123456789", "@"),
        ("IPvFuture", "example.com wants", "[v1.", "] wants", &*userinfo, ""),
        ("its version", "example.com wants", "[v", ".a] wants", "0123456789abcdefABCDEF", ""),
        ("statement", "I accept", "I", "accept", &*statement, ""),
        ("scheme of an URI", uri, "URI: s", ":", &*scheme, ":"),
        ("path", uri, "URI: https://example.com/", "", &*pchar, "/?#"),
        ("path without a slash", uri, "URI: did:", "", &*pchar, "/?#"),
        ("query", uri, "URI: https://example.com/?", "", &*after_path, "#"),
        ("fragment", uri, "URI: https://example.com/#", "", &*after_path, ""),
        ("chain id", "Chain ID: 1", "Chain ID: 1", "", "0123456789", ""),
        ("nonce", "Nonce: 32891756", "Nonce: 32891756", "", alphanumeric, ""),
        ("request id", "\nResources:", "\nRequest ID: x", "\nResources:", &*pchar, ""),
        ("resource", "- https://example.com/my-web2-claim.json", "- a:", "", &*pchar, "/?#"),
    ] {
        for character in (0_u8..128).map(char::from).filter(|it| !other.contains(*it)) {
            let text = with(from, &format!("{before}{character}{after}"));
            let read = Message::parse(&text);
            assert_eq!(read.is_ok(), taken.contains(character), "{rule}: {character:?}: {read:?}");
        }
        let escaped = with(from, &format!("{before}%2F{after}"));
        let escapes = ["userinfo", "reg-name", "path", "query", "fragment", "request id", "resource"];
        let is_taken = escapes.iter().any(|it| rule.starts_with(it));
        assert_eq!(Message::parse(&escaped).is_ok(), is_taken, "{rule}: %2F");
    }
}

#[test]
fn a_host_in_brackets_is_an_address_as_rfc_3986_writes_it() {
    let reads = |host: &str| {
        let domain = Message::parse(&with("example.com wants", &format!("[{host}] wants"))).is_ok();
        let uri = Message::parse(&with("https://example.com/login", &format!("x://u@[{host}]:1/p"))).is_ok();
        assert_eq!(domain, uri, "{host}");
        uri
    };
    for host in [
        "::",
        "::1",
        "1::",
        "1:2:3:4:5:6:7:8",
        "FFFF:abcd::0:0:f8a",
        "1:2:3:4:5:6:192.0.2.33",
        "::192.0.2.33",
        "::ffff:192.0.2.33",
        "1::5:6:192.0.2.33",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "v1.x",
        "V1f.a:b!c",
    ] {
        assert!(reads(host), "{host}");
    }
    for host in [
        "",
        ":",
        ":::",
        "1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:192.0.2.33",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8::",
        "1:2:3:4::5:6:7:8",
        "1::2::3",
        "12345::",
        "g::",
        "::192.0.2",
        "::192.0.2.256",
        "::192.0.2.033",
        "::0x7f.0.0.1",
        "192.0.2.33",
        "fe80::1%25eth0",
        "v1",
        "v.x",
        "vg.x",
        "v1.",
        "[::1]",
    ] {
        assert!(!reads(host), "{host}");
    }
}

#[test]
fn nothing_that_may_be_left_out_may_come_twice_or_in_another_place() {
    let optional = [
        "Expiration Time: 2100-01-07T14:31:43Z",
        "Not Before: 2000-01-07T14:31:43Z",
        "Request ID: x",
        "Resources:",
    ];
    let lines = |which: &[&str]| {
        let base = examples()[0].split("\nResources").next().unwrap().to_owned();
        which.iter().fold(base, |text, line| format!("{text}\n{line}"))
    };
    for (at, first) in optional.iter().enumerate() {
        assert!(Message::parse(&lines(&[*first])).is_ok(), "{first}");
        for second in &optional[..=at] {
            assert!(Message::parse(&lines(&[*first, *second])).is_err(), "{first} {second}");
        }
        for second in &optional[at + 1..] {
            assert!(Message::parse(&lines(&[*first, *second])).is_ok(), "{first} {second}");
        }
        for other in ["", " ", "Scheme: x", "- x:y", "URI: x:y", "Version: 1"] {
            let text = lines(&[*first, other]);
            let is_resource = *first == "Resources:" && other == "- x:y";
            assert_eq!(Message::parse(&text).is_ok(), is_resource, "{text}");
        }
    }
}

fn terms(now: &str, origins: &'static [Origin]) -> Terms<'static> {
    let now_ms = parse_rfc3339(now).unwrap();
    Terms { origins, chain_ids: &[1], now_ms, skew_ms: 30_000, max_age_ms: 300_000 }
}

fn verdict(text: &str, now: &str) -> Option<Why> {
    let origins = vec![Origin::parse("https://example.com", false).unwrap()];
    let message = Message::parse(text).unwrap();
    message.check(&terms(now, origins.leak())).err().map(|error| error.why().unwrap())
}

#[test]
fn domain_uri_chain_and_every_time_are_checked() {
    let now = "2021-09-30T16:26:00Z";
    let [text, port, explicit] = examples();
    assert_eq!(verdict(&text, now), None);
    assert_eq!(verdict(&explicit, now), None);
    let before = |line: &str| with("\nResources:", &format!("\n{line}\nResources:"));
    for (text, why) in [
        (port, Why::WrongDomain),
        (with("example.com wants", "evil.example wants"), Why::WrongDomain),
        (with("example.com wants", "example.com@evil.example wants"), Why::WrongDomain),
        (with("example.com wants", "evil.example@example.com wants"), Why::WrongDomain),
        (with("example.com wants", "http://example.com wants"), Why::WrongDomain),
        (with("example.com wants", "EXAMPLE.com wants"), Why::WrongDomain),
        (with("example.com wants", "example.com. wants"), Why::WrongDomain),
        (with("example.com wants", "example.com:443 wants"), Why::WrongDomain),
        (with("example.com wants", "example.com: wants"), Why::WrongDomain),
        (with("example.com wants", "ex%61mple.com wants"), Why::WrongDomain),
        (with("example.com wants", "www.example.com wants"), Why::WrongDomain),
        // A browser's conversion of a host with the Cyrillic \u{430}.
        (with("example.com wants", "xn--exmple-4nf.com wants"), Why::WrongDomain),
        (with("URI: https://example.com/", "URI: https://example.com:443/"), Why::WrongDomain),
        (with("URI: https://example.com/", "URI: HTTPS://example.com/"), Why::WrongDomain),
        (with("URI: https://example.com/", "URI: https://example.com@evil.example/"), Why::WrongDomain),
        (
            with("URI: https://example.com/", "URI: https://evil.example/?https://example.com/"),
            Why::WrongDomain,
        ),
        (with("URI: https://example.com/", "URI: https://example.com.evil.example/"), Why::WrongDomain),
        (with("URI: https://example.com/", "URI: http://example.com/"), Why::WrongDomain),
        (with("URI: https://example.com/login", "URI: did:key:z6Mk"), Why::WrongDomain),
        (with("Chain ID: 1", "Chain ID: 5"), Why::WrongChain),
        (with("16:25:24Z", "16:26:31Z"), Why::WrongTime),
        (with("16:25:24Z", "16:20:29Z"), Why::WrongTime),
        (before("Expiration Time: 2021-09-30T16:26:00Z"), Why::WrongTime),
        (before("Expiration Time: 2021-09-30T18:26:00+02:00"), Why::WrongTime),
        (before("Expiration Time: 2021-09-30T16:25:59.999999999Z"), Why::WrongTime),
        (before("Expiration Time: 0000-01-01T00:00:00Z"), Why::WrongTime),
        (before("Not Before: 9999-12-31T23:59:59Z"), Why::WrongTime),
        (before("Not Before: 2021-09-30T16:26:31Z"), Why::WrongTime),
    ] {
        assert_eq!(verdict(&text, now), Some(why), "{text}");
    }
    assert_eq!(verdict(&before("Expiration Time: 2021-09-30T16:26:01Z"), now), None);
    // Its clock is 20 s ahead, which is allowed; but no clock ends before it begins.
    let ahead = |line: &str| before(line).replace("16:25:24Z", "16:26:20Z");
    for (line, why) in [
        ("Expiration Time: 2021-09-30T16:26:21Z", None),
        ("Expiration Time: 2021-09-30T16:26:20Z", Some(Why::InvalidMessage)),
        ("Expiration Time: 2021-09-30T16:26:10Z", Some(Why::InvalidMessage)),
        ("Expiration Time: 2021-09-30T16:26:30Z\nNot Before: 2021-09-30T16:26:25Z", None),
        (
            "Expiration Time: 2021-09-30T16:26:25Z\nNot Before: 2021-09-30T16:26:25Z",
            Some(Why::InvalidMessage),
        ),
        (
            "Expiration Time: 2021-09-30T16:26:25Z\nNot Before: 2021-09-30T16:26:28Z",
            Some(Why::InvalidMessage),
        ),
    ] {
        assert_eq!(verdict(&ahead(line), now), why, "{line}");
    }
    assert_eq!(verdict(&before("Not Before: 2021-09-30T16:26:30Z"), now), None);
}

fn uri() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9+.-]{0,5}://[a-z0-9.-]{1,12}(:[0-9]{1,4})?(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,8}){0,3}"
}

prop_compose! {
    fn messages()(
        scheme in proptest::option::of("[a-z][a-z0-9+.-]{0,6}"),
        domain in "[a-z0-9.-]{1,20}(:[0-9]{1,5})?",
        bytes: [u8; 20],
        statement in proptest::option::of("[a-zA-Z0-9 ._~!$&'()*+,;=:/?#@-]{0,60}"),
        uri in uri(),
        chain_id: u64,
        nonce in "[a-zA-Z0-9]{8,40}",
        at in 0_i64..4_000_000_000_000,
        expires in proptest::option::of(0_i64..4_000_000_000_000),
        request_id in proptest::option::of("[a-zA-Z0-9._~:@-]{0,20}"),
        resources in proptest::option::of(prop::collection::vec(uri(), 0..4)),
    ) -> Message {
        let address = Address(bytes);
        Message {
            scheme, domain, address, address_text: address.to_string(), statement, uri, chain_id, chain_text: chain_id.to_string(), nonce,
            issued_at: streamgate_plugin_api::time::rfc3339(at), expiration_time: expires.map(streamgate_plugin_api::time::rfc3339),
            not_before: expires.map(streamgate_plugin_api::time::rfc3339), request_id, resources,
        }
    }
}

proptest! {
    #[test]
    fn every_message_is_read_as_it_was_written(message in messages()) {
        prop_assert_eq!(Message::parse(&message.to_string()), Ok(message));
    }

    #[test]
    fn a_changed_byte_is_another_message_or_none(message in messages(), at: prop::sample::Index, byte in 0_u8..128) {
        let mut bytes = message.to_string().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        if let Ok(read) = Message::parse(&changed) {
            prop_assert_ne!(&read, &message);
            prop_assert_eq!(read.to_string(), changed);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,300}", cut in 0_usize..500) {
        let _ = Message::parse(&text);
        let example = &examples()[0];
        let _ = Message::parse(&format!("{}{text}", &example[..cut.min(example.len())]));
    }
}
