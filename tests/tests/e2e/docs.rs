//! The documentation: every relative link and anchor is valid, and every page of the book is in its summary.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use streamgate_tests::server::repository;

/// Markdown files that git tracks or would add, relative to the repository.
fn pages() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.md"])
        .current_dir(repository())
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git ls-files: {output:?}");
    let names = String::from_utf8(output.stdout).expect("plain names");
    let pages = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    pages.filter(|page| repository().join(page).is_file()).collect()
}

/// The lines of a page outside its code blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// A line without its inline code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The targets of `[text](target)` in a line.
fn targets(line: &str) -> Vec<String> {
    let text = without_code(line);
    let found = text.match_indices("](").filter_map(|(at, _)| {
        let target = text.get(at + 2..)?.split_once(')')?.0;
        Some(target.to_owned())
    });
    found.collect()
}

/// The anchor of a heading, as mdBook and GitHub derive it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| anchor(title))
    });
    headings.collect()
}

/// `folder/../file` normalised; `None` if it leaves the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if plain.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(plain)
}

/// The problem of a link, if any.
fn fault(page: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, fragment) = target.split_once('#').map_or((target, None), |(file, id)| (file, Some(id)));
    let path = match file {
        "" => page.to_owned(),
        _ => match plain(&page.parent().unwrap_or(Path::new("")).join(file)) {
            Some(path) => path,
            None => return Some("leaves the repository"),
        },
    };
    let whole = repository().join(&path);
    if !whole.exists() {
        return Some("there is no such file");
    }
    if page.starts_with("docs") && !path.starts_with("docs") {
        return Some("leaves the book; name the file in `code` instead");
    }
    let id = fragment?;
    let text = fs::read_to_string(whole).unwrap_or_default();
    (!anchors(&text).contains(id)).then_some("there is no such heading")
}

#[test]
fn every_link_and_anchor_leads_somewhere() {
    let mut broken = Vec::new();
    let pages = pages();
    assert!(pages.len() > 40, "only {} pages", pages.len());
    for page in pages {
        let text = fs::read_to_string(repository().join(&page)).expect("readable");
        for (number, line) in prose(&text) {
            for target in targets(line) {
                if let Some(fault) = fault(&page, &target) {
                    broken.push(format!("{}:{}: {target}: {fault}", page.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_summary_lists_every_page_of_the_book() {
    let summary = fs::read_to_string(repository().join("docs/SUMMARY.md")).expect("docs/SUMMARY.md");
    let listed: HashSet<_> =
        summary.lines().flat_map(targets).map(|page| Path::new("docs").join(page)).collect();
    let book = pages().into_iter().filter(|page| page.starts_with("docs") && !page.ends_with("SUMMARY.md"));
    let missing: Vec<_> = book.filter(|page| !listed.contains(page)).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:#?}");
}

#[test]
fn anchors_are_those_of_mdbook_and_github() {
    assert_eq!(anchor(" Who may watch: `/api/v1/access`"), "who-may-watch-apiv1access");
    assert_eq!(anchor(" The boundary"), "the-boundary");
    assert_eq!(targets("see [a](b.md#c) and `[x](y)`, ![p](q.png)"), ["b.md#c", "q.png"]);
}
