//! Audio and text tracks of a file in hls.js, dash.js, shaka-player and the browser's own HLS in headless
//! Chromium (`tests/players/tracks.mjs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::{Server, cache};
use streamgate_tests::{clips, tools, tus};

const SECONDS: u32 = 14;

#[tokio::test(flavor = "multi_thread")]
async fn in_every_player_a_viewer_chooses_between_sounds_and_texts_and_plays_to_the_end() {
    let dir = tools::node_project("tests/players").expect("the players can be installed from npm");
    let server = Server::start().await;
    let id = tus::upload_file(&server, &film()).await.expect("uploaded");
    server.finished(&id).await;
    let played = tools::run(
        Command::new("node").arg(dir.join("tracks.mjs")).args([&server.url(""), &id]).current_dir(&dir),
    )
    .expect("all players play what is chosen");
    eprintln!("{}", String::from_utf8_lossy(&played.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_cases_are_offered_with_all_that_they_have() {
    let Some(cases) = std::env::var_os("STREAMGATE_TEST_CASES").map(|it| PathBuf::from(it).join("media"))
    else {
        eprintln!("skipped: STREAMGATE_TEST_CASES names no folder of cases");
        return;
    };
    let server = Server::start().await;
    let languages = offered(&server, &cases.join("two_languages.mp4"), "AUDIO").await;
    assert_eq!(languages, ["en", "de"], "the default first");
    let languages = offered(&server, &cases.join("subtitles_chapters.mkv"), "SUBTITLES").await;
    assert_eq!(languages, ["en", "de"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_with_a_cover_has_a_poster_and_plays_as_sound() {
    let picture = ["-f", "lavfi", "-i", "testsrc2=size=600x600", "-frames:v", "1"];
    let cover = clips::clip("cover.png", &picture);
    let cover = cover.to_str().expect("the target folder has a plain name");
    let sound = ["-f", "lavfi", "-i", "sine=duration=4", "-i", cover, "-map", "0", "-map", "1"];
    let code = ["-c:a", "libmp3lame", "-c:v", "copy", "-disposition:v", "attached_pic"];
    let song = clips::clip("song.mp3", &[&sound[..], &code[..]].concat());
    let server = Server::start().await;
    let id = tus::upload_file(&server, &song).await.expect("uploaded");
    server.finished(&id).await;
    let content = server.json(&format!("/api/v1/contents/{id}")).await.expect("the content");
    assert!(content["thumbnails"].is_null() && content["reason"].is_null(), "{content}");
    let poster = content["poster"].as_str().expect("a poster");
    let answer = server.http().get(server.url(poster)).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"image/jpeg".parse().expect("a value"))
    );
    for list in ["master.m3u8", "manifest.mpd"] {
        let answer =
            server.http().get(server.url(&format!("/v/{id}/{list}"))).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        assert!(
            text.contains("mp4a.40.2") && !text.contains("RESOLUTION") && !text.contains("video/mp4"),
            "{text}"
        );
        assert!(!text.contains(".jpg"), "{text}");
    }
    server.control(&["fsck"]).await;
}

/// The languages that the multivariant playlist of a file lists, once per group; every text track can be
/// fetched, and so can the chapters, if the file has text tracks.
async fn offered(server: &Server, file: &Path, kind: &str) -> Vec<String> {
    let id = tus::upload_file(server, file).await.expect("uploaded");
    server.finished(&id).await;
    let get = async |path: &str| {
        let answer = server.http().get(server.url(&format!("/v/{id}/{path}"))).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.expect("it is there").text().await.expect("text")
    };
    let master = get("master.m3u8").await;
    let value = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name}: {line}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let listed: Vec<&str> = master.lines().filter(|line| line.contains(&format!("TYPE={kind},"))).collect();
    let mut languages: Vec<String> = Vec::new();
    for line in listed {
        let language = value(line, "LANGUAGE");
        if !languages.contains(&language) {
            languages.push(language);
        }
        let playlist = value(line, "URI");
        let text = get(&playlist).await;
        if kind == "SUBTITLES" {
            let name = playlist.split('/').next().unwrap_or_default();
            let file = text.lines().find(|line| line.ends_with(".vtt")).expect("a text has a file");
            assert!(get(&format!("{name}/{file}")).await.starts_with("WEBVTT"));
            assert!(get("chapters.vtt").await.contains("-->"));
        }
    }
    languages
}

/// A film with an English audio track of 440 Hz and a German one of 1000 Hz, and with text tracks in both
/// languages that number every two seconds.
fn film() -> PathBuf {
    let texts = ["English", "Deutsch"].map(|word| {
        let cue =
            |n: u32| format!("{n}\n00:00:{:02},000 --> 00:00:{:02},000\n{word} {n}\n\n", 2 * n - 2, 2 * n);
        let path = cache().join(format!("{word}-{SECONDS}.srt"));
        fs::write(&path, (1..=SECONDS / 2).map(cue).collect::<String>()).expect("the cache can be written");
        path.to_str().expect("the target folder has a plain name").to_owned()
    });
    let picture = format!("testsrc2=size=1280x720:rate=25:duration={SECONDS}");
    let tone = |hertz: u32| format!("sine=frequency={hertz}:sample_rate=48000:duration={SECONDS}");
    let (english, german) = (tone(440), tone(1000));
    let inputs = ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &english, "-f", "lavfi", "-i", &german];
    let read = ["-i", &texts[0], "-i", &texts[1]];
    let map = ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "4"];
    let code = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -c:s srt \
                -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu \
                -metadata:s:s:0 language=eng -metadata:s:s:1 language=deu \
                -disposition:s:0 0 -disposition:s:1 0";
    let arguments: Vec<&str> =
        inputs.into_iter().chain(read).chain(map).chain(code.split_whitespace()).collect();
    clips::clip("film.mkv", &arguments)
}
