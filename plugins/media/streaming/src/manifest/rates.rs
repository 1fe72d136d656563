//! Measured bit rates of segments. Never does I/O.

/// A stretch of media, for measuring bit rates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) micros: u64,
    pub(crate) bytes: u64,
}

/// Bits a second, rounded up.
pub(crate) fn rate(bytes: u64, micros: u64) -> u64 {
    let bits = u128::from(bytes) * 8_000_000;
    u64::try_from(bits.div_ceil(u128::from(micros.max(1)))).unwrap_or(u64::MAX)
}

/// The peak segment bit rate: the largest one of any run of segments that together last between 0.5 and 1.5
/// target durations (draft-pantos-hls-rfc8216bis §4.1). `target` is in seconds. Shorter media have their
/// average.
pub(crate) fn peak(pieces: impl Iterator<Item = Piece>, target: u64) -> u64 {
    let (least, most) = (target * 500_000, target * 1_500_000);
    let mut window = std::collections::VecDeque::new();
    let (mut total, mut best) = (Piece { micros: 0, bytes: 0 }, None::<u64>);
    let mut all = Piece { micros: 0, bytes: 0 };
    for piece in pieces {
        all = Piece { micros: all.micros + piece.micros, bytes: all.bytes + piece.bytes };
        total = Piece { micros: total.micros + piece.micros, bytes: total.bytes + piece.bytes };
        window.push_back(piece);
        while total.micros > most {
            let Some(first) = window.pop_front() else { break };
            total = Piece { micros: total.micros - first.micros, bytes: total.bytes - first.bytes };
        }
        // Every run that ends here: from the longest to the shortest that is long enough.
        let mut run = total;
        for first in &window {
            if run.micros < least {
                break;
            }
            best = best.max(Some(rate(run.bytes, run.micros)));
            run = Piece { micros: run.micros - first.micros, bytes: run.bytes - first.bytes };
        }
    }
    best.unwrap_or_else(|| rate(all.bytes, all.micros))
}

/// The average segment bit rate of all pieces.
pub(crate) fn average(pieces: impl Iterator<Item = Piece>) -> u64 {
    let (bytes, micros) =
        pieces.fold((0, 0), |(bytes, micros), piece| (bytes + piece.bytes, micros + piece.micros));
    rate(bytes, micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_heaviest_run_between_half_and_one_and_a_half_targets() {
        let piece = |ms: u64, bytes: u64| Piece { micros: ms * 1000, bytes };
        // A short burst counts only together with what stands beside it.
        let pieces = [piece(2000, 1000), piece(500, 4000), piece(2000, 1000)];
        assert_eq!(peak(pieces.into_iter(), 2), 5000 * 8 * 10 / 25);
        // One target long each: none can be joined.
        let pieces = [piece(2000, 1000), piece(2000, 3000), piece(2000, 2000)];
        assert_eq!(peak(pieces.into_iter(), 2), 12_000);
        // Shorter than half a target altogether: the average.
        assert_eq!(peak([piece(400, 100)].into_iter(), 2), 2000);
        assert_eq!(peak([].into_iter(), 2), 0);
    }
}
