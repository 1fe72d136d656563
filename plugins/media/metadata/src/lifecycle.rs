//! The states of a content and the steps between them. Pure: it never touches the
//! database, and every write goes through it.

use streamgate_contracts::catalogue::v1::{Content, ContentState, Source, UpdateRequest};

use crate::limits;

/// A transition that the state machine does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a content cannot go from `{from}` to `{to}`; from `{from}` it can go to {allowed}")]
pub(crate) struct ForbiddenStep {
    from: &'static str,
    to: &'static str,
    allowed: String,
}

/// The allowed transitions from a state, besides staying.
pub(crate) fn next_states(from: ContentState) -> &'static [ContentState] {
    use ContentState::{Failed, Playable, Ready, Transcoding, Unspecified, Uploaded, Uploading};
    match from {
        Unspecified | Ready => &[],
        Uploading => &[Uploaded, Failed],
        Uploaded => &[Transcoding, Failed],
        Transcoding => &[Playable, Ready, Failed],
        Playable => &[Ready, Failed],
        Failed => &[Uploaded, Transcoding],
    }
}

/// Moves a content to `to`. Staying in a state is no transition and changes nothing.
pub(crate) fn step(content: &mut Content, to: ContentState) -> Result<(), ForbiddenStep> {
    let from = content.state();
    if from == to {
        return Ok(());
    }
    let next = next_states(from);
    if !next.contains(&to) {
        let names: Vec<&str> = next.iter().map(|state| state.name()).collect();
        let allowed = if names.is_empty() { "no other state".to_owned() } else { names.join(", ") };
        return Err(ForbiddenStep { from: from.name(), to: to.name(), allowed });
    }
    content.set_state(to);
    content.reason.clear();
    content.unusable = false;
    match to {
        ContentState::Uploaded | ContentState::Transcoding => content.progress = 0.0,
        ContentState::Ready => content.progress = 1.0,
        // Encoding continues, or stopped where it was.
        _ => {}
    }
    Ok(())
}

/// Applies an update as `Catalogue.Update` defines it; unnamed fields stay.
pub(crate) fn apply(content: &mut Content, update: &UpdateRequest) -> Result<(), ForbiddenStep> {
    if update.state() != ContentState::Unspecified {
        step(content, update.state())?;
    }
    if let Some(reason) = &update.reason {
        content.reason = limits::clean(reason, limits::REASON_CHARS);
    }
    if let Some(progress) = update.progress {
        content.progress = fraction(progress);
    }
    if let Some(duration_ms) = update.duration_ms {
        content.duration_ms = duration_ms.min(i64::MAX as u64);
    }
    if let Some(source) = &update.source {
        content.source = Some(clean_source(source.clone()));
    }
    if let Some(unusable) = update.unusable {
        content.unusable = unusable && content.state() == ContentState::Failed;
    }
    if let Some(has_poster) = update.has_poster {
        content.has_poster = has_poster;
    }
    if let Some(has_thumbnails) = update.has_thumbnails {
        content.has_thumbnails = has_thumbnails;
    }
    let bound = |bytes: u64| bytes.min(limits::PICTURE_BYTES);
    content.poster_bytes = update.poster_bytes.map_or(content.poster_bytes, bound);
    content.thumbnail_bytes = update.thumbnail_bytes.map_or(content.thumbnail_bytes, bound);
    if let Some(title) = &update.default_title
        && content.title.is_empty()
    {
        content.title = limits::clean(title, limits::TITLE_CHARS);
    }
    Ok(())
}

/// Progress in its displayed form: 0 to 1.
pub(crate) fn fraction(progress: f64) -> f64 {
    if progress.is_nan() { 0.0 } else { progress.clamp(0.0, 1.0) }
}

/// Source properties without control characters and within bounds.
pub(crate) fn clean_source(mut source: Source) -> Source {
    source.filename = limits::clean(&source.filename, limits::FILENAME_CHARS);
    source.content_type = limits::clean(&source.content_type, limits::WORD_CHARS);
    source.video_codec = limits::clean(&source.video_codec, limits::WORD_CHARS);
    source.audio_codec = limits::clean(&source.audio_codec, limits::WORD_CHARS);
    source
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(state: ContentState) -> Content {
        Content { state: state.into(), reason: "before".into(), progress: 0.4, ..Content::default() }
    }

    fn any_state() -> impl Strategy<Value = ContentState> {
        (1..=6).prop_map(|number| ContentState::try_from(number).unwrap())
    }

    #[test]
    fn the_allowed_steps_are_those_of_the_contract() {
        let allowed = "uploading>uploaded uploading>failed uploaded>transcoding uploaded>failed \
            transcoding>playable transcoding>ready transcoding>failed playable>ready playable>failed \
            failed>uploaded failed>transcoding";
        let mut found = Vec::new();
        for from in 1..=6 {
            for to in 1..=6 {
                let (from, to) = (ContentState::try_from(from).unwrap(), ContentState::try_from(to).unwrap());
                if from != to && step(&mut content(from), to).is_ok() {
                    found.push(format!("{}>{}", from.name(), to.name()));
                }
            }
        }
        assert_eq!(found.join(" "), allowed);
    }

    #[test]
    fn only_what_failed_is_unusable_and_the_next_try_clears_it() {
        let says = |state: ContentState| UpdateRequest {
            state: state.into(),
            unusable: Some(true),
            ..UpdateRequest::default()
        };
        let mut content = content(ContentState::Transcoding);
        apply(&mut content, &says(ContentState::Unspecified)).unwrap();
        assert!(!content.unusable);
        apply(&mut content, &says(ContentState::Failed)).unwrap();
        assert!(content.unusable);
        step(&mut content, ContentState::Uploaded).unwrap();
        assert!(!content.unusable);
    }

    #[test]
    fn a_refused_step_names_the_states_that_are_open() {
        let error = step(&mut content(ContentState::Uploading), ContentState::Ready).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a content cannot go from `uploading` to `ready`; from `uploading` it can go to uploaded, failed"
        );
    }

    #[test]
    fn becoming_playable_keeps_the_progress_of_the_encoding() {
        let mut playable = content(ContentState::Transcoding);
        step(&mut playable, ContentState::Playable).unwrap();
        assert!((playable.progress - 0.4).abs() < f64::EPSILON);
        step(&mut playable, ContentState::Ready).unwrap();
        assert!((playable.progress - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_default_title_never_replaces_one_that_is_there() {
        let mut given = Content { title: "Mine".into(), ..content(ContentState::Uploaded) };
        let update =
            UpdateRequest { default_title: Some("From the file".into()), ..UpdateRequest::default() };
        apply(&mut given, &update).unwrap();
        assert_eq!(given.title, "Mine");
        given.title.clear();
        apply(&mut given, &update).unwrap();
        assert_eq!(given.title, "From the file");
    }

    proptest! {
        #[test]
        fn no_walk_ever_leaves_the_contract(start in any_state(), walk in prop::collection::vec(any_state(), 0..20)) {
            let mut walker = content(start);
            for to in walk {
                let from = walker.state();
                let moved = step(&mut walker, to).is_ok();
                prop_assert_eq!(moved, from == to || next_states(from).contains(&to));
                prop_assert_eq!(walker.state(), if moved { to } else { from });
            }
        }

        #[test]
        fn progress_is_always_a_fraction(progress in prop::num::f64::ANY) {
            prop_assert!((0.0..=1.0).contains(&fraction(progress)));
        }
    }
}
