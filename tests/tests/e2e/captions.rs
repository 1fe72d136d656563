//! Captions and chapters: SubRip, ASS, TTML or WebVTT is uploaded and returned as WebVTT.

use reqwest::{Method, Response};
use serde_json::{Value, json};
use streamgate_tests::clips;
use streamgate_tests::server::{Server, cache, client};
use streamgate_tests::tus::{self, Upload};

const SRT: &str = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>, <font color=red>you\r\n\r\n\
    2\r\n00:00:03,000 --> 00:00:04,000\r\nSalt & pepper\r\n";
const VTT: &str = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hello</i>, you\n\n\
    00:00:03.000 --> 00:00:04.000\nSalt &amp; pepper\n";

/// A content that is being uploaded: captions do not need its file.
async fn content(server: &Server) -> String {
    Upload::create(server, 1_000, &[("filename", "film.mp4")]).await.expect("created").id
}

async fn send(
    server: &Server,
    method: &str,
    path: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    let method = Method::try_from(method).expect("a method");
    let request = server.http().request(method, server.url(&format!("/api/v1/contents{path}")));
    request.header("content-type", kind).body(body).send().await.expect("an answer")
}

async fn read(answer: Response, status: u16) -> Value {
    assert_eq!(answer.status(), status, "{}: {:?}", answer.url().clone(), answer.text().await);
    answer.json().await.expect("JSON")
}

/// The returned text.
async fn text(server: &Server, path: &str) -> String {
    let answer = send(server, "GET", path, "text/plain", "").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/vtt; charset=utf-8");
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn captions_are_uploaded_read_replaced_edited_and_removed_and_outlive_a_crash() {
    let mut server = Server::start().await;
    let id = content(&server).await;
    let path = format!("/{id}/captions?language=en&label=English&default=true");
    let added = send(&server, "POST", &path, "application/x-subrip", SRT).await;
    let location = added.headers()["location"].to_str().expect("an address").to_owned();
    let first = read(added, 201).await;
    let own = location.strip_prefix("/api/v1/contents").expect("an address of ours").to_owned();
    assert_eq!(text(&server, &own).await, VTT);

    let ass = "[Script Info]\n[Events]\nFormat: Layer, Start, End, Style, Text\n\
        Dialogue: 0,0:00:01.00,0:00:02.00,Default,{\\an8}{\\b1}Sign{\\b0}\\Nboard\n";
    let ass: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain(ass.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let path = format!("/{id}/captions?forced=true");
    let signs = read(send(&server, "POST", &path, "text/x-ssa", ass).await, 201).await;
    let signs_path = format!("/{id}/captions/{}", signs["name"].as_str().expect("a name"));
    let expected = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000 line:0\n<b>Sign</b>\nboard\n";
    assert_eq!(text(&server, &signs_path).await, expected);

    // Acknowledged captions survive a crash.
    server.kill().await;
    server.restart().await;
    assert_eq!(text(&server, &own).await, VTT);
    let shown = server.json(&format!("/api/v1/contents/{id}")).await.expect("the content");
    assert_eq!(shown["captions"], json!([first, signs]));

    let kept = "WEBVTT\n\nNOTE as it is\n\n00:01.000 --> 00:02.000 align:left\n<c.loud>Hello</c>\n";
    let replaced = read(send(&server, "PUT", &own, "text/vtt", kept).await, 200).await;
    assert_ne!(replaced["url"], first["url"], "another text has another address");
    assert_eq!((&replaced["name"], &replaced["language"]), (&first["name"], &json!("en")));
    assert_eq!(text(&server, &own).await, kept);
    let patch = r#"{"language":"de-at","label":null,"hearing_impaired":true}"#;
    let edited = read(send(&server, "PATCH", &own, "application/merge-patch+json", patch).await, 200).await;
    assert_eq!((&edited["language"], &edited["label"]), (&json!("de-AT"), &Value::Null));
    assert_eq!((&edited["hearing_impaired"], &edited["url"]), (&json!(true), &replaced["url"]));

    assert_eq!(send(&server, "DELETE", &own, "text/plain", "").await.status(), 204);
    assert_eq!(send(&server, "GET", &own, "text/plain", "").await.status(), 404);
    let list = server.json(&format!("/api/v1/contents/{id}/captions")).await.expect("the list");
    assert_eq!(list, json!({ "items": [signs] }));
    server.control(&["fsck"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_began_before_captions_were_replaced_plays_on_with_those_it_knows() {
    let server = Server::start().await;
    let id = tus::upload_file(&server, &clips::plain("160x90", "25", 4.0)).await.expect("uploaded");
    server.finished(&id).await;
    let added = read(send(&server, "POST", &format!("/{id}/captions"), "text/plain", SRT).await, 201).await;
    let name = added["name"].as_str().expect("a name").to_owned();
    let get = async |path: &str| {
        let answer = server.http().get(server.url(&format!("/v/{id}/{path}"))).send().await;
        let answer = answer.and_then(Response::error_for_status).expect("it is there");
        let immutable = answer.headers()["cache-control"].to_str().is_ok_and(|it| it.contains("immutable"));
        (immutable, answer.text().await.expect("text"))
    };
    // What a player knows about them when it begins.
    let master = get("master.m3u8").await.1;
    let (playlist, file) = (format!("{name}/index.m3u8"), format!("{name}/1.vtt"));
    assert!(master.contains(&playlist), "{master}");
    assert!(get(&playlist).await.1.contains("\n1.vtt"));
    assert!(get("manifest.mpd").await.1.contains(&file));

    let own = format!("/{id}/captions/{name}");
    let other = VTT.replace("Hello", "Bye");
    read(send(&server, "PUT", &own, "text/vtt", other.clone()).await, 200).await;
    assert_eq!(get(&file).await, (true, VTT.to_owned()), "the address shows what it always did");
    assert_eq!(get(&format!("{name}/2.vtt")).await, (true, other));
    let now = get(&playlist).await.1;
    assert!(now.contains("\n2.vtt") && !now.contains("\n1.vtt"), "who begins now has the new ones: {now}");
    server.control(&["fsck"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_captions_is_refused_with_the_reason() {
    let server = Server::start().await;
    let id = content(&server).await;
    let path = format!("/{id}/captions");
    for (body, status, line, detail) in [
        (
            b"1\n00:00:01,000 --> 00:00:02,000\nZ\xfcrich\n".to_vec(),
            422,
            json!(3),
            "line 3: the file is neither UTF-8",
        ),
        (
            SRT.replace("00:00:04,000", "00:00:04").into_bytes(),
            422,
            json!(6),
            "line 6: \"00:00:04\" is not a time; write HH:MM:SS,mmm",
        ),
        (
            b"WEBVTT\n\n00:00:02.000 --> 00:00:01.000\na\n".to_vec(),
            422,
            json!(3),
            "line 3: ends at 00:00:01.000",
        ),
        (b"no captions".to_vec(), 422, Value::Null, "this is not WebVTT, SubRip, ASS or TTML"),
        (vec![b'a'; (10 << 20) + 1], 413, Value::Null, ""),
    ] {
        let problem = read(send(&server, "POST", &path, "text/plain", body).await, status).await;
        assert!(problem["detail"].as_str().is_some_and(|said| said.starts_with(detail)), "{problem}");
        assert_eq!(problem["line"], line, "{problem}");
    }
    let unknown = "/0190163d-8694-739b-aea5-966c26f8ad91/captions";
    read(send(&server, "POST", unknown, "text/vtt", VTT).await, 404).await;
    read(send(&server, "GET", &format!("{path}/captions-1"), "text/vtt", "").await, 404).await;
    read(send(&server, "POST", &path, "application/json", VTT).await, 415).await;
    read(send(&server, "POST", &format!("{path}?language=german!"), "text/vtt", VTT).await, 400).await;
    let nobody = client().post(server.url(&format!("/api/v1/contents{path}"))).body(VTT).send().await;
    assert_eq!(nobody.expect("an answer").status(), 401);
    let nobody = client().get(server.url(&format!("/api/v1/contents{path}"))).send().await;
    assert_eq!(nobody.expect("an answer").status(), 404, "only creators see it while it is uploaded");

    for _ in 0..64 {
        read(send(&server, "POST", &path, "text/vtt", VTT).await, 201).await;
    }
    let problem = read(send(&server, "POST", &path, "text/vtt", VTT).await, 409).await;
    assert_eq!(problem["type"], "urn:streamgate:problem:limit-reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn chapters_are_set_and_removed_as_a_whole() {
    let server = Server::start().await;
    let id = content(&server).await;
    let path = format!("/{id}/chapters");
    let list = json!([{ "start": 0.0, "title": "Opening" }, { "start": 62.5, "title": "" }]);
    let shown = read(send(&server, "PUT", &path, "application/json", list.to_string()).await, 200).await;
    assert_eq!(shown["chapters"], list);
    let wrong = json!([{ "start": 9, "title": "" }, { "start": 8, "title": "" }]).to_string();
    let problem = read(send(&server, "PUT", &path, "application/json", wrong).await, 422).await;
    assert_eq!(problem["errors"][0]["pointer"], "/1/start");
    let shown = server.json(&format!("/api/v1/contents/{id}")).await.expect("the content");
    assert_eq!(shown["chapters"], list);
    let shown = read(send(&server, "PUT", &path, "application/json", "[]").await, 200).await;
    assert_eq!(shown["chapters"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_titles_of_chapters_are_shortened_and_the_content_reports_it() {
    let title = "x".repeat(190);
    let chapter = |n: u32| format!("[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}0\nEND={n}9\ntitle={n} {title}\n");
    let chapters: String = (0..300).map(chapter).collect();
    let list = cache().join("long-titles.txt");
    std::fs::write(&list, format!(";FFMETADATA1\n{chapters}")).expect("the cache can be written");
    let list = list.to_str().expect("the target folder has a plain name");
    let sound = ["-f", "lavfi", "-i", "sine=duration=4", "-i", list, "-map", "0", "-map_metadata", "1"];
    let file = clips::clip("long-titles.mka", &[&sound[..], &["-c:a", "libopus"]].concat());
    let server = Server::start().await;
    let id = tus::upload_file(&server, &file).await.expect("uploaded");
    server.finished(&id).await;
    let content = server.json(&format!("/api/v1/contents/{id}")).await.expect("the content");
    let note = "The titles of 300 of its chapters were shortened: all of them together have room in 32 KiB.";
    assert_eq!((content["state"].as_str(), content["reason"].as_str()), (Some("ready"), Some(note)));
    assert_eq!(content["chapters"].as_array().map(Vec::len), Some(300));
}
