//! The boxes of init segments and of fragments: reads stay within the bytes, and a fragment that was moved in
//! time differs only in its time.
#![no_main]

use streamgate_transcoder::segment::{parse_fragment, parse_init};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(init) = parse_init(data) {
        assert!(init.timescale > 0 && !init.codec.is_empty());
        assert!(data.get(init.sample_description).is_some());
    }
    let Ok(found) = parse_fragment(data) else { return };
    assert!(found.moof <= found.first_sample_end && found.first_sample_end <= data.len());
    assert!(found.samples > 0);
    let mut moved = data.to_vec();
    let start = found.duration.rotate_left(9);
    if found.clone().restamp(&mut moved, start, 7).is_ok() {
        let mut expected = found;
        expected.start = start;
        assert_eq!(parse_fragment(&moved), Ok(expected));
    }
});
