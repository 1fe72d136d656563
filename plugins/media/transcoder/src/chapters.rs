//! The chapters of a file by the presentation's clock, within the limits of a content, and notes about those
//! that are cut. Pure.

use crate::sink::Chapter;
use crate::tracks::{TITLE_CHARS, clean};

/// Maximum chapters of a content in the catalogue.
const MOST: usize = 1_000;
/// Maximum bytes of text about texts and chapters in the catalogue, for people.
const ROOM: &str = "32 KiB";

/// The chapters that begin before `end`, of those `found`: the start of each, nanoseconds by the file's
/// clock, which is at `start` when the presentation begins, and its title. Also notes for people.
pub(crate) fn chapters(found: &[(i64, String)], start: i64, end: i64) -> (Vec<Chapter>, Vec<String>) {
    let begun = found.iter().map(|(begins, title)| (begins.saturating_sub(start).max(0), title));
    let (mut chapters, mut cut) = (Vec::new(), 0_usize);
    for (begins, title) in begun.filter(|(begins, _)| *begins < end) {
        let start_ms = (begins.unsigned_abs() + 500_000) / 1_000_000;
        chapters.push(Chapter { start_ms, title: title.clone() });
    }
    chapters.sort_by_key(|chapter| chapter.start_ms);
    chapters.dedup_by_key(|chapter| chapter.start_ms);
    let all = chapters.len();
    chapters.truncate(MOST);
    for chapter in &mut chapters {
        let title = clean(&chapter.title, TITLE_CHARS);
        cut += usize::from(title.len() < chapter.title.len());
        chapter.title = title;
    }
    let mut notes = Vec::new();
    if all > MOST {
        let rest = all - MOST;
        notes.push(format!(
            "The last {rest} of its {all} chapters were left out: this server takes no more than {MOST}."
        ));
    }
    notes.extend(shortened(cut, &format!("a title has at most {TITLE_CHARS} characters")));
    (chapters, notes)
}

/// Notes for people about what the catalogue took of what it was given.
pub(crate) fn taken(given: &[(u64, String)], taken: &[(u64, String)]) -> Option<String> {
    // Chapters written by people stay, and differ.
    let same = given.len() == taken.len()
        && given.iter().zip(taken).all(|(given, taken)| given.0 == taken.0 && given.1.starts_with(&taken.1));
    let cut = given.iter().zip(taken).filter(|(given, taken)| taken.1.len() < given.1.len()).count();
    shortened(if same { cut } else { 0 }, &format!("all of them together have room in {ROOM}"))
}

fn shortened(titles: usize, why: &str) -> Option<String> {
    let of = match titles {
        0 => return None,
        1 => "The title of one of its chapters was".to_owned(),
        many => format!("The titles of {many} of its chapters were"),
    };
    Some(format!("{of} shortened: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapters_count_from_the_beginning_of_the_presentation_and_end_with_it() {
        let second = 1_000_000_000;
        let found: Vec<_> = [5, 9, 2, 5, 30]
            .into_iter()
            .zip(["two", "three", "one", "two again", "behind the end"])
            .map(|(begins, title)| (begins * second, title.to_owned()))
            .collect();
        let (chapters, notes) = chapters(&found, 4 * second, 10 * second);
        let found: Vec<_> = chapters.iter().map(|it| (it.start_ms, it.title.as_str())).collect();
        assert_eq!(found, [(0, "one"), (1_000, "two"), (5_000, "three")]);
        assert!(notes.is_empty());
    }

    #[test]
    fn what_is_cut_is_named() {
        let found: Vec<_> = (0..1_003).rev().map(|n| (n * 1_000_000, "x".repeat(201))).collect();
        let (chapters, notes) = chapters(&found, 0, i64::MAX);
        assert_eq!((chapters.len(), chapters[999].start_ms, chapters[999].title.len()), (1_000, 999, 200));
        assert_eq!(
            notes,
            [
                "The last 3 of its 1003 chapters were left out: this server takes no more than 1000.",
                "The titles of 1000 of its chapters were shortened: a title has at most 200 characters."
            ]
        );
    }

    #[test]
    fn titles_that_the_catalogue_has_shortened_are_named_and_chapters_of_people_are_not() {
        let given = [(0, "Opening".to_owned()), (5, "Title".to_owned())];
        let kept = |title: &str| [given[0].clone(), (5, title.to_owned())];
        assert_eq!(taken(&given, &given), None);
        let note =
            "The title of one of its chapters was shortened: all of them together have room in 32 KiB.";
        assert_eq!(taken(&given, &kept("Ti")).as_deref(), Some(note));
        assert_eq!(taken(&given, &kept("Mine")), None);
        assert_eq!(taken(&given, &given[..1]), None);
    }
}
