//! Frame rates, sizes, pixel aspect ratios, and rotated videos.

use super::{Kind, kind, patches};

const H264: &[&str] = &["-c:v libx264 -c:a aac"];
const LOSSLESS: &[&str] = &["-c:v ffv1 -level 3 -c:a flac"];

const fn mp4(name: &'static str, special: &'static str) -> Kind {
    kind(name, "MP4", "H.264", "AAC", H264).special(special)
}

const fn ffv1(name: &'static str, special: &'static str) -> Kind {
    kind(name, "Matroska", "FFV1", "FLAC", LOSSLESS).special(special)
}

pub(crate) const KINDS: &[Kind] = &[
    mp4("rate_1.mp4", "1 frame a second").rate(1, 1).marks(&[]),
    mp4("rate_5.mp4", "5 frames a second").rate(5, 1),
    mp4("rate_10.mp4", "10 frames a second").rate(10, 1),
    mp4("rate_12.mp4", "12 frames a second").rate(12, 1),
    mp4("rate_15.mp4", "15 frames a second").rate(15, 1),
    mp4("rate_24.mp4", "24 frames a second").rate(24, 1),
    mp4("rate_23976.mp4", "23.976 frames a second").rate(24_000, 1_001),
    ffv1("rate_23976.mkv", "23.976 frames a second in milliseconds").rate(24_000, 1_001),
    mp4("rate_2997.mp4", "29.97 frames a second").rate(30_000, 1_001),
    ffv1("rate_2997.mkv", "29.97 frames a second in milliseconds").rate(30_000, 1_001),
    kind("rate_2997.ts", "MPEG-TS", "MPEG-2", "MP2", &["-c:v mpeg2video -q:v 3 -c:a mp2"])
        .special("29.97 frames a second")
        .rate(30_000, 1_001),
    kind("rate_2997.avi", "AVI", "MPEG-4", "MP3", &["-c:v mpeg4 -q:v 3 -c:a libmp3lame"])
        .special("29.97 frames a second")
        .rate(30_000, 1_001),
    mp4("rate_30.mp4", "30 frames a second").rate(30, 1),
    mp4("rate_50_small.mp4", "50 frames a second, small").rate(50, 1).at(25, 1),
    mp4("rate_50.mp4", "50 frames a second").rate(50, 1).size(640, 368),
    mp4("rate_5994_small.mp4", "59.94 frames a second, small").rate(60_000, 1_001).at(30_000, 1_001),
    kind("rate_5994.ts", "MPEG-TS", "H.264", "AC-3", &["-c:v libx264 -c:a ac3"])
        .special("59.94 frames a second")
        .rate(60_000, 1_001)
        .size(640, 368),
    kind("rate_60.webm", "WebM", "VP8", "Opus", &["-c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus"])
        .special("60 frames a second")
        .rate(60, 1)
        .size(640, 368),
    mp4("rate_100.mp4", "100 frames a second, small").rate(100, 1).at(25, 1),
    kind(
        "uneven.mkv",
        "Matroska",
        "H.264",
        "AAC",
        &["-vf select='not(between(mod(n,25),7,11))*not(between(mod(n,17),3,5))+eq(mod(n,25),0)' -vsync \
         vfr -c:v libx264 -c:a aac"],
    )
    .special("a variable frame rate: some frames are missing"),
    kind(
        "uneven.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-vf select='not(between(mod(n,25),7,11))*not(between(mod(n,17),3,5))+eq(mod(n,25),0)' -vsync \
         vfr -c:v libx264 -bf 2 -c:a aac"],
    )
    .special("a variable frame rate: some frames are missing"),
    kind(
        "halved.mp4",
        "MP4",
        "H.264",
        "AAC",
        &["-vf select='lt(t,2.1)+mod(n,2)' -vsync vfr -c:v libx264 -c:a aac"],
    )
    .special("the frame rate halves in the middle"),
    kind(
        "uneven.webm",
        "WebM",
        "VP9",
        "Opus",
        &["-vf select='not(between(mod(n,25),7,11))*not(between(mod(n,17),3,5))+eq(mod(n,25),0)' -vsync \
         vfr -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"],
    )
    .special("a variable frame rate, as browsers record"),
    kind(
        "jittery.mkv",
        "Matroska",
        "H.264",
        "AAC",
        &["-vf settb=1/1000,setpts='PTS+if(mod(N,25),9*sin(N*2.3),0)' -vsync passthrough -enc_time_base \
         1/1000 -c:v libx264 -c:a aac"],
    )
    .special("frames up to 9 ms early or late"),
    kind(
        "fields_of_50.ts",
        "MPEG-TS",
        "H.264",
        "AC-3",
        &["-vf tinterlace=interleave_top -c:v libx264 -flags +ildct+ilme -x264-params tff=1 -c:a ac3"],
    )
    .special("50 fields a second")
    .size(160, 96)
    .rate(50, 1)
    .at(25, 1)
    .beside("bwdif=send_frame:deint=interlaced"),
    kind(
        "fields_bottom.mkv",
        "Matroska",
        "MPEG-2",
        "MP2",
        &["-vf tinterlace=interleave_bottom -c:v mpeg2video -q:v 3 -flags +ildct+ilme -top 0 -c:a mp2"],
    )
    .special("50 fields a second, the bottom one first")
    .rate(50, 1)
    .at(25, 1)
    .beside("bwdif=send_frame:deint=interlaced"),
    ffv1("odd.mkv", "161x91").size(161, 91).shown(160, 90).decibels(36.0),
    kind("odd.webm", "WebM", "VP9", "Opus", &["-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"])
        .special("161x91")
        .size(161, 91)
        .shown(160, 90)
        .decibels(36.0),
    kind("odd.png.mov", "MOV", "PNG", "AAC", &["-c:v png -pix_fmt rgb24 -c:a aac"])
        .special("161x91")
        .size(161, 91)
        .shown(160, 90)
        .decibels(36.0),
    mp4("cropped.mp4", "162x94: no whole blocks").size(162, 94),
    mp4("tiny.mp4", "16x16").size(16, 16),
    ffv1("one_pixel.mkv", "1x1")
        .size(16, 16)
        .decibels(0.0)
        .make_with(&["-vf format=yuv444p,crop=1:1:14:1 -c:v ffv1 -c:a flac"]),
    mp4("upright.mp4", "upright").size(90, 160),
    mp4("very_wide.mp4", "20 times as wide as high").size(640, 32),
    mp4("very_high.mp4", "20 times as high as wide").size(32, 640).decibels(28.0),
    mp4("larger.mp4", "2560x1440")
        .make_with(&["-t 1.2 -c:v libx264 -preset ultrafast -c:a aac"])
        .size(2560, 1440)
        .shown(1920, 1080)
        .lasts(1.2)
        .marks(&[1.0])
        .beside("setparams=colorspace=bt709"),
    mp4("pixels_16_15.mp4", "pixels of 16:15")
        .make_with(&["-vf setsar=16/15 -c:v libx264 -c:a aac"])
        .size(180, 144)
        .shown(192, 144),
    kind(
        "pixels_64_45.mpg",
        "MPEG-PS",
        "MPEG-2",
        "MP2",
        &["-aspect 16:9 -c:v mpeg2video -q:v 3 -c:a mp2 -f vob"],
    )
    .special("pixels of 64:45")
    .size(180, 144)
    .shown(256, 144),
    ffv1("pixels_8_9.mkv", "pixels of 8:9")
        .make_with(&["-vf setsar=8/9 -c:v ffv1 -level 3 -c:a flac"])
        .size(180, 90)
        .shown(160, 90),
    kind("pixels_4_3.avi", "AVI", "MPEG-4", "MP3", &["-vf setsar=4/3 -c:v mpeg4 -q:v 3 -c:a libmp3lame"])
        .special("pixels of 4:3")
        .size(120, 90)
        .shown(160, 90),
    kind("pixels_4_3.mov", "MOV", "ProRes 422", "PCM 16 bit", &["-vf setsar=4/3 -c:v prores -c:a pcm_s16le"])
        .special("pixels of 4:3")
        .size(120, 90)
        .shown(160, 90),
    kind(
        "pixels_4_3.webm",
        "WebM",
        "VP9",
        "Opus",
        &["-vf setsar=4/3 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"],
    )
    .special("pixels of 4:3")
    .size(120, 90)
    .shown(160, 90),
    kind("pixels_4_3.png.mov", "MOV", "PNG", "AAC", &["-vf setsar=4/3 -c:v png -pix_fmt rgb24 -c:a aac"])
        .special("pixels of 4:3")
        .size(120, 90)
        .shown(160, 90),
    mp4("pixels_said_outside.mp4", "pixels of 4:3, said by the container alone")
        .make_with(&["-c:v libx264 -c:a aac a.mp4", "-i a.mp4 -c copy -aspect 16:9"])
        .size(120, 90)
        .shown(160, 90),
    kind(
        "pixels_said_outside.mkv",
        "Matroska",
        "HEVC Main",
        "AAC",
        &["-c:v libx265 -x265-params log-level=none -c:a aac a.mkv", "-i a.mkv -c copy -aspect 16:9"],
    )
    .special("pixels of 4:3, said by the container alone")
    .size(120, 90)
    .shown(160, 90),
    mp4("turned_90.mp4", "to be turned by 90 degrees")
        .make_with(&["-c:v libx264 -c:a aac a.mp4", "-i a.mp4 -c copy -metadata:s:v:0 rotate=90"])
        .shown(90, 160),
    kind(
        "turned_180.mov",
        "MOV",
        "H.264",
        "AAC",
        &["-c:v libx264 -c:a aac a.mov", "-i a.mov -c copy -metadata:s:v:0 rotate=180"],
    )
    .special("to be turned by 180 degrees"),
    kind(
        "turned_270.mov",
        "MOV",
        "HEVC",
        "AAC",
        &[
            "-c:v libx265 -x265-params log-level=none -c:a aac a.mov",
            "-i a.mov -c copy -metadata:s:v:0 rotate=270",
        ],
    )
    .special("to be turned by 270 degrees")
    .shown(90, 160),
    mp4("turned_wide_pixels.mp4", "to be turned by 90 degrees, pixels of 16:15")
        .make_with(&[
            "-vf setsar=16/15 -c:v libx264 -c:a aac a.mp4",
            "-i a.mp4 -c copy -metadata:s:v:0 rotate=90",
        ])
        .size(180, 144)
        .shown(134, 180)
        .decibels(36.0),
    mp4("mirrored.mp4", "to be shown as in a mirror").patched(patches::mirrored),
    mp4("upside_down.mp4", "to be shown upside down").patched(patches::upside_down),
    mp4("transposed.mp4", "to be mirrored along its diagonal").patched(patches::transposed).shown(90, 160),
];
