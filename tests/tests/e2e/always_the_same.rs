//! The same file gives the same result, however busy the server is and however often it is killed in the
//! meantime.
//!
//! `STREAMGATE_TEST_REPEATS` sets how often each file is uploaded (default 20).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use streamgate_tests::random::Chance;
use streamgate_tests::server::{Server, Setup};
use streamgate_tests::wait::eventually;
use streamgate_tests::{clips, media, objects, tools, tus};

const PATIENCE: Duration = Duration::from_secs(120);
/// One longer clip per so many uploads, which keeps a slot busy.
const BUSY_EVERY: usize = 4;
/// Length of the clips that are killed during encoding.
const SECONDS: usize = 24;
/// Kills of the server, and of the transcoder's process.
const KILLS: usize = 2;
/// Hertz in the first second, and the increase per second.
const ENGLISH: usize = 300;
const GERMAN: usize = 1300;
const STEP: usize = 20;
/// How much a sound may differ: silence differs by 1, another tone by more.
const UNLIKE: f64 = 0.5;
/// Amplitude of a barely audible sound.
const QUIET: f64 = 0.01;
/// Samples per second of decoded sound.
const RATE: usize = 48_000;

fn repeats() -> usize {
    std::env::var("STREAMGATE_TEST_REPEATS")
        .map_or(20, |repeats| repeats.parse().expect("STREAMGATE_TEST_REPEATS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_gives_the_same_result_however_busy_the_server_is() {
    let server = Setup::default().set("plugins.transcoder.jobs", 3).start().await;
    let files = [case("two_languages.mp4", two_languages), case("flv_avc_aac.flv", flv)];
    // The first of each is encoded alone.
    let mut first = Vec::new();
    for file in &files {
        let id = tus::upload_file(&server, file).await.expect("uploaded");
        server.finished(&id).await;
        first.push(result(&server, &id).await);
    }

    let mut others = Vec::new();
    for turn in 1..repeats() {
        if turn % BUSY_EVERY == 1 {
            tus::upload_file(&server, &clips::plain("854x480", "25", 12.0)).await.expect("uploaded");
        }
        for (kind, file) in files.iter().enumerate() {
            others.push((kind, turn, tus::upload_file(&server, file).await.expect("uploaded")));
        }
    }
    let mut differences = Vec::new();
    for (kind, turn, id) in &others {
        server.finished(id).await;
        let name = files[*kind].file_name().unwrap_or_default().display();
        let found = first[*kind].differences(&result(&server, id).await);
        differences.extend(found.into_iter().map(|what| format!("{name}, upload {turn}: {what}")));
    }
    for (file, result) in files.iter().zip(&first) {
        eprintln!("{}: {} things, {} uploads", file.display(), result.0.len(), repeats());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The case with this name, else a short file of its kind.
fn case(name: &str, made: fn(usize) -> PathBuf) -> PathBuf {
    std::env::var_os("STREAMGATE_TEST_CASES")
        .map_or_else(|| made(4), |cases| PathBuf::from(cases).join("media").join(name))
}

/// All responses for a content, from playback and the API, by path.
struct Everything(BTreeMap<String, Bytes>);

impl Everything {
    fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differ = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        let said = |it: &Self, name| it.0.get(name).map_or("nothing".into(), |it| shown(it));
        differ.map(|name| format!("{name}: {} and {}", said(self, name), said(other, name))).collect()
    }
}

fn shown(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.map_or_else(|| format!("{} bytes", bytes.len()), str::to_owned)
}

async fn result(server: &Server, id: &str) -> Everything {
    let content = server.content(id).await.expect("the content");
    let playlists = media::hls(server, content.hls.as_deref().expect("an address")).await.expect("playlists");
    let named = [&content.hls, &content.dash, &content.poster, &content.thumbnails].into_iter().flatten();
    let mut urls: Vec<_> = named.map(|path| server.url(path)).collect();
    urls.extend(content.captions.iter().map(|caption| server.url(&caption.url)));
    for playlist in playlists {
        urls.extend(playlist.init.iter().map(ToString::to_string));
        urls.extend(playlist.segments.iter().map(|(url, _)| url.to_string()));
        urls.push(playlist.url.into());
    }
    let mut things = BTreeMap::new();
    things.insert("content".to_owned(), Bytes::from(facts(server, id).await.to_string()));
    for url in urls {
        let name = url.rsplit_once(id).map_or(url.as_str(), |(_, name)| name).to_owned();
        things.insert(name, fetched(server, &url).await);
    }
    Everything(things)
}

async fn fetched(server: &Server, url: &str) -> Bytes {
    let answer = server.http().get(url).send().await.and_then(reqwest::Response::error_for_status);
    answer.expect("it is there").bytes().await.expect("a whole body")
}

/// The API's description of a content, without its id and times.
async fn facts(server: &Server, id: &str) -> Value {
    let text = server.json(&format!("/api/v1/contents/{id}")).await.expect("the content").to_string();
    let mut facts: Value = serde_json::from_str(&text.replace(id, "ID")).expect("JSON");
    let members = facts.as_object_mut().expect("an object");
    members.retain(|name, _| !["created_at", "updated_at"].contains(&name.as_str()));
    facts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_while_it_was_encoded_is_the_same_from_its_beginning_to_its_end() {
    let setup = Setup::default()
        .set("plugins.transcoder.jobs", 4)
        .set("plugins.transcoder.lease", "3s")
        .set("plugins.transcoder.preset", "medium")
        // Its process is killed from outside: the files are not the cause, however often that happens here.
        .set("plugins.worker.max_crashes", KILLS + 1);
    let mut server = setup.start().await;
    let mut chance = Chance::new();
    let files = [two_languages(SECONDS), flv(SECONDS)];
    let mut unbroken = Vec::new();
    for file in &files {
        let id = tus::upload_file(&server, file).await.expect("uploaded");
        let decoded = Decoded::read(&server, &id).await;
        decoded.demand_right(media::video_frames(file).expect("a decodable file"));
        unbroken.push(decoded);
    }

    let mut wrong = Vec::new();
    let mut hit = [BTreeSet::new(), BTreeSet::new()];
    for round in 0..KILLS {
        let mut uploads = Vec::new();
        for kind in [0, 1, 0, 1] {
            let id = tus::upload_file(&server, &files[kind]).await.expect("uploaded");
            uploads.push((kind, id));
        }
        let few = chance.below(4) as u32;
        let before = there(&server, &uploads, |all| all.iter().flatten().all(|&count| count > few)).await;
        server.kill().await;
        hit[0].extend(under_way(&uploads, &before));
        server.restart().await;
        let doomed = server.plugin_process("transcoder").await;
        let goes_on = |all: &[Option<u32>]| {
            all.iter().zip(&before).any(|(now, before)| *now > before.map(|count| count + 1))
                || all.iter().all(Option::is_none)
        };
        let later = there(&server, &uploads, goes_on).await;
        kill_process(doomed, Signal::KILL).expect("it runs");
        hit[1].extend(under_way(&uploads, &later));
        eprintln!("segments at the kill of the server: {before:?}, and of the transcoder: {later:?}");

        for (kind, id) in &uploads {
            let found = unbroken[*kind].differences(&Decoded::read(&server, id).await);
            let name = files[*kind].file_name().unwrap_or_default().display();
            wrong.extend(found.into_iter().map(|what| format!("{name} of round {round}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(hit.iter().all(|kinds| kinds.len() == 2), "a kind was always whole by then: {hit:?}");
    objects::no_orphans(&server).await;
}

/// The number of segments of each upload's picture, or `None` if one is complete, once they are as wanted.
async fn there(
    server: &Server,
    uploads: &[(usize, String)],
    wanted: impl Fn(&[Option<u32>]) -> bool,
) -> Vec<Option<u32>> {
    eventually("the segments that are wanted", PATIENCE, async || {
        let mut all = Vec::new();
        for (_, id) in uploads {
            let content = server.content(id).await.ok()?;
            let pictures = content.renditions.iter().filter(|rendition| rendition.kind == "video");
            let most = pictures.map(|rendition| rendition.segments).max().unwrap_or_default();
            all.push((content.state != "ready").then_some(most));
        }
        wanted(&all).then_some(all)
    })
    .await
}

/// The kinds that have begun and are incomplete.
fn under_way(uploads: &[(usize, String)], there: &[Option<u32>]) -> Vec<usize> {
    let both = uploads.iter().zip(there);
    both.filter(|(_, there)| there.is_some_and(|count| count > 0)).map(|(upload, _)| upload.0).collect()
}

/// The video and sound of a content.
struct Decoded {
    facts: Value,
    renditions: BTreeMap<String, Rendition>,
}

struct Rendition {
    /// Seconds of each segment.
    segments: Vec<f64>,
    /// Of the picture.
    frames: Option<u64>,
    /// Of the sound, both channels in one.
    samples: Vec<f32>,
}

impl Decoded {
    /// When it is finished.
    async fn read(server: &Server, id: &str) -> Self {
        let content = server.finished(id).await;
        let mut facts = facts(server, id).await;
        // Where encoding resumes, x264 does not know its earlier output, so the bit rates differ.
        for rendition in facts["renditions"].as_array_mut().expect("a list") {
            rendition.as_object_mut().expect("an object").remove("bitrate");
        }
        let mut renditions = BTreeMap::new();
        let path = content.hls.as_deref().expect("an address");
        for playlist in media::hls(server, path).await.expect("playlists") {
            let name = playlist.url.path().rsplit('/').nth(1).unwrap_or_default().to_owned();
            let sound = name.starts_with("audio");
            let frames =
                (!sound).then(|| media::video_frames(playlist.url.as_str()).expect("a decodable rendition"));
            let samples = if sound { samples(playlist.url.as_str()) } else { Vec::new() };
            let segments = playlist.segments.iter().map(|(_, seconds)| *seconds).collect();
            renditions.insert(name, Rendition { segments, frames, samples });
        }
        Self { facts, renditions }
    }

    /// Compares it with its source: the number of frames, and the expected tone in each second.
    fn demand_right(&self, frames: u64) {
        for (name, rendition) in &self.renditions {
            if let Some(seen) = rendition.frames {
                assert!(seen.abs_diff(frames) <= 2, "{name}: {frames} frames in, {seen} out");
                continue;
            }
            let list = self.facts["renditions"].as_array().expect("a list");
            let facts = list.iter().find(|it| it["name"] == name.as_str()).expect("it is listed");
            let base = if facts["language"] == "de" { GERMAN } else { ENGLISH };
            for second in 0..SECONDS {
                let due = base + STEP * second;
                let heard = tone(&rendition.samples[second * RATE..]);
                assert!(heard.abs_diff(due) <= 3, "{name}: {heard} Hz in second {second}, not {due}");
            }
        }
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.facts != other.facts {
            wrong.push(format!("{} and {}", self.facts, other.facts));
        }
        if !self.renditions.keys().eq(other.renditions.keys()) {
            wrong.push(format!("{:?} and {:?}", self.renditions.keys(), other.renditions.keys()));
        }
        for (name, one) in &self.renditions {
            let Some(two) = other.renditions.get(name) else { continue };
            if (one.frames, one.samples.len()) != (two.frames, two.samples.len()) {
                let counts = [one, two].map(|it| (it.frames, it.samples.len()));
                wrong.push(format!("{name}: frames and samples are {:?} and {:?}", counts[0], counts[1]));
            }
            if one.segments != two.segments {
                wrong.push(format!("{name}: segments of {:?} and {:?} s", one.segments, two.segments));
            }
            let parts = one.samples.chunks(RATE / 10).zip(two.samples.chunks(RATE / 10));
            let unlike = parts.enumerate().filter(|(_, (one, two))| difference(one, two) > UNLIKE);
            let times: Vec<_> = unlike.map(|(part, _)| part as f64 / 10.0).collect();
            if !times.is_empty() {
                wrong.push(format!("{name}: another sound at {times:?} s"));
            }
        }
        wrong
    }
}

/// The loudness of the difference of two sounds, relative to the first, or to a barely audible sound.
fn difference(one: &[f32], two: &[f32]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f32>| values.map(|it| f64::from(it * it)).sum::<f64>();
    let apart = power(&mut one.iter().zip(two).map(|(one, two)| one - two));
    let heard = power(&mut one.iter().copied());
    (apart / heard.max(QUIET * QUIET * one.len() as f64)).sqrt()
}

/// Hertz in the middle of the second that begins here.
fn tone(samples: &[f32]) -> usize {
    let middle = &samples[RATE / 5..RATE * 4 / 5];
    let crossings = middle.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count();
    crossings * RATE / middle.len() / 2
}

/// The decoded sound of an address.
fn samples(address: &str) -> Vec<f32> {
    let rate = RATE.to_string();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i", address, "-ac", "1", "-ar", &rate, "-f", "f32le", "-"]);
    let decoded = tools::run(&mut ffmpeg).expect("a decodable sound");
    assert!(decoded.stderr.is_empty(), "{address}: {}", String::from_utf8_lossy(&decoded.stderr));
    let samples = decoded.stdout.chunks_exact(4);
    samples.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
}

/// A picture, and sounds with a different tone in each second.
fn made(name: &str, tones: &[usize], seconds: usize, code: &str) -> PathBuf {
    let picture = format!("testsrc2=size=640x360:rate=25:duration={seconds}");
    let mut arguments = ["-f", "lavfi", "-i", &picture].map(str::to_owned).to_vec();
    for base in tones {
        let sound = format!("aevalsrc=0.3*sin(2*PI*({base}+{STEP}*floor(t))*t):s={RATE}:d={seconds}");
        arguments.extend(["-f", "lavfi", "-i", &sound].map(str::to_owned));
    }
    for input in 0..=tones.len() {
        arguments.extend(["-map".to_owned(), input.to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(code.split_whitespace()).collect();
    clips::clip(name, &arguments)
}

fn two_languages(seconds: usize) -> PathBuf {
    let code = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -metadata:s:a:0 language=eng \
                -metadata:s:a:1 language=deu -disposition:a:0 default -disposition:a:1 0";
    made("two_languages.mp4", &[ENGLISH, GERMAN], seconds, code)
}

fn flv(seconds: usize) -> PathBuf {
    let code = "-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p -c:a aac -ac 2";
    made("flv_avc_aac.flv", &[ENGLISH], seconds, code)
}
