//! Packets of text tracks and closed captions, read as the transcoder reads them from an upload.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamgate_transcoder::fuzz::texts(data));
