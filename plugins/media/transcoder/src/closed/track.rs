//! The cues of one channel: what its screen showed, from when to when. Changes in quick succession become one
//! cue, which begins with the first of them.

use streamgate_captions::Cue;

/// A text that is not replaced is removed after this long: senders forget to erase, and recordings have
/// holes.
const LONGEST_MS: u64 = 30_000;

/// The content of a screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown {
    /// WebVTT cue settings.
    pub(super) settings: String,
    /// WebVTT cue text; empty when the screen is.
    pub(super) text: String,
}

/// How long to wait for a growing text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From its first change.
    pub(super) whole_ms: u64,
    /// Without a change.
    pub(super) pause_ms: u64,
}

/// One channel. Its screen reports a change before making it, and passes its content until then.
#[derive(Default)]
pub(super) struct Track {
    cues: Vec<Cue>,
    bytes: usize,
    open: Option<(u64, Shown)>,
    changed: Option<Changed>,
}

/// Changes of the screen that are in no cue yet.
#[derive(Clone, Copy)]
struct Changed {
    since_ms: u64,
    last_ms: u64,
    /// The last change was of the whole screen.
    turned: bool,
}

impl Track {
    /// Cues so far.
    pub(super) fn cues(&self) -> usize {
        self.cues.len()
    }

    /// Bytes of text and settings so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Letters are about to be added or removed one by one.
    pub(super) fn grows(&mut self, now_ms: u64, patience: Patience, screen: impl FnOnce() -> Shown) {
        if let Some(Changed { since_ms, last_ms, turned }) = self.changed {
            if now_ms - since_ms > patience.whole_ms || now_ms - last_ms > patience.pause_ms {
                self.settle(screen);
            } else if turned {
                // On an erased screen, text begins with its first letter.
                let shown = screen();
                if shown.text.is_empty() {
                    self.settle(|| shown);
                }
            }
        }
        self.mark(now_ms, false);
    }

    /// The whole screen is about to change. A screen that lasted less than `brief_ms` is not kept.
    pub(super) fn turns(&mut self, now_ms: u64, brief_ms: u64, screen: impl FnOnce() -> Shown) {
        self.rests(now_ms, brief_ms, screen);
        self.mark(now_ms, true);
    }

    /// A row is complete. One that took less than `brief_ms` waits for the next.
    pub(super) fn rests(&mut self, now_ms: u64, brief_ms: u64, screen: impl FnOnce() -> Shown) {
        if self.changed.is_some_and(|changed| now_ms - changed.since_ms >= brief_ms) {
            self.settle(screen);
        }
    }

    /// The cues; what the screen still shows ends at `end_ms`.
    pub(super) fn finish(mut self, end_ms: u64, screen: impl FnOnce() -> Shown) -> Vec<Cue> {
        self.settle(screen);
        self.close(end_ms);
        self.cues
    }

    fn mark(&mut self, now_ms: u64, turned: bool) {
        let since_ms = self.changed.map_or(now_ms, |changed| changed.since_ms);
        self.changed = Some(Changed { since_ms, last_ms: now_ms, turned });
    }

    fn settle(&mut self, screen: impl FnOnce() -> Shown) {
        let Some(Changed { since_ms, .. }) = self.changed.take() else { return };
        let shown = screen();
        let goes_on =
            |(since, open): &(u64, Shown)| *open == shown && since_ms < since.saturating_add(LONGEST_MS);
        if self.open.as_ref().is_some_and(goes_on) {
            return;
        }
        self.close(since_ms);
        if !shown.text.is_empty() {
            self.open = Some((since_ms, shown));
        }
    }

    fn close(&mut self, end_ms: u64) {
        let Some((start_ms, Shown { settings, text })) = self.open.take() else { return };
        let end_ms = end_ms.min(start_ms.saturating_add(LONGEST_MS));
        if start_ms < end_ms {
            self.bytes += text.len() + settings.len();
            self.cues.push(Cue { start_ms, end_ms, settings, text });
        }
    }
}
