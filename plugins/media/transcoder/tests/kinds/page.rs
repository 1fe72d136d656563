//! The table of `docs/reference/media.md`, from the tables of the inputs.

use super::{Kind, PENDING};

/// The table is between these two lines.
const BEGIN: &str = "<!-- the inputs: written by the test `kinds` of the transcoder -->";
const END: &str = "<!-- end of the inputs -->";

/// The page with its expected table.
pub(crate) fn with_table(page: &str, kinds: &[Kind]) -> String {
    let (before, rest) = page.split_once(BEGIN).unwrap_or((page, END));
    let (_, after) = rest.split_once(END).unwrap_or(("", "\n"));
    format!("{before}{BEGIN}\n{}{END}{after}", table(kinds))
}

fn table(kinds: &[Kind]) -> String {
    let heads = "| container | picture | sound | what is special | what comes out |\n\
                 | --- | --- | --- | --- | --- |\n";
    let right = kinds.iter().filter(|kind| PENDING.iter().all(|(name, _)| *name != kind.name));
    right.fold(heads.to_owned(), |table, kind| {
        let row = [kind.container, or_none(kind.picture), or_none(kind.sound), kind.special];
        format!("{table}| {} | {} |\n", row.join(" | "), outcome(kind))
    })
}

fn or_none(codec: &str) -> &str {
    if codec.is_empty() { "none" } else { codec }
}

fn outcome(kind: &Kind) -> String {
    let right = kind.right;
    let picture = (!kind.picture.is_empty()).then(|| {
        let fps = f64::from(right.rate.0) / f64::from(right.rate.1);
        let fps = format!("{fps:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
        format!("{}x{} at {fps}", right.width, right.height)
    });
    let sound = (!kind.sound.is_empty()).then(|| "stereo".to_owned());
    let parts: Vec<_> = picture.into_iter().chain(sound).chain([format!("{} s", right.seconds)]).collect();
    parts.join(", ")
}
