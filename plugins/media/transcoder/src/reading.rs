//! Reads a container from beginning to end, and passes each packet to its consumer. If a recording is
//! followed by one with other stream numbers, those continue the previous streams.

use std::sync::Arc;

use ffmpeg_next as av;
use ffmpeg_next::codec::decoder;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::media::Type;

use crate::decode::Shared;
use crate::input::{self, Chosen, Tape};
use crate::joins::Joins;
use crate::media::{Fault, FaultKind};
use crate::packets::Lane;
use crate::recordings::{self, Seen};
use crate::tracks::About;

/// This many packets of another video in a row mean that it follows ours, not that it runs beside it.
const ANOTHER: usize = 25;
/// Maximum bytes read ahead to find out which stream another one follows.
const AHEAD: usize = 32 << 20;
/// Bytes of a packet besides its data.
const PACKET: usize = 512;

/// Maximum streams of a file that may follow others: each is read twice at its beginning.
const MOST_JOINED: usize = 1_000;

/// The thread that reads the container.
pub(crate) struct Reading {
    input: Input,
    tape: Tape,
    /// Bytes of the source.
    size: u64,
    /// The index of each stream in use, and its part.
    streams: Vec<(usize, Lane)>,
    /// The indexes of those known to be unused.
    beside: Vec<usize>,
    /// Streams may follow others.
    may_differ: bool,
    /// The indexes of videos that are not decoded, except for covers.
    pictures: Vec<usize>,
    places: Vec<Place>,
    joins: Joins,
    /// The last packet of a stream was incomplete.
    broken: Vec<bool>,
    /// Packets of other videos since the last one of ours, and the maximum so far: the very last packet of a
    /// stream comes only when the file ends.
    others: usize,
    most_others: usize,
    /// The one format whose frames have only decode times.
    begins_by_decoding: bool,
    /// The number of streams that followed another one.
    joined: usize,
    /// What was left out that begins in the middle, by kind.
    said: Vec<&'static str>,
    shared: Arc<Shared>,
}

/// Positions of a stream's packets in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    read: i64,
    handed_on: i64,
    /// Data up to here is read for the second time.
    again: i64,
}

impl Reading {
    /// `later` streams are not of the first recording.
    pub(crate) fn new(
        (input, tape, size): (Input, Tape, u64),
        streams: Vec<(usize, Lane)>,
        later: &[usize],
        shared: Arc<Shared>,
    ) -> Self {
        let has_picture = streams.iter().any(|(_, lane)| *lane == Lane::Picture);
        let pictures = if has_picture { input::other_pictures(&input, later, &streams) } else { Vec::new() };
        let is_beside =
            |index: &usize| !later.contains(index) && streams.iter().all(|(taken, _)| taken != index);
        Self {
            tape,
            size,
            beside: input.streams().map(|stream| stream.index()).filter(is_beside).collect(),
            may_differ: recordings::may_differ(&input),
            pictures,
            places: Vec::new(),
            joins: Joins::of(&input),
            broken: vec![false; streams.len()],
            others: 0,
            most_others: 0,
            begins_by_decoding: input.format().name() == "avi",
            joined: 0,
            said: Vec::new(),
            input,
            streams,
            shared,
        }
    }

    pub(crate) fn run(mut self) {
        while let Some(packet) = self.read() {
            let goes_on = if self.is_new(packet.stream()) { self.meet(packet) } else { self.hand_on(packet) };
            if !goes_on {
                break;
            }
        }
        if self.most_others >= ANOTHER {
            let note = "Another picture comes behind the first one in this file; it was left out.";
            self.shared.note(note.to_owned());
        }
        self.shared.lock().torn = self.broken.contains(&true);
        self.shared.packets.end();
    }

    /// The next packet, with its position in the file. `None`: end of file.
    fn read(&mut self) -> Option<av::Packet> {
        loop {
            let mut packet = av::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {}
                Err(av::Error::Eof | av::Error::Exit) => return None,
                Err(error) => {
                    self.shared.fault(Fault::new(FaultKind::Damaged, error.to_string()));
                    return None;
                }
            }
            let at = self.tape.position(&packet);
            let place = self.place(packet.stream());
            // A packet that begins where another one does has no position of its own.
            place.read = at.unwrap_or(place.read);
            if place.read > place.again {
                packet.set_position(place.read as isize);
                return Some(packet);
            }
        }
    }

    fn place(&mut self, stream: usize) -> &mut Place {
        if self.places.len() <= stream {
            self.places.resize(stream + 1, Place { read: -1, handed_on: -1, again: i64::MIN });
        }
        &mut self.places[stream]
    }

    /// Passes a packet to its consumer. `false`: no more is wanted.
    fn hand_on(&mut self, mut packet: av::Packet) -> bool {
        let stream = packet.stream();
        self.place(stream).handed_on = packet.position() as i64;
        self.joins.close(&mut packet);
        let Some(at) = self.streams.iter().position(|(index, _)| *index == stream) else {
            self.others += usize::from(self.pictures.contains(&stream));
            self.most_others = self.most_others.max(self.others);
            if let Some(texts) = &mut *self.shared.texts() {
                texts.take(&packet);
            }
            return true;
        };
        let lane = self.streams[at].1;
        if lane == Lane::Picture {
            self.others = 0;
            if std::mem::take(&mut self.begins_by_decoding) {
                self.shared.lock().decoding_begins = packet.dts();
            }
        }
        // A join in the middle of a broadcast is no damage; an incomplete last packet is.
        self.broken[at] = packet.is_corrupt();
        !self.shared.is_closed() && self.shared.packets.push(lane, packet, &self.shared.control)
    }

    fn is_new(&self, stream: usize) -> bool {
        self.may_differ
            && self.joined < MOST_JOINED
            && !self.beside.contains(&stream)
            && self.streams.iter().all(|(index, _)| *index != stream)
    }

    fn kind(&self, stream: usize) -> Type {
        self.input.stream(stream).map_or(Type::Unknown, |stream| stream.parameters().medium())
    }

    /// Determines what the stream of this packet, and those that begin with it, follow: by reading ahead,
    /// because only then it is known that another one has ended.
    fn meet(&mut self, packet: av::Packet) -> bool {
        let stream = packet.stream();
        if !matches!(self.kind(stream), Type::Video | Type::Audio) {
            self.leave_out(stream);
            return self.hand_on(packet);
        }
        let first = Seen::of(&packet, &self.input);
        let (mut seen, mut ahead) = (vec![first], vec![packet]);
        let (mut room, mut has_ended) = (AHEAD, false);
        while room > 0 && !seen.last().is_some_and(|seen| seen.is_enough(&first)) {
            let Some(packet) = self.read() else {
                has_ended = true;
                break;
            };
            room = room.saturating_sub(packet.size() + PACKET);
            seen.push(Seen::of(&packet, &self.input));
            ahead.push(packet);
        }
        seen.sort_by_key(|seen| seen.at);
        let is_known = |index: usize| index == stream || has_ended || recordings::is_known(&seen, index);
        let mut new: Vec<_> = seen.iter().map(|seen| seen.stream).collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|stream| self.is_new(*stream) && is_known(*stream));
        let places = seen.iter().filter(|seen| new.contains(&seen.stream)).map(|seen| seen.at as i64);
        let from = places.filter(|at| *at >= 0).min();
        let pairs = self.pairs(&seen, &new);
        if !pairs.is_empty()
            && let Some(from) = from
        {
            // What the demuxer still buffers of the previous recording comes out at an end; after that, the
            // other one is read from its beginning.
            self.tape.close();
            ahead.extend(std::iter::from_fn(|| self.read()));
            self.tape.go_on(from, self.size);
            self.input.clear_eof();
            ahead.retain(|packet| (packet.position() as i64) < from);
        }
        if !ahead.into_iter().all(|packet| self.hand_on(packet)) {
            return false;
        }
        for (at, stream) in pairs {
            self.follow(at, stream);
        }
        for place in &mut self.places {
            (place.read, place.again) = (place.handed_on, place.handed_on);
        }
        new.retain(|stream| self.is_new(*stream));
        new.into_iter().for_each(|stream| self.leave_out(stream));
        true
    }

    /// Which of the new streams continues which part: the index of the part, and the stream. The same
    /// language first, else in the order of the file.
    fn pairs(&self, seen: &[Seen], new: &[usize]) -> Vec<(usize, usize)> {
        let decoded = |stream: &usize| {
            let parameters = self.input.stream(*stream).map(|stream| stream.parameters());
            parameters.is_some_and(|parameters| decoder::find(parameters.id()).is_some())
        };
        let language = |stream: usize| {
            let about = self.input.stream(stream).map(|stream| About::of(&stream));
            about.map(|about| about.language).filter(|language| !language.is_empty())
        };
        let mut left: Vec<_> = new.iter().copied().filter(decoded).collect();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for by_language in [true, false] {
            for (at, (before, _)) in self.streams.iter().enumerate() {
                let fits = |stream: &usize| {
                    self.kind(*stream) == self.kind(*before)
                        && recordings::follows(seen, *stream, *before) == Some(true)
                        && (!by_language
                            || language(*stream).is_some() && language(*stream) == language(*before))
                };
                let found =
                    left.iter().position(fits).filter(|_| pairs.iter().all(|(taken, _)| *taken != at));
                pairs.extend(found.map(|found| (at, left.remove(found))));
            }
        }
        pairs
    }

    /// From here on a stream has the part of another one.
    fn follow(&mut self, at: usize, stream: usize) {
        let Some(follower) = self.input.stream(stream).map(|stream| Chosen::of(&stream)) else { return };
        let before = std::mem::replace(&mut self.streams[at].0, stream);
        tracing::info!(before, stream, codec = follower.codec(), "another recording continues a stream");
        self.joins.follow(stream, follower.time_base, before);
        self.shared.follow(&follower);
        self.joined += 1;
    }

    /// A stream that begins in the middle of the file has no part.
    fn leave_out(&mut self, stream: usize) {
        self.beside.push(stream);
        let what = match self.kind(stream) {
            Type::Video => return self.pictures.push(stream),
            Type::Audio => "sound track",
            Type::Subtitle => "subtitle track",
            _ => return,
        };
        let note = format!("A {what} that begins in the middle of this file was left out.");
        if !self.said.contains(&what) {
            self.said.push(what);
            self.shared.note(note);
        }
    }
}
