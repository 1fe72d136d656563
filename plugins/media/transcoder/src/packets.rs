//! Compressed packets between the reader and the decoders, bounded by bytes. Decoders and later stages never
//! wait for each other, except at the beginning: until each awaited stream has begun, more may queue up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ffmpeg_next::Packet;

use crate::control::Control;

/// Maximum bytes of queued packets.
const ENOUGH: usize = 4 << 20;
/// The same while the first packet of a stream is awaited, however badly a file is interleaved.
const MOST: usize = 128 << 20;

/// The input of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Picture,
    /// By its position among the selected sounds.
    Sound(usize),
}

impl Lane {
    /// Its position among all lanes.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Picture => 0,
            Self::Sound(place) => 1 + place,
        }
    }
}

#[derive(Default)]
struct State {
    lanes: Vec<Option<VecDeque<Packet>>>,
    /// Lanes whose first packet is awaited before anything else continues.
    awaited: Vec<Lane>,
    bytes: usize,
    ended: bool,
}

impl State {
    fn lane(&mut self, lane: Lane) -> Option<&mut VecDeque<Packet>> {
        self.lanes.get_mut(lane.index())?.as_mut()
    }

    fn has_room(&self) -> bool {
        self.bytes < ENOUGH || self.bytes < MOST && !self.awaited.is_empty()
    }
}

/// The queued packets, and whether more will come.
#[derive(Default)]
pub(crate) struct Packets {
    state: Mutex<State>,
    changed: Condvar,
}

impl Packets {
    /// For these lanes; decoding begins when each `awaited` lane has something, or is not awaited any more.
    pub(crate) fn new(lanes: &[Lane], awaited: &[Lane]) -> Self {
        let mut state = State { awaited: awaited.to_vec(), ..State::default() };
        for lane in lanes {
            let place = lane.index();
            state.lanes.resize_with(state.lanes.len().max(place + 1), || None);
            state.lanes[place] = Some(VecDeque::new());
        }
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        // The timeout covers a stop, which does not notify this lock.
        let patience = std::time::Duration::from_millis(100);
        self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Queues a packet, when there is room. `false`: no more is wanted.
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

    /// The next packet of a lane; `None` at its end.
    pub(crate) fn next(&self, lane: Lane, control: &Control) -> Option<Packet> {
        let mut state = self.lock();
        loop {
            if control.stopped() {
                return None;
            }
            if let Some(packet) = state.lane(lane)?.pop_front() {
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

    /// This lane's beginning is no longer awaited.
    pub(crate) fn begun(&self, lane: Lane) {
        self.lock().awaited.retain(|awaited| *awaited != lane);
        self.changed.notify_all();
    }

    /// No room is left, but an awaited lane has not begun.
    pub(crate) fn is_stuck(&self) -> bool {
        let state = self.lock();
        state.bytes >= MOST && !state.awaited.is_empty()
    }

    /// No more packets will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// No more packets are wanted.
    pub(crate) fn close_all(&self) {
        let mut state = self.lock();
        state.lanes.clear();
        state.awaited.clear();
        state.bytes = 0;
        drop(state);
        self.changed.notify_all();
    }

    /// No more packets of this lane are wanted.
    pub(crate) fn close(&self, lane: Lane) {
        let mut state = self.lock();
        let lanes = state.lanes.get_mut(lane.index());
        let left: usize =
            lanes.and_then(Option::take).into_iter().flatten().map(|packet| packet.size()).sum();
        state.bytes -= left;
        state.awaited.retain(|awaited| *awaited != lane);
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Lane = Lane::Sound(0);
    const BOTH: [Lane; 2] = [Lane::Picture, SOUND];

    #[test]
    fn until_a_lane_has_begun_more_may_wait_for_the_other() {
        let (packets, control) = (Packets::new(&BOTH, &BOTH), Control::new());
        for _ in 0..5 {
            assert!(packets.push(Lane::Picture, Packet::new(ENOUGH / 2), &control));
        }
        packets.begun(Lane::Picture);
        assert!(packets.lock().has_room(), "the sound has not begun");
        assert!(packets.push(SOUND, Packet::new(1), &control));
        packets.begun(SOUND);
        assert!(!packets.lock().has_room(), "both have begun");
        assert_eq!(packets.next(SOUND, &control).map(|packet| packet.size()), Some(1));
    }

    #[test]
    fn a_lane_that_begins_too_late_is_reported() {
        let (packets, control) = (Packets::new(&BOTH, &[SOUND]), Control::new());
        assert!(packets.push(Lane::Picture, Packet::new(MOST - 1), &control));
        assert!(!packets.is_stuck());
        assert!(packets.push(Lane::Picture, Packet::new(1), &control));
        assert!(packets.is_stuck());
        packets.begun(SOUND);
        assert!(!packets.is_stuck());
    }

    #[test]
    fn unwanted_packets_take_no_room() {
        let (packets, control) = (Packets::new(&BOTH, &[]), Control::new());
        assert!(packets.push(Lane::Picture, Packet::new(ENOUGH), &control));
        packets.close(Lane::Picture);
        assert_eq!(packets.lock().bytes, 0);
        assert!(packets.push(Lane::Picture, Packet::new(ENOUGH), &control), "the sound is still wanted");
        assert_eq!(packets.lock().bytes, 0);
        packets.close(SOUND);
        assert!(!packets.push(SOUND, Packet::new(1), &control));
    }

    #[test]
    fn a_lane_ends_after_its_last_packet() {
        let (packets, control) = (Packets::new(&[Lane::Sound(2)], &[]), Control::new());
        assert!(packets.push(Lane::Sound(2), Packet::new(1), &control));
        packets.end();
        assert!(packets.next(Lane::Sound(2), &control).is_some());
        assert!(packets.next(Lane::Sound(2), &control).is_none());
        for lane in BOTH {
            assert!(packets.next(lane, &control).is_none(), "a lane that there is not");
        }
    }

    #[test]
    fn a_stop_ends_the_waiting_of_both_sides() {
        let (packets, control) = (Packets::new(&BOTH, &BOTH), Control::new());
        control.cancel();
        assert!(packets.next(SOUND, &control).is_none());
        assert!(!packets.push(Lane::Picture, Packet::new(1), &control));
    }
}
