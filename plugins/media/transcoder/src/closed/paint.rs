//! Rows of characters, and the WebVTT cue text and settings (WebVTT §3.2, §3.5) that show them. Colours,
//! underlines and the exact position of a row are not kept.

use streamgate_captions::{Markup, Style};

use super::track::Shown;

/// Rows of the screen of both standards.
pub(super) const ROWS: usize = 15;
/// Maximum bytes of a cue's text; further rows are left out.
const MAX_TEXT: usize = 4 << 10;

/// One cell of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) letter: char,
    pub(super) italic: bool,
}

impl Cell {
    /// Transparent: the picture behind it is visible.
    pub(super) const CLEAR: Self = Self { letter: ' ', italic: false };

    fn is_blank(self) -> bool {
        self.letter.is_whitespace()
    }
}

/// The columns from the first letter of a row to past the last; `None` for a blank row.
pub(super) fn span(row: &[Cell]) -> Option<(usize, usize)> {
    let first = row.iter().position(|cell| !cell.is_blank())?;
    let last = row.iter().rposition(|cell| !cell.is_blank())?;
    Some((first, last + 1))
}

/// The rows that are not blank, as lines.
pub(super) fn text<'r>(rows: impl Iterator<Item = &'r [Cell]>) -> String {
    let mut text = String::new();
    for row in rows {
        let Some((first, end)) = span(row) else { continue };
        let line = line(&row[first..end]);
        if text.len() + line.len() >= MAX_TEXT {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}

fn line(cells: &[Cell]) -> String {
    let mut markup = Markup::default();
    let mut space = false;
    for cell in cells {
        if cell.is_blank() {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) {
            markup.push(' ');
        }
        markup.set(Style::Italic, cell.italic);
        markup.push(cell.letter);
    }
    markup.finish().unwrap_or_default()
}

/// The content of a screen of `COLUMNS` columns; `aside` tells whether text on one side of it stays there.
pub(super) fn show<const COLUMNS: usize>(screen: &[[Cell; COLUMNS]; ROWS], aside: bool) -> Shown {
    let spans = || screen.iter().enumerate().filter_map(|(at, row)| Some((at, span(row)?)));
    let (Some((top, _)), Some((bottom, _))) = (spans().next(), spans().next_back()) else {
        return Shown::default();
    };
    let mut settings = Vec::new();
    if top + bottom < ROWS - 1 {
        settings.push("line:0".to_owned());
    }
    if aside {
        let left = spans().map(|(_, (left, _))| left).min().unwrap_or(0);
        let right = spans().map(|(_, (_, right))| right).max().unwrap_or(COLUMNS);
        // The screen is the middle 80 percent of the picture.
        let percent = |column: usize| 10 + column * 80 / COLUMNS;
        // Further from the middle than the rounding of indents.
        let (middle, far) = (COLUMNS, COLUMNS / 3);
        if left + right + far <= middle {
            settings.push(format!("position:{}% align:left", percent(left)));
        } else if left + right >= middle + far {
            settings.push(format!("position:{}% align:right", percent(right)));
        }
    }
    Shown { settings: settings.join(" "), text: text(screen.iter().map(<[Cell; COLUMNS]>::as_slice)) }
}
