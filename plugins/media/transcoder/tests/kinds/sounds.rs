//! Audio codecs, their layouts and sample rates; files with audio only.

use super::{Kind, kind};

/// A file with audio only.
const fn alone(
    name: &'static str,
    container: &'static str,
    sound: &'static str,
    make: &'static [&'static str],
) -> Kind {
    kind(name, container, "", sound, make)
}

/// Beside H.264.
const fn beside(
    name: &'static str,
    container: &'static str,
    sound: &'static str,
    make: &'static [&'static str],
) -> Kind {
    kind(name, container, "H.264", sound, make)
}

pub(crate) const KINDS: &[Kind] = &[
    beside("mp3.mp4", "MP4", "MP3", &["-c:v libx264 -c:a libmp3lame"]),
    beside("mp2.ts", "MPEG-TS", "MP2", &["-c:v libx264 -c:a mp2"]),
    beside("ac3.mp4", "MP4", "AC-3", &["-c:v libx264 -c:a ac3"]),
    beside("eac3.mkv", "Matroska", "E-AC-3", &["-c:v libx264 -c:a eac3"]),
    beside("opus.ts", "MPEG-TS", "Opus", &["-c:v libx264 -c:a libopus"]),
    beside("flac.mp4", "MP4", "FLAC", &["-c:v libx264 -c:a flac -strict -2"]),
    beside("latm.ts", "MPEG-TS", "AAC in LATM", &["-c:v libx264 -c:a aac -mpegts_flags latm"]),
    beside("dts.mkv", "Matroska", "DTS", &["-c:v libx264 -c:a dca -strict -2"]),
    beside("dts.ts", "MPEG-TS", "DTS", &["-c:v libx264 -c:a dca -strict -2"]),
    beside("truehd.mkv", "Matroska", "TrueHD", &["-c:v libx264 -c:a truehd -strict -2"]),
    beside("mlp.mkv", "Matroska", "MLP", &["-c:v libx264 -c:a mlp -strict -2"]),
    beside("tta.mkv", "Matroska", "TTA", &["-c:v libx264 -c:a tta"]),
    beside("wavpack.mkv", "Matroska", "WavPack", &["-c:v libx264 -c:a wavpack"]),
    beside("s302m.ts", "MPEG-TS", "SMPTE 302M", &["-c:v libx264 -c:a s302m -strict -2"]),
    beside(
        "bluray.m2ts",
        "M2TS",
        "PCM of Blu-ray",
        &["-c:v libx264 -c:a pcm_bluray -f mpegts -mpegts_m2ts_mode 1"],
    ),
    beside("alaw.mov", "MOV", "A-law", &["-c:v libx264 -c:a pcm_alaw"]).samples(8_000, "mono", 1),
    beside("mulaw.mkv", "Matroska", "mu-law", &["-c:v libx264 -c:a pcm_mulaw"]).samples(8_000, "mono", 1),
    beside("gsm.mov", "MOV", "GSM", &["-c:v libx264 -c:a libgsm"]).samples(8_000, "mono", 1),
    beside("g722.mkv", "Matroska", "G.722", &["-c:v libx264 -c:a g722"]).samples(16_000, "mono", 1),
    beside("pcm_f64.mov", "MOV", "PCM 64 bit, float", &["-c:v libx264 -c:a pcm_f64be"]),
    beside("speex.flv", "FLV", "Speex", &["-c:v libx264 -c:a libspeex"]).samples(16_000, "mono", 1),
    beside("mono.mp4", "MP4", "AAC", &["-c:v libx264 -c:a aac"]).samples(48_000, "mono", 1).special("mono"),
    beside("two_and_one.mkv", "Matroska", "AC-3", &["-c:v libx264 -c:a ac3"])
        .samples(48_000, "2.1", 3)
        .special("2.1 channels"),
    beside("quad.mkv", "Matroska", "Vorbis", &["-c:v libx264 -c:a libvorbis"])
        .samples(48_000, "quad", 4)
        .special("quadraphonic"),
    beside("five_one.mp4", "MP4", "AAC", &["-c:v libx264 -c:a aac"])
        .samples(48_000, "5.1", 6)
        .special("5.1 channels"),
    beside("five_one.ts", "MPEG-TS", "AC-3", &["-c:v libx264 -c:a ac3"])
        .samples(48_000, "5.1(side)", 6)
        .special("5.1 channels, of the side"),
    beside("seven_one.mkv", "Matroska", "Opus", &["-c:v libx264 -c:a libopus"])
        .samples(48_000, "7.1", 8)
        .special("7.1 channels"),
    beside("seven_one.mov", "MOV", "PCM 24 bit", &["-c:v libx264 -c:a pcm_s24le"])
        .samples(48_000, "7.1", 8)
        .special("7.1 channels"),
    beside("sixteen.mkv", "Matroska", "PCM 16 bit", &["-c:v libx264 -c:a pcm_s16le"])
        .samples(48_000, "hexadecagonal", 16)
        .special("16 channels without a layout"),
    beside("four_unnamed.nut", "NUT", "PCM 16 bit", &["-c:v libx264 -c:a pcm_s16le"])
        .samples(48_000, "4.0", 4)
        .special("4 channels without a layout"),
    beside("three_unnamed.avi", "AVI", "PCM 16 bit", &["-c:v mpeg4 -q:v 3 -c:a pcm_s16le"])
        .samples(48_000, "3.0", 3)
        .special("3 channels"),
    beside("rate_8000.mp4", "MP4", "AAC", &["-c:v libx264 -c:a aac"])
        .samples(8_000, "mono", 1)
        .special("8 kHz, where a unit of AAC lasts 0.128 s")
        .lasts(4.08),
    beside("rate_11025.flv", "FLV", "MP3", &["-c:v libx264 -c:a libmp3lame"])
        .samples(11_025, "mono", 1)
        .special("11.025 kHz, the picture begins 0.1 s later")
        .lasts(4.16)
        .decibels(0.0),
    beside("rate_22050.mp4", "MP4", "AAC", &["-c:v libx264 -c:a aac"])
        .samples(22_050, "stereo", 2)
        .special("22.05 kHz"),
    beside("rate_44100.mp4", "MP4", "AAC", &["-c:v libx264 -c:a aac"])
        .samples(44_100, "stereo", 2)
        .special("44.1 kHz"),
    beside("rate_96000.mov", "MOV", "PCM 24 bit", &["-c:v libx264 -c:a pcm_s24be"])
        .samples(96_000, "stereo", 2)
        .special("96 kHz"),
    beside("rate_192000.mkv", "Matroska", "FLAC", &["-c:v libx264 -c:a flac"])
        .samples(192_000, "stereo", 2)
        .special("192 kHz"),
    alone("alone.mp3", "MP3", "MP3", &["-c:a libmp3lame -b:a 128k"]),
    alone("variable.mp3", "MP3", "MP3", &["-c:a libmp3lame -q:a 4"])
        .samples(44_100, "stereo", 2)
        .special("variable bit rate"),
    alone("alone.mp2", "MP2", "MP2", &["-c:a mp2"]),
    alone("alone.flac", "FLAC", "FLAC", &["-c:a flac"]).samples(44_100, "stereo", 2),
    alone("alone.ogg", "Ogg", "Vorbis", &["-c:a libvorbis"]),
    alone("alone.opus", "Ogg", "Opus", &["-c:a libopus"]),
    alone("flac.oga", "Ogg", "FLAC", &["-c:a flac"]),
    alone("speex.spx", "Ogg", "Speex", &["-c:a libspeex"]).samples(16_000, "mono", 1),
    alone("alone.m4a", "MP4", "AAC", &["-c:a aac"]),
    alone("alac.m4a", "MP4", "ALAC", &["-c:a alac"]).samples(44_100, "stereo", 2),
    alone("alone.wav", "WAV", "PCM 16 bit", &["-c:a pcm_s16le"]).samples(44_100, "stereo", 2),
    alone("wav_24.wav", "WAV", "PCM 24 bit", &["-c:a pcm_s24le"])
        .samples(96_000, "5.1", 6)
        .special("5.1 channels, 96 kHz"),
    alone("wav_float.wav", "WAV", "PCM 32 bit, float", &["-c:a pcm_f32le"]),
    alone("adpcm.wav", "WAV", "MS ADPCM", &["-c:a adpcm_ms"]).samples(22_050, "mono", 1).lasts(4.06),
    alone("gsm_ms.wav", "WAV", "GSM of Microsoft", &["-c:a libgsm_ms"]).samples(8_000, "mono", 1),
    alone("g726.wav", "WAV", "G.726", &["-c:a g726"]).samples(8_000, "mono", 1),
    alone("alone.w64", "W64", "PCM 16 bit", &["-c:a pcm_s16le"]),
    alone("alone.aiff", "AIFF", "PCM 16 bit", &["-c:a pcm_s16be"]).samples(44_100, "stereo", 2),
    alone("alone.au", "AU", "mu-law", &["-c:a pcm_mulaw"]).samples(8_000, "mono", 1),
    alone("alone.caf", "CAF", "ALAC", &["-c:a alac"]),
    alone("alone.voc", "VOC", "PCM 8 bit", &["-c:a pcm_u8"]).samples(22_050, "mono", 1),
    alone("alone.aac", "AAC stream", "AAC", &["-c:a aac"]),
    alone("alone.ac3", "AC-3 stream", "AC-3", &["-c:a ac3"]).samples(48_000, "5.1", 6),
    alone("alone.eac3", "E-AC-3 stream", "E-AC-3", &["-c:a eac3"]),
    alone("alone.dts", "DTS stream", "DTS", &["-c:a dca -strict -2"]),
    alone("alone.wma", "ASF", "WMA 2", &["-c:a wmav2"]),
    alone("alone.wv", "WavPack", "WavPack", &["-c:a wavpack"]),
    alone("alone.tta", "TTA", "TTA", &["-c:a tta"]),
    alone("alone.mka", "Matroska", "Opus", &["-c:a libopus"]),
];
