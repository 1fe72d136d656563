//! Matrices, ranges, depths and samplings of colour, with and without the tags that name them.

use super::{Kind, kind};

macro_rules! curve {
    () => {
        "'st(0,min(val/65535/0.7518,1));65535*0.7518*if(lt(ld(0),0.658),ld(0),st(1,(ld(0)-0.658)/0.342);\
         (2*ld(1)^3-3*ld(1)^2+1)*0.658+(ld(1)^3-2*ld(1)^2+ld(1))*0.342+(3*ld(1)^2-2*ld(1)^3)*0.772)'"
    };
}

/// The light of the scene of one channel (BT.2100-2 table 5), kept at a place.
macro_rules! scene {
    ($at:literal, $channel:literal) => {
        concat!(
            "st(",
            $at,
            ",",
            $channel,
            "(X,Y)/65535);st(",
            $at,
            ",if(lte(ld(",
            $at,
            "),0.5),ld(",
            $at,
            ")^2/3,(exp((ld(",
            $at,
            ")-0.55991073)/0.17883277)+0.28466892)/12));"
        )
    };
}

/// The PQ signal of the light that a screen of 1000 cd/m² shows of the channel at a place.
macro_rules! shown {
    ($of:literal) => {
        concat!(
            "'",
            scene!("0", "r"),
            scene!("1", "g"),
            scene!("2", "b"),
            "st(3,0.1*(0.2627*ld(0)+0.678*ld(1)+0.0593*ld(2))^0.2*ld(",
            $of,
            "));st(4,ld(3)^0.1593017578);",
            "65535*((0.8359375+18.8515625*ld(4))/(1+18.6875*ld(4)))^78.84375'"
        )
    };
}

/// Hybrid log-gamma, its first second.
const TONE_MAPPED_HLG: &str = concat!(
    "trim=end=1,zscale=m=gbr:r=pc,format=gbrp16le,geq=r=",
    shown!("0"),
    ":g=",
    shown!("1"),
    ":b=",
    shown!("2"),
    ",setparams=color_trc=smpte2084,lutrgb=r=",
    curve!(),
    ":g=",
    curve!(),
    ":b=",
    curve!(),
    ",zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709:t=bt709:m=bt709:r=tv"
);

/// BT.2390 for each of red, green and blue: 1000 cd/m² become 203, those of white. 0.7518 and 0.58 are these two in PQ,
/// 0.772 is the one of the other, and 0.658 where the curve leaves the straight line.
const TONE_MAPPED: &str = concat!(
    "zscale=m=gbr:r=pc:t=smpte2084:p=bt2020,format=gbrp16le,lutrgb=r=",
    curve!(),
    ":g=",
    curve!(),
    ":b=",
    curve!(),
    ",zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709:t=bt709:m=bt709:r=tv"
);

const fn ffv1(name: &'static str, special: &'static str, make: &'static [&'static str]) -> Kind {
    kind(name, "Matroska", "FFV1", "FLAC", make).special(special)
}

const fn h264(name: &'static str, special: &'static str, make: &'static [&'static str]) -> Kind {
    kind(name, "MP4", "H.264", "AAC", make).special(special)
}

pub(crate) const KINDS: &[Kind] = &[
    h264(
        "bt601.mp4",
        "BT.601 of 525 lines, tagged",
        &["-c:v libx264 -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -c:a aac"],
    ),
    h264(
        "bt470bg.mp4",
        "BT.601 of 625 lines, tagged",
        &["-c:v libx264 -colorspace bt470bg -color_primaries bt470bg -color_trc gamma28 -c:a aac"],
    ),
    h264(
        "bt709.mp4",
        "BT.709, tagged",
        &["-vf scale=out_color_matrix=bt709 -c:v libx264 -colorspace bt709 -color_primaries bt709 \
         -color_trc bt709 -c:a aac"],
    ),
    h264(
        "smpte240m.mp4",
        "SMPTE 240M, tagged",
        &["-vf scale=out_color_matrix=smpte240m -c:v libx264 -colorspace smpte240m -color_primaries \
         smpte240m -color_trc smpte240m -c:a aac"],
    ),
    h264(
        "bt2020_matrix.mp4",
        "BT.2020 of usual brightness, tagged",
        &["-vf scale=out_color_matrix=bt2020,format=yuv420p10le -c:v libx264 -colorspace bt2020nc \
         -color_primaries bt2020 -color_trc bt2020-10 -c:a aac"],
    )
    .decibels(34.0)
    .beside("zscale=p=bt709:t=bt709:m=bt709:r=tv"),
    h264(
        "no_tags.mp4",
        "1280x720 without tags",
        &["-t 1.2 -vf scale=out_color_matrix=bt709 -c:v libx264 -c:a aac"],
    )
    .size(1280, 720)
    .lasts(1.2)
    .marks(&[1.0])
    .beside("setparams=colorspace=bt709"),
    h264(
        "bt601_large.mp4",
        "1280x720 of BT.601, tagged",
        &["-t 1.2 -c:v libx264 -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m \
         -c:a aac"],
    )
    .size(1280, 720)
    .lasts(1.2)
    .marks(&[1.0]),
    h264(
        "full_range.mp4",
        "full range, tagged",
        &["-vf scale=out_color_matrix=bt709:out_range=pc -color_range pc -c:v libx264 -colorspace bt709 \
         -c:a aac"],
    ),
    h264("full_range_bt601.mp4", "full range of BT.601", &["-pix_fmt yuvj420p -c:v libx264 -c:a aac"]),
    kind(
        "full_range.webm",
        "WebM",
        "VP9",
        "Opus",
        &["-vf scale=out_color_matrix=bt709:out_range=pc -color_range pc -colorspace bt709 -c:v \
         libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"],
    )
    .special("full range, tagged"),
    kind(
        "full_range_10.mkv",
        "Matroska",
        "HEVC Main 10",
        "AAC",
        &["-vf scale=out_color_matrix=bt709:out_range=pc,format=yuv420p10le -color_range pc -colorspace \
         bt709 -c:v libx265 -x265-params log-level=none -c:a aac"],
    )
    .special("full range, tagged"),
    kind(
        "full_range.mov",
        "MOV",
        "ProRes 422",
        "PCM 16 bit",
        &["-vf scale=out_color_matrix=bt709 -colorspace bt709 -color_primaries bt709 -color_trc bt709 \
         -c:v prores_ks -c:a pcm_s16le"],
    )
    .special("BT.709, tagged"),
    h264("gray.mp4", "gray", &["-pix_fmt gray -c:v libx264 -c:a aac"]),
    ffv1("gray.mkv", "gray", &["-pix_fmt gray -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("gray_16.mkv", "gray, 16 bit", &["-pix_fmt gray16le -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("rgb_10.mkv", "RGB, 10 bit", &["-pix_fmt gbrp10le -c:v ffv1 -level 3 -c:a flac"]),
    ffv1(
        "rgb_16_alpha.mkv",
        "RGB, 16 bit, alpha",
        &["-pix_fmt gbrap16le -c:v ffv1 -level 3 -strict -2 -c:a flac"],
    ),
    ffv1("yuv410.mkv", "4:1:0", &["-pix_fmt yuv410p -c:v ffv1 -level 3 -c:a flac"]).size(160, 92),
    ffv1("yuv411.mkv", "4:1:1", &["-pix_fmt yuv411p -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("yuv440.mkv", "4:4:0", &["-pix_fmt yuv440p -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("yuv420_12.mkv", "4:2:0, 12 bit", &["-pix_fmt yuv420p12le -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("yuv444_16.mkv", "4:4:4, 16 bit", &["-pix_fmt yuv444p16le -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("alpha.mkv", "alpha", &["-pix_fmt yuva420p -c:v ffv1 -level 3 -c:a flac"]),
    ffv1("alpha_444_10.mkv", "4:4:4, 10 bit, alpha", &["-pix_fmt yuva444p10le -c:v ffv1 -level 3 -c:a flac"]),
    kind("palette.mkv", "Matroska", "PNG", "FLAC", &["-pix_fmt pal8 -c:v png -c:a flac"])
        .special("a palette")
        .size(160, 96)
        .decibels(26.0),
    kind("rgb_16.mov", "MOV", "PNG", "AAC", &["-pix_fmt rgb48be -c:v png -c:a aac"]).special("RGB, 16 bit"),
    kind(
        "cinema.mxf",
        "MXF",
        "JPEG 2000",
        "PCM 24 bit",
        &["-pix_fmt xyz12le -c:v libopenjpeg -c:a pcm_s24le"],
    )
    .special("XYZ, 12 bit, as of cinemas"),
    kind(
        "hdr10.mp4",
        "MP4",
        "HEVC Main 10",
        "AAC",
        &["-vf \
         zscale=min=smpte170m:tin=bt709:pin=bt709:rin=tv:m=bt2020nc:t=smpte2084:p=bt2020:r=tv:npl=203,\
         format=yuv420p10le \
         -c:v libx265 -x265-params \
         log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,200:\
         master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50) \
         -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -tag:v hvc1 -c:a aac"],
    )
    .special("HDR10: BT.2020, PQ")
    .decibels(30.0)
    .beside(TONE_MAPPED),
    kind(
        "hdr_pq.webm",
        "WebM",
        "VP9 profile 2, 10 bit",
        "Opus",
        &["-vf \
         zscale=min=smpte170m:tin=bt709:pin=bt709:rin=tv:m=bt2020nc:t=smpte2084:p=bt2020:r=tv:npl=203,\
         format=yuv420p10le \
         -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -color_primaries bt2020 -color_trc smpte2084 \
         -colorspace bt2020nc -c:a libopus"],
    )
    .special("HDR: BT.2020, PQ")
    .decibels(30.0)
    .beside(TONE_MAPPED),
    kind(
        "hlg.mov",
        "MOV",
        "HEVC Main 10",
        "AAC",
        &["-vf \
         zscale=min=smpte170m:tin=bt709:pin=bt709:rin=tv:m=bt2020nc:t=arib-std-b67:p=bt2020:r=tv:npl=203,\
         format=yuv420p10le \
         -c:v libx265 -x265-params \
         log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc -color_primaries \
         bt2020 -color_trc arib-std-b67 -colorspace bt2020nc -tag:v hvc1 -c:a aac"],
    )
    .special("HLG")
    .decibels(30.0)
    .beside(TONE_MAPPED_HLG),
];
