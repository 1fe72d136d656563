//! Hostile streams.

use proptest::prelude::*;

use super::super::Closed;

#[test]
fn what_is_held_is_bounded() {
    let mut closed = Closed::new();
    for caption in 0..120_000 {
        // A row of one letter or of two, in turn: ENM, PAC, text, EOC.
        let text = [0xc1, if caption % 2 == 0 { 0xc1 } else { 0x80 }];
        let pairs = [[0x94, 0xae], [0x94, 0x70], text, [0x94, 0x2f]];
        closed.take(caption * 10, &pairs.map(|[first, second]| [0xfc, first, second]).concat());
    }
    let cues = &closed.finish(u64::MAX)[0].cues;
    assert!((90_000..=100_000).contains(&cues.len()), "{}", cues.len());
}

/// Bytes as they come, bytes with their parity, codes of captions, and DTVCC packets.
fn triplets() -> impl Strategy<Value = Vec<u8>> {
    let parity = |byte: u8| if byte.count_ones() % 2 == 1 { byte } else { byte ^ 0x80 };
    let pair = (0u8..2, any::<[u8; 2]>()).prop_map(move |(field, pair)| {
        let [first, second] = pair.map(parity);
        vec![0xfc | field, first, second]
    });
    let code = (0u8..2, 0x10u8..0x20, 0x20u8..0x80)
        .prop_map(move |(field, first, second)| vec![0xfc | field, parity(first), parity(second)]);
    let command = prop_oneof![0x80u8..0xa0, 0x20u8..0x30, Just(0x0d), any::<u8>()];
    let block = (1u8..7, proptest::collection::vec(command, 1..31)).prop_map(|(service, mut codes)| {
        codes.insert(0, service << 5 | codes.len() as u8);
        codes.insert(0, (codes.len() as u8).div_ceil(2) & 0x3f);
        let pairs = codes.chunks(2).enumerate();
        let tail = |pair: &[u8]| pair.get(1).copied().unwrap_or(0);
        pairs.flat_map(|(at, pair)| [if at == 0 { 0xff } else { 0xfe }, pair[0], tail(pair)]).collect()
    });
    let any = proptest::collection::vec(any::<u8>(), 0..30);
    proptest::collection::vec(prop_oneof![1 => any, 4 => pair, 6 => code, 3 => block], 1..6)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn hostile_triplets_give_cues_in_order(
        pictures in proptest::collection::vec((0u64..3_000, triplets()), 0..120), end in 0u64..200_000,
    ) {
        let mut closed = Closed::new();
        let mut now = 0;
        for (step, data) in &pictures {
            now += step / 40 * 20;
            closed.take(now, data);
        }
        for channel in closed.finish(end.max(now)) {
            prop_assert!(!channel.cues.is_empty());
            for cue in &channel.cues {
                let plain = cue.text.replace("<i>", "").replace("</i>", "");
                prop_assert!(cue.start_ms < cue.end_ms && cue.end_ms <= end.max(now));
                prop_assert!(!plain.contains(['<', '>']) && plain.lines().all(|line| !line.trim().is_empty()));
                prop_assert!(!plain.is_empty() && cue.text.len() <= 4 << 10);
            }
            prop_assert!(channel.cues.windows(2).all(|pair| pair[0].end_ms <= pair[1].start_ms));
        }
    }
}
