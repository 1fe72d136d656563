//! Line 21 (CTA-608): pop-on, roll-up and paint-on captions of CC1 to CC4. Text mode (T1 to T4) and XDS are
//! skipped; colours and underlines are not kept.

use cea608_types::tables::PreambleAddressCode;
use cea608_types::{Cea608, Cea608State, Mode, Text};
use streamgate_captions::Cue;

use super::paint::{Cell, ROWS, show};
use super::track::{Patience, Shown, Track};

const COLUMNS: usize = 32;
const PADDING: [u8; 2] = [0x80, 0x80];
/// Maximum padding between a code and its repetition when the frame rate was converted.
const GAP: u8 = 2;
/// Painted text appears as it arrives.
const PAINTED: Patience = Patience { whole_ms: 1_000, pause_ms: 1_000 };
/// A rolled row is complete before it is read, unless the speaker pauses.
const ROLLED: Patience = Patience { whole_ms: 4_000, pause_ms: 1_000 };
/// Every screen is kept, however short.
const BRIEF_MS: u64 = 1;

type Screen = [[Cell; COLUMNS]; ROWS];
const BLANK: Screen = [[Cell::CLEAR; COLUMNS]; ROWS];

/// One field of line 21, which carries two channels in turn.
pub(super) struct Field {
    state: Cea608State,
    /// The previous pair, unless it was taken as a repetition.
    last: Option<[u8; 2]>,
    /// Pairs of padding in a row.
    padding: u8,
    /// Within an XDS packet (CTA-608 §9), up to its end or a caption's code.
    xds: bool,
    /// The channels whose letters belong to text mode.
    text_mode: [bool; 2],
    captions: [Caption; 2],
}

impl Field {
    pub(super) fn new() -> Self {
        Self {
            state: Cea608State::default(),
            last: None,
            padding: 0,
            xds: false,
            text_mode: [false; 2],
            captions: [Caption::new(), Caption::new()],
        }
    }

    /// One pair, with its parity; a pair with the wrong one is dropped.
    pub(super) fn take(&mut self, now_ms: u64, pair: [u8; 2]) {
        if pair == PADDING {
            self.padding = self.padding.saturating_add(1);
            if self.padding <= GAP {
                return;
            }
        } else {
            self.padding = 0;
        }
        let Ok(code) = self.state.decode(pair) else { return };
        let repeated = self.last == Some(pair);
        self.last = (!repeated).then_some(pair);
        let [first, second] = pair.map(|byte| byte & 0x7f);
        match first {
            0x01..=0x0e => return self.xds = true,
            0x0f => return self.xds = false,
            0x10..=0x1f => self.xds = false,
            _ if self.xds => return,
            _ => {}
        }
        if let 0x10..=0x1f = first {
            let channel = usize::from(first >> 3 & 1);
            match (first & !0x09, second) {
                // TR and RTD begin text mode; RCL, RU2 to RU4, RDC and EOC end it.
                (0x14, 0x2a | 0x2b) => return self.text_mode[channel] = true,
                (0x14, 0x20 | 0x25..=0x27 | 0x29 | 0x2f) => self.text_mode[channel] = false,
                // The transparent space, which has no character in the table.
                (0x10, 0x39) if first & 1 == 1 && !repeated && !self.text_mode[channel] => {
                    return self.captions[channel].write(now_ms, [Some(Cell::CLEAR.letter), None], false);
                }
                _ => {}
            }
        }
        let Some(code) = code else { return };
        let channel = usize::from(code.channel().id() - 1);
        let erases = matches!(code, Cea608::EraseDisplay(_) | Cea608::EraseNonDisplay(_));
        if erases || !self.text_mode[channel] {
            self.captions[channel].take(now_ms, code);
        }
    }

    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.captions.iter().map(|caption| &caption.track)
    }

    pub(super) fn into_captions(self) -> impl Iterator<Item = Caption> {
        self.captions.into_iter()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    PopOn,
    PaintOn,
    /// With this many rows; the lowest is being written.
    RollUp(usize),
}

/// One channel: the visible screen, and the hidden one that pop-on captions are written on.
pub(super) struct Caption {
    style: Style,
    shown: Box<Screen>,
    hidden: Box<Screen>,
    row: usize,
    /// [`COLUMNS`] after the last column was written.
    column: usize,
    italic: bool,
    track: Track,
}

impl Caption {
    fn new() -> Self {
        let (shown, hidden) = (Box::new(BLANK), Box::new(BLANK));
        Self {
            // Of a caption that began before the file, the rest is shown at its EOC.
            style: Style::PopOn,
            shown,
            hidden,
            row: ROWS - 1,
            column: 0,
            italic: false,
            track: Track::default(),
        }
    }

    pub(super) fn finish(self, end_ms: u64) -> Vec<Cue> {
        self.track.finish(end_ms, || seen(&self.shown, self.style))
    }

    fn take(&mut self, now_ms: u64, code: Cea608) {
        match code {
            Cea608::Text(Text { needs_backspace, char1, char2, .. }) => {
                self.write(now_ms, [char1, char2], needs_backspace);
            }
            Cea608::NewMode(_, mode) => self.restyle(now_ms, mode),
            Cea608::EraseDisplay(_) => self.turn(now_ms, |caption| *caption.shown = BLANK),
            Cea608::EraseNonDisplay(_) => *self.hidden = BLANK,
            Cea608::EndOfCaption(_) => self.turn(now_ms, |caption| {
                std::mem::swap(&mut caption.shown, &mut caption.hidden);
                caption.style = Style::PopOn;
            }),
            Cea608::CarriageReturn(_) => self.end_row(now_ms),
            Cea608::Backspace(_) => {
                let Some(column) = self.column.checked_sub(1) else { return };
                self.column = column;
                self.edit(now_ms, |row| row[column] = Cell::CLEAR);
            }
            Cea608::DeleteToEndOfRow(_) => {
                let column = self.column;
                self.edit(now_ms, |row| row[column..].fill(Cell::CLEAR));
            }
            Cea608::TabOffset(_, columns) => {
                self.column = (self.column + usize::from(columns)).min(COLUMNS - 1);
            }
            Cea608::Preamble(_, preamble) => self.address(now_ms, preamble),
            Cea608::MidRowChange(_, change) => {
                self.write(now_ms, [Some(' '), None], false);
                self.italic = change.italics();
            }
        }
    }

    fn restyle(&mut self, now_ms: u64, mode: Mode) {
        let rows = match mode {
            Mode::PopOn => return self.resume(now_ms, Style::PopOn),
            Mode::PaintOn => return self.resume(now_ms, Style::PaintOn),
            Mode::RollUp2 => 2,
            Mode::RollUp3 => 3,
            Mode::RollUp4 => 4,
        };
        match self.style {
            Style::RollUp(before) if before <= rows => {}
            Style::RollUp(_) => self.turn(now_ms, |caption| {
                caption.shown[..(caption.row + 1).saturating_sub(rows)].fill([Cell::CLEAR; COLUMNS]);
            }),
            _ => {
                self.turn(now_ms, |caption| *caption.shown = BLANK);
                *self.hidden = BLANK;
                (self.row, self.column, self.italic) = (ROWS - 1, 0, false);
            }
        }
        self.row = self.row.max(rows - 1);
        self.style = Style::RollUp(rows);
    }

    /// Returns the visible screen, which is complete.
    fn resume(&mut self, now_ms: u64, style: Style) {
        if style != self.style {
            self.rest(now_ms);
            self.style = style;
        }
    }

    fn end_row(&mut self, now_ms: u64) {
        match self.style {
            Style::PopOn => {}
            Style::PaintOn => self.rest(now_ms),
            Style::RollUp(rows) => {
                self.turn(now_ms, |caption| {
                    let top = (caption.row + 1).saturating_sub(rows);
                    caption.shown.copy_within(top + 1..=caption.row, top);
                    caption.shown[caption.row] = [Cell::CLEAR; COLUMNS];
                });
                (self.column, self.italic) = (0, false);
            }
        }
    }

    fn address(&mut self, now_ms: u64, preamble: PreambleAddressCode) {
        let row = usize::from(preamble.row()).min(ROWS - 1);
        match self.style {
            Style::RollUp(rows) => {
                let row = row.max(rows - 1);
                if row != self.row {
                    self.turn(now_ms, |caption| caption.move_to(row, rows));
                }
                self.row = row;
            }
            Style::PaintOn if row != self.row => self.rest(now_ms),
            _ => {}
        }
        self.row = match self.style {
            Style::RollUp(_) => self.row,
            _ => row,
        };
        self.column = usize::from(preamble.column()).min(COLUMNS - 1);
        self.italic = preamble.italics();
    }

    /// The rows that roll now end with this one.
    fn move_to(&mut self, row: usize, rows: usize) {
        let mut moved = BLANK;
        for up in 0..rows.min(self.row + 1).min(row + 1) {
            moved[row - up] = self.shown[self.row - up];
        }
        *self.shown = moved;
    }

    fn write(&mut self, now_ms: u64, letters: [Option<char>; 2], replaces: bool) {
        let (mut column, italic) = (self.column, self.italic);
        if replaces {
            column = column.saturating_sub(1);
        }
        self.edit(now_ms, |row| {
            for letter in letters.into_iter().flatten() {
                row[column.min(COLUMNS - 1)] = Cell { letter, italic };
                column = (column + 1).min(COLUMNS);
            }
        });
        self.column = column;
    }

    /// Changes the row being written, on the screen being written.
    fn edit(&mut self, now_ms: u64, change: impl FnOnce(&mut [Cell; COLUMNS])) {
        let patience = match self.style {
            Style::PopOn => return change(&mut self.hidden[self.row]),
            Style::PaintOn => PAINTED,
            Style::RollUp(_) => ROLLED,
        };
        self.track.grows(now_ms, patience, || seen(&self.shown, self.style));
        change(&mut self.shown[self.row]);
    }

    fn turn(&mut self, now_ms: u64, change: impl FnOnce(&mut Self)) {
        self.track.turns(now_ms, BRIEF_MS, || seen(&self.shown, self.style));
        change(self);
    }

    fn rest(&mut self, now_ms: u64) {
        self.track.rests(now_ms, BRIEF_MS, || seen(&self.shown, self.style));
    }
}

/// Only complete text keeps its side: rolling rows begin at the left for every speaker, and painted ones
/// grow.
fn seen(screen: &Screen, style: Style) -> Shown {
    show(screen, style == Style::PopOn)
}
