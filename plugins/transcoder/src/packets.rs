//! Compressed packets on their way from the reader to the decoders: bounded by bytes, and never so that a decoder
//! starves because the other one is busy.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ffmpeg_next::Packet;

use crate::control::Control;

/// Waiting packets may have so many bytes while every decoder has some.
const ENOUGH: usize = 16 << 20;
/// Never more, however badly a file is interleaved.
const MOST: usize = 256 << 20;

/// What a decoder is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Picture,
    Sound,
}

#[derive(Default)]
struct State {
    lanes: [Option<VecDeque<Packet>>; 2],
    bytes: usize,
    ended: bool,
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Option<VecDeque<Packet>> {
        &mut self.lanes[lane as usize]
    }

    fn has_room(&self) -> bool {
        let starving = || self.lanes.iter().flatten().any(VecDeque::is_empty);
        self.bytes < ENOUGH || self.bytes < MOST && starving()
    }
}

/// The packets that wait, and the word that no more will come.
#[derive(Default)]
pub(crate) struct Packets {
    state: Mutex<State>,
    changed: Condvar,
}

impl Packets {
    pub(crate) fn new(lanes: &[Lane]) -> Self {
        let mut state = State::default();
        for lane in lanes {
            *state.lane(*lane) = Some(VecDeque::new());
        }
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        // The timeout is for a stop, which nobody tells this lock of.
        let patience = std::time::Duration::from_millis(100);
        self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Hands a packet over, when there is room. `false`: nobody wants any more.
    pub(crate) fn push(&self, lane: Lane, packet: Packet, control: &Control) -> bool {
        let mut state = self.lock();
        while !state.has_room() {
            if control.stopped() || state.lanes.iter().all(Option::is_none) {
                return false;
            }
            state = self.wait(state);
        }
        let bytes = packet.size();
        if let Some(queue) = state.lane(lane) {
            queue.push_back(packet);
            state.bytes += bytes;
        }
        let wanted = state.lanes.iter().any(Option::is_some);
        drop(state);
        self.changed.notify_all();
        wanted && !control.stopped()
    }

    /// The next packet of a lane; `None` when no more will come.
    pub(crate) fn next(&self, lane: Lane, control: &Control) -> Option<Packet> {
        let mut state = self.lock();
        loop {
            if control.stopped() {
                return None;
            }
            if let Some(packet) = state.lane(lane).as_mut()?.pop_front() {
                state.bytes -= packet.size();
                drop(state);
                self.changed.notify_all();
                return Some(packet);
            }
            if state.ended {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// No more packets will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Nobody wants packets of this lane any more.
    pub(crate) fn close(&self, lane: Lane) {
        let mut state = self.lock();
        let left: usize = state.lane(lane).take().into_iter().flatten().map(|packet| packet.size()).sum();
        state.bytes -= left;
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Lane; 2] = [Lane::Picture, Lane::Sound];

    #[test]
    fn a_decoder_that_starves_is_fed_however_much_waits_for_the_other() {
        let (packets, control) = (Packets::new(&BOTH), Control::new());
        for _ in 0..5 {
            assert!(packets.push(Lane::Picture, Packet::new(ENOUGH / 2), &control));
        }
        assert!(packets.push(Lane::Sound, Packet::new(1), &control), "the sound has nothing yet");
        assert!(!packets.lock().has_room(), "both have some now");
        assert_eq!(packets.next(Lane::Sound, &control).map(|packet| packet.size()), Some(1));
        assert!(packets.lock().has_room());
    }

    #[test]
    fn what_nobody_wants_takes_no_room() {
        let (packets, control) = (Packets::new(&BOTH), Control::new());
        assert!(packets.push(Lane::Picture, Packet::new(ENOUGH), &control));
        packets.close(Lane::Picture);
        assert_eq!(packets.lock().bytes, 0);
        assert!(packets.push(Lane::Picture, Packet::new(ENOUGH), &control), "the sound is still wanted");
        assert_eq!(packets.lock().bytes, 0);
        packets.close(Lane::Sound);
        assert!(!packets.push(Lane::Sound, Packet::new(1), &control));
    }

    #[test]
    fn a_lane_ends_after_its_last_packet() {
        let (packets, control) = (Packets::new(&[Lane::Sound]), Control::new());
        assert!(packets.push(Lane::Sound, Packet::new(1), &control));
        packets.end();
        assert!(packets.next(Lane::Sound, &control).is_some());
        assert!(packets.next(Lane::Sound, &control).is_none());
        assert!(packets.next(Lane::Picture, &control).is_none(), "a lane that there is not");
    }

    #[test]
    fn a_stop_ends_the_waiting_of_both_sides() {
        let (packets, control) = (Packets::new(&BOTH), Control::new());
        control.cancel();
        assert!(packets.next(Lane::Sound, &control).is_none());
        assert!(!packets.push(Lane::Picture, Packet::new(1), &control));
    }
}
