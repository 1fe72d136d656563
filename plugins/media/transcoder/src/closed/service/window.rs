//! One window of a caption service (CTA-708 §8.4): a grid of characters with a pen, positioned by an anchor.

use cea708_types::tables::{Anchor, Code, DefineWindowArgs, Ext1};

use super::super::paint::{Cell, ROWS, span};

/// Columns of a window on a wide picture. Rows have this length whatever the window declares, so that no
/// letter is lost.
const COLUMNS: usize = 42;
const BLANK: [Cell; COLUMNS] = [Cell::CLEAR; COLUMNS];

pub(super) struct Window {
    args: DefineWindowArgs,
    pub(super) visible: bool,
    /// Since it was cleared.
    pub(super) written: bool,
    pub(super) italic: bool,
    pub(super) row: usize,
    column: usize,
    grid: [[Cell; COLUMNS]; ROWS],
}

impl Window {
    pub(super) fn new(args: &DefineWindowArgs) -> Self {
        let grid = [BLANK; ROWS];
        let (visible, written, italic) = (args.visible, false, false);
        Self { args: *args, visible, written, italic, row: 0, column: 0, grid }
    }

    /// A redefined window keeps its text.
    pub(super) fn redefine(&mut self, args: &DefineWindowArgs) {
        if *args != self.args {
            self.args = *args;
            let count = self.row_count();
            self.grid[count..].fill(BLANK);
            self.point(self.row, self.column);
            if args.pen_style_id != 0 {
                self.italic = false;
            }
        }
        self.visible = args.visible;
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.written) {
            self.grid = [BLANK; ROWS];
        }
    }

    pub(super) fn clear_row(&mut self) {
        self.grid[self.row] = BLANK;
        self.column = 0;
    }

    /// Moves the pen.
    pub(super) fn point(&mut self, row: usize, column: usize) {
        self.row = row.min(self.row_count() - 1);
        self.column = column.min(COLUMNS - 1);
    }

    pub(super) fn write(&mut self, letter: char) {
        self.written = true;
        self.grid[self.row][self.column.min(COLUMNS - 1)] = Cell { letter, italic: self.italic };
        self.column = (self.column + 1).min(COLUMNS);
    }

    pub(super) fn back(&mut self) {
        if let Some(column) = self.column.checked_sub(1) {
            self.column = column;
            self.grid[self.row][column] = Cell::CLEAR;
        }
    }

    pub(super) fn is_last_row(&self) -> bool {
        self.row + 1 >= self.row_count()
    }

    /// To the next row; after the last, all rows move up.
    pub(super) fn end_row(&mut self) {
        self.column = 0;
        if self.is_last_row() {
            let count = self.row_count();
            self.grid.copy_within(1..count, 0);
            self.grid[count - 1] = BLANK;
        } else {
            self.row += 1;
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.grid.iter().map(<[Cell; COLUMNS]>::as_slice)
    }

    /// Orders windows for reading.
    pub(super) fn place(&self) -> (i32, i32) {
        (self.top(), self.left())
    }

    /// Top and bottom of its text, in percent of the picture; `None` without text.
    pub(super) fn extent(&self) -> Option<(i32, i32)> {
        let first = self.grid.iter().position(|row| span(row).is_some())?;
        let last = self.grid.iter().rposition(|row| span(row).is_some())?;
        let percent = |row: usize| self.top() + (row * 100 / ROWS) as i32;
        Some((percent(first), percent(last + 1)))
    }

    fn row_count(&self) -> usize {
        // The field counts from zero (CTA-708 §8.10.5.2).
        (usize::from(self.args.row_count) + 1).min(ROWS)
    }

    fn top(&self) -> i32 {
        let anchor = i32::from(self.args.anchor_vertical);
        let anchor = if self.args.relative_positioning { anchor } else { anchor * 100 / 75 };
        let height = (self.row_count() * 100 / ROWS) as i32;
        anchor
            - match self.args.anchor_point {
                Anchor::CenterLeft | Anchor::CenterMiddle | Anchor::CenterRight => height / 2,
                Anchor::BottomLeft | Anchor::BottomMiddle | Anchor::BottomRight => height,
                _ => 0,
            }
    }

    fn left(&self) -> i32 {
        let anchor = i32::from(self.args.anchor_horizontal);
        let anchor = if self.args.relative_positioning { anchor } else { anchor * 100 / 210 };
        let width = ((usize::from(self.args.column_count) + 1) * 100 / COLUMNS) as i32;
        anchor
            - match self.args.anchor_point {
                Anchor::TopMiddle | Anchor::CenterMiddle | Anchor::BottomMiddle => width / 2,
                Anchor::TopRight | Anchor::CenterRight | Anchor::BottomRight => width,
                _ => 0,
            }
    }
}

/// The character of a code that writes one.
pub(super) fn letter(code: &Code) -> Option<char> {
    let letter = match code {
        Code::Ext1(Ext1::TransparentSpace | Ext1::NonBreakingTransparentSpace) => ' ',
        Code::Ext1(Ext1::SolidDot) => '•',
        Code::Ext1(Ext1::VerticalBorder) => '│',
        Code::Ext1(Ext1::UpperRightBorder) => '┐',
        Code::Ext1(Ext1::LowerLeftBorder) => '└',
        Code::Ext1(Ext1::HorizontalBorder) => '─',
        Code::Ext1(Ext1::LowerRightBorder) => '┘',
        Code::Ext1(Ext1::UpperLeftBorder) => '┌',
        // G1 is Latin-1 (CTA-708 §7.1); the table has look-alikes of these two.
        Code::RegisteredTrademarkSign => '®',
        Code::LatinCapitalEth => 'Ð',
        // Sixteen bits that receivers interpret as Unicode.
        Code::P16(letter) => char::from_u32(u32::from(*letter))?,
        code => code.char()?,
    };
    (!letter.is_control()).then_some(letter)
}
