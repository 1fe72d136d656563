//! DTVCC (CTA-708): the caption services 1 to 6 with their windows. Delays, colours, effects and other
//! writing directions are not kept: text is read by rows, from the left.

mod window;

use cea708_types::tables::{Code, DefineWindowArgs, WindowBits};
use cea708_types::{CCDataParser, DTVCCPacket};
use streamgate_captions::Cue;

use super::paint::{ROWS, text};
use super::track::{Patience, Shown, Track};
use window::Window;

const SERVICES: usize = 6;
const WINDOWS: usize = 8;
/// Triplets that one `cc_data` can count (CTA-708 §4.4.1).
const MAX_TRIPLETS: usize = 31;
/// A row is complete before it is read, unless the speaker pauses.
const WRITTEN: Patience = Patience { whole_ms: 4_000, pause_ms: 1_000 };
/// Commands of one change come in several packets, over a few frames.
const BRIEF_MS: u64 = 150;

/// All services of a stream.
pub(super) struct Services {
    parser: CCDataParser,
    services: [Service; SERVICES],
}

impl Services {
    pub(super) fn new() -> Self {
        Self { parser: CCDataParser::new(), services: std::array::from_fn(|_| Service::default()) }
    }

    /// The triplets of a frame; those of line 21 are skipped.
    pub(super) fn take(&mut self, now_ms: u64, triplets: &[[u8; 3]]) {
        let mut ours = triplets.iter().filter(|[marker, ..]| marker & 0b110 == 0b110).peekable();
        while ours.peek().is_some() {
            // The parser's input begins with process_cc_data_flag and cc_count.
            let mut data = [0; 2 + MAX_TRIPLETS * 3];
            let mut count = 0;
            for (place, triplet) in data[2..].chunks_exact_mut(3).zip(&mut ours) {
                place.copy_from_slice(triplet);
                count += 1;
            }
            (data[0], data[1]) = (0x40 | count, 0xff);
            if self.parser.push(&data[..2 + usize::from(count) * 3]).is_err() {
                self.parser.flush();
            }
            while let Some(packet) = self.parser.pop_packet() {
                self.read(now_ms, &packet);
            }
        }
    }

    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.services.iter().map(|service| &service.track)
    }

    /// The cues of each service, from the first.
    pub(super) fn finish(self, end_ms: u64) -> impl Iterator<Item = Vec<Cue>> {
        self.services.into_iter().map(move |service| service.finish(end_ms))
    }

    fn read(&mut self, now_ms: u64, packet: &DTVCCPacket) {
        for block in packet.services() {
            let at = usize::from(block.number()).wrapping_sub(1);
            let Some(service) = self.services.get_mut(at) else { continue };
            for code in block.codes() {
                service.take(now_ms, code);
            }
        }
    }
}

#[derive(Default)]
struct Service {
    windows: [Option<Box<Window>>; WINDOWS],
    current: usize,
    track: Track,
}

impl Service {
    fn finish(self, end_ms: u64) -> Vec<Cue> {
        self.track.finish(end_ms, || seen(&self.windows))
    }

    fn take(&mut self, now_ms: u64, code: &Code) {
        match code {
            Code::SetCurrentWindow0 => self.current = 0,
            Code::SetCurrentWindow1 => self.current = 1,
            Code::SetCurrentWindow2 => self.current = 2,
            Code::SetCurrentWindow3 => self.current = 3,
            Code::SetCurrentWindow4 => self.current = 4,
            Code::SetCurrentWindow5 => self.current = 5,
            Code::SetCurrentWindow6 => self.current = 6,
            Code::SetCurrentWindow7 => self.current = 7,
            Code::DefineWindow(args) => self.define(now_ms, args),
            Code::ClearWindows(bits) => {
                self.each(now_ms, *bits, |window| window.visible && window.written, Window::clear);
            }
            Code::DisplayWindows(bits) => {
                self.each(now_ms, *bits, |window| !window.visible, |window| window.visible = true);
            }
            Code::HideWindows(bits) => {
                self.each(now_ms, *bits, |window| window.visible, |window| window.visible = false);
            }
            Code::ToggleWindows(bits) => {
                self.each(now_ms, *bits, |_| true, |window| window.visible = !window.visible);
            }
            Code::DeleteWindows(bits) => self.delete(now_ms, *bits),
            Code::Reset => self.delete(now_ms, WindowBits::from(0xff)),
            Code::FF => self.turn_current(now_ms, |window| {
                window.clear();
                window.point(0, 0);
            }),
            Code::CR => self.end_row(now_ms),
            Code::HCR => self.grow(now_ms, Window::clear_row),
            Code::BS => self.grow(now_ms, Window::back),
            Code::ETX => self.rest(now_ms),
            Code::SetPenLocation(place) => {
                let (row, column) = (usize::from(place.row), usize::from(place.column));
                if self.current().is_some_and(|window| window.visible && window.row != row) {
                    self.rest(now_ms);
                }
                if let Some(window) = self.current() {
                    window.point(row, column);
                }
            }
            Code::SetPenAttributes(pen) => {
                if let Some(window) = self.current() {
                    window.italic = pen.italics;
                }
            }
            code => {
                if let Some(letter) = window::letter(code) {
                    self.grow(now_ms, |window| window.write(letter));
                }
            }
        }
    }

    fn current(&mut self) -> Option<&mut Window> {
        self.windows[self.current].as_deref_mut()
    }

    fn define(&mut self, now_ms: u64, args: &DefineWindowArgs) {
        self.current = usize::from(args.window_id).min(WINDOWS - 1);
        match self.current() {
            None => self.windows[self.current] = Some(Box::new(Window::new(args))),
            Some(window) if window.visible || args.visible => {
                self.turn_current(now_ms, |window| window.redefine(args));
            }
            Some(window) => window.redefine(args),
        }
    }

    fn delete(&mut self, now_ms: u64, bits: WindowBits) {
        self.each(now_ms, bits, |window| window.visible, |window| window.visible = false);
        let bits = u8::from(bits);
        for (at, window) in self.windows.iter_mut().enumerate() {
            if bits >> at & 1 == 1 {
                *window = None;
            }
        }
    }

    /// Changes the windows of a command; `is_seen` tells whether the viewer will notice.
    fn each(
        &mut self,
        now_ms: u64,
        bits: WindowBits,
        is_seen: impl Fn(&Window) -> bool,
        change: impl Fn(&mut Window),
    ) {
        let bits = u8::from(bits);
        let chosen = |at: usize| bits >> at & 1 == 1;
        let windows = self.windows.iter().enumerate().filter(|(at, _)| chosen(*at));
        if windows.filter_map(|(_, window)| window.as_deref()).any(is_seen) {
            self.turn(now_ms);
        }
        for (at, window) in self.windows.iter_mut().enumerate() {
            if let Some(window) = window.as_deref_mut().filter(|_| chosen(at)) {
                change(window);
            }
        }
    }

    fn end_row(&mut self, now_ms: u64) {
        let Some(window) = self.current() else { return };
        match (window.visible, window.is_last_row()) {
            (true, true) => self.turn(now_ms),
            (true, false) => self.rest(now_ms),
            (false, _) => {}
        }
        if let Some(window) = self.current() {
            window.end_row();
        }
    }

    fn grow(&mut self, now_ms: u64, change: impl FnOnce(&mut Window)) {
        let Some(window) = self.windows[self.current].as_deref() else { return };
        if window.visible {
            self.track.grows(now_ms, WRITTEN, || seen(&self.windows));
        }
        if let Some(window) = self.current() {
            change(window);
        }
    }

    fn turn_current(&mut self, now_ms: u64, change: impl FnOnce(&mut Window)) {
        let Some(window) = self.current() else { return };
        if window.visible {
            self.turn(now_ms);
        }
        if let Some(window) = self.current() {
            change(window);
        }
    }

    fn turn(&mut self, now_ms: u64) {
        self.track.turns(now_ms, BRIEF_MS, || seen(&self.windows));
    }

    fn rest(&mut self, now_ms: u64) {
        self.track.rests(now_ms, BRIEF_MS, || seen(&self.windows));
    }
}

/// The visible windows, from the top.
fn seen(windows: &[Option<Box<Window>>; WINDOWS]) -> Shown {
    let mut shown: Vec<&Window> =
        windows.iter().flatten().map(Box::as_ref).filter(|window| window.visible).collect();
    shown.sort_by_key(|window| window.place());
    let text = text(shown.iter().flat_map(|window| window.rows()));
    let extent = shown.iter().filter_map(|window| window.extent());
    let extent = extent.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    // The middle of the text is clearly above that of the picture.
    let upper = extent.is_some_and(|(top, bottom)| (top + bottom) * (ROWS as i32) < 100 * (ROWS as i32 - 1));
    Shown { settings: if upper { "line:0".to_owned() } else { String::new() }, text }
}
