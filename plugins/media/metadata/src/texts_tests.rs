use super::*;
use proptest::prelude::*;
use serde_json::json;
use streamgate_contracts::catalogue::v1::Rendition;

use crate::timeline::Totals;

fn text(name: &str) -> TextTrack {
    TextTrack { name: name.into(), version: 1, ..TextTrack::default() }
}

fn names(content: &Content) -> Vec<&str> {
    content.texts.iter().map(|text| text.name.as_str()).collect()
}

fn chapter(start_ms: u64, title: &str) -> Chapter {
    Chapter { start_ms, title: title.into() }
}

#[test]
fn the_texts_of_a_file_come_first_and_never_replace_what_is_there() {
    let edited = TextTrack { version: 7, ..text("text-2") };
    let mut content = Content { texts: vec![text("captions-a"), edited.clone()], ..Content::default() };
    let file = FileTexts { texts: vec![text("text-1"), text("text-2")], chapters: vec![chapter(0, " A\n")] };
    add_file(&mut content, &file, &[]).unwrap();
    assert_eq!(names(&content), ["text-1", "captions-a", "text-2"]);
    assert_eq!(content.texts[2], edited);
    assert_eq!((content.texts_read, &content.chapters), (true, &vec![chapter(0, "A")]));

    // What was removed since does not come back.
    content.texts.clear();
    content.chapters.clear();
    let before = content.clone();
    add_file(&mut content, &file, &[]).unwrap();
    assert_eq!(content, before);
}

#[test]
fn chapters_that_people_wrote_stay() {
    let mut content = Content { chapters: vec![chapter(5, "Mine")], ..Content::default() };
    let file = FileTexts { texts: Vec::new(), chapters: vec![chapter(0, "Theirs")] };
    add_file(&mut content, &file, &[]).unwrap();
    assert_eq!(content.chapters, [chapter(5, "Mine")]);
}

#[test]
fn one_text_at_most_is_shown_unasked_besides_forced_ones() {
    let shown = |name: &str, forced| TextTrack { default: true, forced, ..text(name) };
    let mut content = Content { texts: vec![shown("captions-a", false)], ..Content::default() };
    let texts = vec![shown("text-1", false), shown("text-2", true)];
    add_file(&mut content, &FileTexts { texts, chapters: Vec::new() }, &[]).unwrap();
    let defaults = |content: &Content| -> Vec<bool> { content.texts.iter().map(|it| it.default).collect() };
    assert_eq!(defaults(&content), [false, true, true]);
    let about = About { default: Some(true), ..About::default() };
    about.apply(&mut content, "text-1").unwrap();
    assert_eq!(defaults(&content), [true, true, false]);
    let about = About { forced: Some(false), ..About::default() };
    about.apply(&mut content, "text-2").unwrap();
    assert_eq!(defaults(&content), [false, true, false]);
}

#[test]
fn names_that_cannot_be_a_files_are_refused() {
    for texts in [
        vec![text("source")],
        vec![text("a/b")],
        vec![text("captions-0190c3b0aabb")],
        vec![text("text-1"), text("text-1")],
        vec![TextTrack { version: 0, ..text("text-1") }],
    ] {
        let file = FileTexts { texts, chapters: Vec::new() };
        assert!(matches!(check_file(&file), Err(StoreError::Invalid(_))), "{file:?}");
    }
    let file = FileTexts { texts: vec![text("720p")], chapters: Vec::new() };
    check_file(&file).unwrap();
    let spec = Rendition { name: "720p".into(), ..Rendition::default() };
    let rung = Rung { spec, totals: Totals::default() };
    let refused = add_file(&mut Content::default(), &file, &[rung]).unwrap_err();
    assert_eq!(refused.to_string(), "`720p` is the name of a rendition");
}

#[test]
fn what_a_file_says_is_made_fit_and_never_refused() {
    let long = "🎬".repeat(500);
    let texts: Vec<TextTrack> = (0..100)
        .map(|n| TextTrack { language: "??".into(), label: long.clone(), ..text(&format!("text-{n}")) })
        .collect();
    let chapters = (0..5_000).map(|n| chapter(n, &long)).collect();
    let mut content = Content { texts: vec![text("captions-a")], ..Content::default() };
    add_file(&mut content, &FileTexts { texts, chapters }, &[]).unwrap();
    assert_eq!((content.texts.len(), content.chapters.len()), (limits::TEXTS, limits::CHAPTERS));
    assert_eq!(content.texts[0].language, "");
    assert!(!content.chapters[0].title.is_empty());
    fits(&content).unwrap();
}

#[test]
fn every_wrong_field_of_a_text_is_named_at_once() {
    let patch = json!({
        "language": "german!", "label": "x".repeat(65), "default": 1, "name": "a", "forced": null
    });
    let Value::Object(patch) = patch else { panic!("an object") };
    let errors = About::from_json(patch).unwrap_err();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/default", "/label", "/language", "/name"]);
}

#[test]
fn chapters_ascend_and_every_wrong_one_is_named() {
    let list = |value: Value| chapters(value.as_array().unwrap().clone());
    let good = list(json!([{"start": 0, "title": "A"}, {"start": 1.5, "title": ""}])).unwrap();
    assert_eq!(good, [chapter(0, "A"), chapter(1_500, "")]);
    let errors = list(json!([
        {"start": 5, "title": "A"}, {"start": 5, "title": "B"}, {"title": "C"}, {"start": -1}, {"start": 1e300}, 7,
        {"start": 9, "title": 1}, {"start": 10, "title": "a", "end": 3}
    ]))
    .unwrap_err();
    let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/1/start", "/2/start", "/3/start", "/4/start", "/5", "/6/title", "/7/end"]);
    let many = (0..=limits::CHAPTERS).map(|start| json!({"start": start, "title": ""})).collect();
    assert_eq!(chapters(many).unwrap_err()[0].pointer, "");
}

#[test]
fn names_that_are_given_are_names_and_differ() {
    let given: std::collections::HashSet<String> = (0..1_000).map(|_| fresh_name()).collect();
    assert_eq!(given.len(), 1_000);
    assert!(given.iter().all(|name| limits::is_text_name(name)));
}

proptest! {
    #[test]
    fn whatever_a_file_says_is_within_bounds(
        labels in prop::collection::vec(any::<(String, String, bool, bool)>(), 0..20),
        titles in prop::collection::vec(any::<(u32, String)>(), 0..20),
    ) {
        let texts = labels.into_iter().enumerate().map(|(n, (label, language, default, forced))| {
            TextTrack { label, language, default, forced, ..text(&format!("text-{n}")) }
        });
        let mut chapters: Vec<Chapter> =
            titles.into_iter().map(|(start, title)| chapter(start.into(), &title)).collect();
        chapters.sort_by_key(|chapter| chapter.start_ms);
        chapters.dedup_by_key(|chapter| chapter.start_ms);
        let file = FileTexts { texts: texts.collect(), chapters };
        check_file(&file).unwrap();
        let mut content = Content::default();
        add_file(&mut content, &file, &[]).unwrap();
        prop_assert!(fits(&content).is_ok());
        prop_assert!(content.texts.iter().filter(|text| text.default && !text.forced).count() <= 1);
    }
}
