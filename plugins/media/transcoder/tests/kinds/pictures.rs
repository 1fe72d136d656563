//! What people upload: the codecs of cameras, phones, browsers and discs, in their usual containers.

use super::{Kind, kind, patches};

pub(crate) const KINDS: &[Kind] = &[
    kind("h264_baseline.mp4", "MP4", "H.264 Baseline", "AAC", &["-c:v libx264 -profile:v baseline -c:a aac"]),
    kind("h264_main.mov", "MOV", "H.264 Main", "AAC", &["-c:v libx264 -profile:v main -c:a aac"]),
    kind(
        "h264_high.mkv",
        "Matroska",
        "H.264 High",
        "AAC",
        &["-c:v libx264 -x264-params bframes=3:b-pyramid=normal:ref=4 -c:a aac"],
    )
    .special("B-frames that others refer to"),
    kind("h264_high10.mp4", "MP4", "H.264 High 10", "AAC", &["-c:v libx264 -pix_fmt yuv420p10le -c:a aac"]),
    kind(
        "h264_422.mov",
        "MOV",
        "H.264 High 4:2:2",
        "PCM 16 bit",
        &["-c:v libx264 -pix_fmt yuv422p -c:a pcm_s16le"],
    ),
    kind("h264_444.mkv", "Matroska", "H.264 High 4:4:4", "AAC", &["-c:v libx264 -pix_fmt yuv444p -c:a aac"]),
    kind(
        "h264_422_10.mxf",
        "MXF",
        "H.264 High 4:2:2, 10 bit",
        "PCM 24 bit",
        &["-c:v libx264 -pix_fmt yuv422p10le -g 1 -c:a pcm_s24le"],
    )
    .special("key frames only"),
    kind("h264_intra.mov", "MOV", "H.264", "AAC", &["-c:v libx264 -g 1 -c:a aac"]).special("key frames only"),
    kind(
        "h264_open_gop.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-c:v libx264 -x264-params open-gop=1:keyint=12:min-keyint=6:bframes=3 -c:a aac"],
    )
    .special("open groups of pictures"),
    kind("h264_long_gop.mkv", "Matroska", "H.264", "AAC", &["-c:v libx264 -g 1000 -c:a aac"])
        .special("a single key frame"),
    kind(
        "h264_refresh.ts",
        "MPEG-TS",
        "H.264",
        "AAC",
        &["-c:v libx264 -x264-params intra-refresh=1 -c:a aac"],
    )
    .special("columns are refreshed in turn instead of key frames"),
    kind("h264_slices.mp4", "MP4", "H.264", "AAC", &["-c:v libx264 -x264-params slices=4 -c:a aac"])
        .special("four slices in a picture"),
    kind(
        "h264_fields.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-c:v libx264 -flags +ildct+ilme -x264-params tff=1 -c:a aac"],
    )
    .special("coded in fields, the top one first")
    .size(160, 96)
    .beside("bwdif=send_frame:deint=interlaced"),
    kind(
        "h264_rgb.mkv",
        "Matroska",
        "H.264 RGB, without loss",
        "FLAC",
        &["-c:v libx264rgb -crf 0 -c:a flac"],
    ),
    kind("h264_alone.h264", "H.264 stream", "H.264", "", &["-c:v libx264 -bf 0"])
        .special("no container, no times"),
    kind("h264_b_alone.h264", "H.264 stream", "H.264", "", &["-c:v libx264 -bf 2"])
        .special("no container, no times, B-frames"),
    kind("h264.ts", "MPEG-TS", "H.264", "AAC", &["-c:v libx264 -c:a aac"]),
    kind("h264.m2ts", "M2TS", "H.264", "AC-3", &["-c:v libx264 -c:a ac3 -f mpegts -mpegts_m2ts_mode 1"]),
    kind(
        "fragmented.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-c:v libx264 -g 25 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof"],
    )
    .special("fragmented, the picture begins 0.08 s later")
    .lasts(4.08)
    .decibels(0.0),
    kind(
        "fragmented_index.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-c:v libx264 -g 25 -c:a aac -movflags dash+delay_moov+global_sidx -frag_duration 500000"],
    )
    .special("fragmented, an index of fragments in front"),
    kind("index_in_front.mp4", "MP4", "H.264", "AAC", &["-c:v libx264 -c:a aac -movflags faststart"])
        .special("index in front"),
    kind(
        "no_negative_offsets.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-c:v libx264 -bf 3 -c:a aac -movflags negative_cts_offsets"],
    )
    .special("negative composition offsets"),
    kind("h264.flv", "FLV", "H.264", "MP3", &["-c:v libx264 -c:a libmp3lame"]).samples(44_100, "stereo", 2),
    kind("h264.3gp", "3GP", "H.264", "AAC", &["-c:v libx264 -profile:v baseline -c:a aac"])
        .samples(16_000, "mono", 1),
    kind("h264.avi", "AVI", "H.264", "MP3", &["-c:v libx264 -bf 0 -c:a libmp3lame"]),
    kind("h264_b_frames.avi", "AVI", "H.264", "PCM 16 bit", &["-c:v libx264 -bf 2 -c:a pcm_s16le"])
        .special("B-frames in a container without their times"),
    kind("h264.asf", "ASF", "H.264", "WMA 2", &["-c:v libx264 -c:a wmav2"]),
    kind("h264.nut", "NUT", "H.264", "FLAC", &["-c:v libx264 -c:a flac"]),
    kind("h264.wtv", "WTV", "H.264", "AC-3", &["-c:v libx264 -c:a ac3"]),
    kind(
        "hevc.mp4",
        "MP4",
        "HEVC Main",
        "AAC",
        &["-c:v libx265 -x265-params log-level=none -tag:v hvc1 -c:a aac"],
    ),
    kind(
        "hevc_10.mkv",
        "Matroska",
        "HEVC Main 10",
        "Opus",
        &["-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -c:a libopus"],
    ),
    kind(
        "hevc_12.mkv",
        "Matroska",
        "HEVC, 12 bit",
        "AAC",
        &["-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p12le -c:a aac"],
    ),
    kind(
        "hevc_444.mov",
        "MOV",
        "HEVC 4:4:4",
        "ALAC",
        &["-c:v libx265 -x265-params log-level=none -pix_fmt yuv444p -c:a alac"],
    ),
    kind(
        "hevc.ts",
        "MPEG-TS",
        "HEVC Main",
        "E-AC-3",
        &["-c:v libx265 -x265-params log-level=none:keyint=25 -c:a eac3"],
    ),
    kind("hevc_alone.hevc", "HEVC stream", "HEVC Main", "", &["-c:v libx265 -x265-params log-level=none"])
        .special("no container, no times"),
    kind("vp8.webm", "WebM", "VP8", "Vorbis", &["-c:v libvpx -deadline realtime -c:a libvorbis"]),
    kind(
        "vp8_alpha.webm",
        "WebM",
        "VP8 with alpha",
        "Opus",
        &["-c:v libvpx -pix_fmt yuva420p -auto-alt-ref 0 -deadline realtime -c:a libopus"],
    ),
    kind(
        "vp8_hidden.mkv",
        "Matroska",
        "VP8",
        "Vorbis",
        &["-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -c:a libvorbis"],
    )
    .special("frames that are never shown"),
    kind("vp9.webm", "WebM", "VP9", "Opus", &["-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"]),
    kind(
        "vp9_10.webm",
        "WebM",
        "VP9 profile 2, 10 bit",
        "Opus",
        &["-c:v libvpx-vp9 -pix_fmt yuv420p10le -deadline realtime -cpu-used 8 -c:a libopus"],
    ),
    kind(
        "vp9_444.webm",
        "WebM",
        "VP9 profile 1, 4:4:4",
        "Vorbis",
        &["-c:v libvpx-vp9 -pix_fmt yuv444p -deadline realtime -cpu-used 8 -c:a libvorbis"],
    ),
    kind(
        "vp9.mp4",
        "MP4",
        "VP9",
        "Opus",
        &["-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus -strict -2"],
    ),
    kind("vp9.ivf", "IVF", "VP9", "", &["-c:v libvpx-vp9 -deadline realtime -cpu-used 8"]),
    kind("av1.mp4", "MP4", "AV1", "Opus", &["-c:v libsvtav1 -preset 12 -c:a libopus -strict -2"]),
    kind("av1.webm", "WebM", "AV1", "Opus", &["-c:v libaom-av1 -usage realtime -cpu-used 8 -c:a libopus"]),
    kind(
        "av1_10.mkv",
        "Matroska",
        "AV1, 10 bit",
        "FLAC",
        &["-c:v libsvtav1 -preset 12 -pix_fmt yuv420p10le -c:a flac"],
    ),
    kind(
        "av1_grain.mkv",
        "Matroska",
        "AV1",
        "AAC",
        &["-c:v libaom-av1 -usage realtime -cpu-used 8 -denoise-noise-level 10 -c:a aac"],
    )
    .special("film grain is added by the decoder")
    .decibels(0.0),
    kind("mpeg1.mpg", "MPEG-PS", "MPEG-1", "MP2", &["-c:v mpeg1video -q:v 3 -c:a mp2 -f mpeg"]),
    kind("mpeg1_b.mpg", "MPEG-PS", "MPEG-1", "MP2", &["-c:v mpeg1video -q:v 3 -bf 2 -c:a mp2 -f mpeg"])
        .special("B-frames"),
    kind("mpeg2.vob", "VOB", "MPEG-2", "AC-3", &["-c:v mpeg2video -q:v 3 -bf 2 -c:a ac3 -f vob"]),
    kind("mpeg2_pcm.vob", "VOB", "MPEG-2", "PCM of DVDs", &["-c:v mpeg2video -q:v 3 -c:a pcm_dvd -f vob"]),
    kind(
        "mpeg2_fields.ts",
        "MPEG-TS",
        "MPEG-2",
        "MP2",
        &["-c:v mpeg2video -q:v 3 -flags +ildct+ilme -top 1 -c:a mp2"],
    )
    .special("coded in fields, the top one first")
    .beside("bwdif=send_frame:deint=interlaced"),
    kind(
        "mpeg2_422.mxf",
        "MXF",
        "MPEG-2 4:2:2",
        "PCM 16 bit",
        &["-c:v mpeg2video -q:v 3 -pix_fmt yuv422p -c:a pcm_s16le"],
    ),
    kind("mpeg2.mkv", "Matroska", "MPEG-2", "MP2", &["-c:v mpeg2video -q:v 3 -c:a mp2"]),
    kind("mpeg2_alone.m2v", "MPEG stream", "MPEG-2", "", &["-c:v mpeg2video -q:v 3 -bf 2"])
        .special("no container, no times, B-frames"),
    kind("mpeg4_b.mp4", "MP4", "MPEG-4 ASP", "AAC", &["-c:v mpeg4 -q:v 3 -bf 2 -c:a aac"])
        .special("B-frames"),
    kind(
        "mpeg4_quarter.mkv",
        "Matroska",
        "MPEG-4 ASP",
        "MP3",
        &["-c:v mpeg4 -q:v 3 -flags +qpel+mv4 -c:a libmp3lame"],
    )
    .special("quarter-pixel motion"),
    kind("mpeg4_sp.3gp", "3GP", "MPEG-4 SP", "AAC", &["-c:v mpeg4 -q:v 3 -c:a aac"])
        .samples(22_050, "mono", 1),
    kind("xvid.avi", "AVI", "MPEG-4 (Xvid)", "MP3", &["-c:v libxvid -q:v 3 -c:a libmp3lame"]),
    kind("xvid_packed.avi", "AVI", "MPEG-4 (Xvid)", "MP3", &["-c:v libxvid -q:v 3 -bf 2 -c:a libmp3lame"])
        .special("B-frames packed together with another frame")
        .patched(patches::without_empty_chunks)
        .decibels(0.0),
    kind("mpeg4_alone.m4v", "MPEG-4 stream", "MPEG-4", "", &["-c:v mpeg4 -q:v 3"])
        .special("no container, no times"),
    kind("msmpeg4v2.avi", "AVI", "MS MPEG-4 v2", "MS ADPCM", &["-c:v msmpeg4v2 -q:v 3 -c:a adpcm_ms"]),
    kind("msmpeg4v3.avi", "AVI", "MS MPEG-4 v3 (DivX 3)", "MP3", &["-c:v msmpeg4 -q:v 3 -c:a libmp3lame"]),
    kind("wmv1.wmv", "ASF", "WMV 7", "WMA 1", &["-c:v wmv1 -q:v 3 -c:a wmav1"]),
    kind("wmv2.wmv", "ASF", "WMV 8", "WMA 2", &["-c:v wmv2 -q:v 3 -c:a wmav2"]),
    kind("flv1.flv", "FLV", "Sorenson Spark", "MP3", &["-c:v flv -q:v 3 -c:a libmp3lame"])
        .samples(22_050, "stereo", 2)
        .lasts(4.08)
        .decibels(0.0),
    kind("flv_screen.flv", "FLV", "Flash Screen Video", "Flash ADPCM", &["-c:v flashsv -c:a adpcm_swf"])
        .samples(44_100, "stereo", 2)
        .lasts(4.08),
    kind("flv_screen2.flv", "FLV", "Flash Screen Video 2", "Nellymoser", &["-c:v flashsv2 -c:a nellymoser"])
        .samples(44_100, "mono", 1),
    kind("h263.3gp", "3GP", "H.263", "AAC", &["-c:v h263 -q:v 3 -c:a aac"])
        .size(176, 144)
        .samples(8_000, "mono", 1)
        .lasts(4.08),
    kind("h263_plus.mov", "MOV", "H.263+", "PCM 8 bit", &["-c:v h263p -q:v 3 -c:a pcm_u8"]).size(160, 96),
    kind("theora.ogv", "Ogg", "Theora", "Vorbis", &["-c:v libtheora -q:v 8 -c:a libvorbis"]),
    kind(
        "theora_444.mkv",
        "Matroska",
        "Theora 4:4:4",
        "FLAC",
        &["-c:v libtheora -pix_fmt yuv444p -q:v 8 -c:a flac"],
    ),
    kind(
        "dirac.mkv",
        "Matroska",
        "Dirac (VC-2)",
        "PCM 16 bit",
        &["-c:v vc2 -pix_fmt yuv420p -c:a pcm_s16le"],
    ),
    kind("realvideo10.rm", "RealMedia", "RealVideo 1", "", &["-c:v rv10 -q:v 3"]).size(176, 144),
    kind("realvideo20.rm", "RealMedia", "RealVideo 2", "AC-3", &["-c:v rv20 -q:v 3 -c:a ac3"]).size(160, 96),
];
