//! The table of problem types, and the files generated from it: `docs/reference/problems.md` and the
//! console's texts. With `STREAMGATE_UPDATE=1` the files are written instead of compared.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use streamgate_plugin_api::problems::{self, ALL};

const DOCS: &str = "docs/reference/problems.md";
const TEXTS: &str = "plugins/entry/console/web/src/api/problems.ts";

fn docs() -> String {
    let head = "# Problem types\n\nErrors are `application/problem+json` (RFC 9457). This is every `type` of StreamGate's \
                own plugins, without its `urn:streamgate:problem:`; what is particular is in `detail`. The table is made \
                from `plugin-api/src/problems.rs`.\n\n| status | type | title | what to do |\n| --- | --- | --- | --- |\n";
    let rows = ALL.iter().map(|kind| {
        format!("| {} | `{}` | {} | {} |\n", kind.status().as_u16(), kind.slug, kind.title, kind.advice)
    });
    head.chars().chain(rows.collect::<String>().chars()).collect()
}

fn texts() -> String {
    let rows = ALL.iter().map(|kind| {
        let key = if kind.slug.contains('-') { format!("{:?}", kind.slug) } else { kind.slug.to_owned() };
        let line = format!("  {key}: {{ title: {:?}, advice: {:?} }},\n", kind.title, kind.advice);
        if line.len() <= 101 {
            return line;
        }
        format!("  {key}: {{\n    title: {:?},\n    advice: {:?},\n  }},\n", kind.title, kind.advice)
    });
    format!(
        "// Made from plugin-api/src/problems.rs; its test compares the two.\n\n\
         /** The types of problems that the server answers with, by the last part of the type. */\n\
         export const PROBLEMS = {{\n{}}} as const;\n\n\
         export type ProblemKind = keyof typeof PROBLEMS;\n",
        rows.collect::<String>()
    )
}

#[test]
fn the_files_that_are_made_from_the_table_say_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, wanted) in [(DOCS, docs()), (TEXTS, texts())] {
        let path = root.join(file);
        if std::env::var_os("STREAMGATE_UPDATE").is_some() {
            fs::write(&path, &wanted).expect("the file can be written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "{file} is not what the table says; run STREAMGATE_UPDATE=1 cargo test -p streamgate-plugin-api"
        );
    }
}

#[test]
fn a_type_is_there_once_and_says_what_to_do_in_plain_sentences() {
    let mut slugs = HashSet::new();
    for kind in ALL {
        assert!(slugs.insert(kind.slug), "{} is listed twice", kind.slug);
        assert_eq!(problems::of_slug(kind.slug), Some(*kind));
        assert!(kind.advice.ends_with('.') && !kind.title.ends_with('.'), "{}", kind.slug);
        assert!((400..600).contains(&kind.status().as_u16()), "{}", kind.slug);
    }
    assert!(ALL.is_sorted_by_key(|kind| kind.status()));
    assert_eq!(problems::of_slug("nonsense"), None);
}

#[test]
fn the_same_condition_has_the_same_title() {
    for (status, title, others) in [
        (401, "Sign-in required", &["Session ended", "Credential expired", "Invalid credential"][..]),
        (403, "Permission denied", &["Access revoked"]),
        (404, "Not found", &["Not playable yet"]),
        (405, "Method not allowed", &[]),
        (412, "Precondition failed", &["Unsupported version of tus"]),
        (413, "Body too large", &[]),
        (415, "Unsupported media type", &[]),
        (429, "Limit reached", &[]),
        (503, "Service unavailable", &[]),
    ] {
        let sign_in =
            |title: &str| title.contains("nonce") || title.contains("ignature") || title.contains("expired");
        for kind in ALL.iter().filter(|kind| kind.status() == status && kind.title != title) {
            assert!(others.contains(&kind.title) || sign_in(kind.title), "{}: {}", kind.slug, kind.title);
        }
    }
}
