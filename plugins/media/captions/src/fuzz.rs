//! Entries for the fuzz targets, not an API: bytes from an upload or a file, and what must hold for all of
//! them.

use crate::{Cue, Format, MAX_BYTES, event_text, read, write};

/// An uploaded file: accepted WebVTT is accepted again, unchanged.
pub fn file(data: &[u8]) {
    let Ok(captions) = read(data) else { return };
    assert!(captions.vtt.starts_with("WEBVTT") && captions.vtt.ends_with('\n'));
    assert!(!captions.vtt.contains(['\r', '\0']) && captions.vtt.len() <= MAX_BYTES && captions.cues > 0);
    let Ok(again) = read(captions.vtt.as_bytes()) else { panic!("what was taken is refused") };
    assert!(again.format == Format::WebVtt && again.vtt == captions.vtt && again.cues == captions.cues);
}

/// The text of an event: it is one cue, and its markup is well-formed.
pub fn event(data: &[u8]) {
    let Ok(ass) = std::str::from_utf8(data) else { return };
    let Some((text, settings)) = event_text(ass) else { return };
    assert!(!text.contains("-->") && text.split('\n').all(|line| !line.trim().is_empty()));
    assert!(is_nested(&text));
    let written = write(&[Cue { start_ms: 0, end_ms: 1, settings, text: text.clone() }]);
    assert!(written.ends_with(&format!("\n{text}\n")));
    assert!(text.len() > crate::MAX_CUE_BYTES || read(written.as_bytes()).is_ok_and(|it| it.cues == 1));
}

/// A TTML document, as MP4 carries it in a sample: its cues are within the sample, and their markup is
/// well-formed.
pub fn document(data: &[u8]) {
    let Ok(document) = crate::document(data, 1_000..5_000) else { return };
    for Cue { start_ms, end_ms, settings, text } in document.cues {
        assert!(1_000 <= start_ms && start_ms < end_ms && end_ms <= 5_000);
        assert!(is_nested(&text) && text.split('\n').all(|line| !line.trim().is_empty()));
        assert!(settings.is_empty() || settings == "line:0");
    }
}

/// Whether every tag is one of ours, and ends in the reverse order.
pub(crate) fn is_nested(text: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((tag, after)) = after.split_once('>') else { return false };
        match tag {
            "i" | "b" | "u" => open.push(tag),
            "/i" | "/b" | "/u" if open.last() == Some(&&tag[1..]) => _ = open.pop(),
            _ => return false,
        }
        rest = after;
    }
    open.is_empty()
}
