//! Output of editors, capture cards, screen recorders and old programs: mostly lossless, or key frames only.

use super::{Kind, kind};

pub(crate) const KINDS: &[Kind] = &[
    kind(
        "prores_proxy.mov",
        "MOV",
        "ProRes 422 Proxy",
        "PCM 24 bit",
        &["-c:v prores_ks -profile:v proxy -c:a pcm_s24le"],
    ),
    kind(
        "prores_lt.mov",
        "MOV",
        "ProRes 422 LT",
        "PCM 16 bit",
        &["-c:v prores_ks -profile:v lt -c:a pcm_s16le"],
    ),
    kind("prores.mov", "MOV", "ProRes 422", "PCM 16 bit", &["-c:v prores -profile:v 2 -c:a pcm_s16le"]),
    kind(
        "prores_hq.mkv",
        "Matroska",
        "ProRes 422 HQ",
        "PCM 24 bit",
        &["-c:v prores_ks -profile:v hq -c:a pcm_s24le"],
    ),
    kind(
        "prores_4444.mov",
        "MOV",
        "ProRes 4444 with alpha",
        "PCM 24 bit",
        &["-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -c:a pcm_s24le"],
    ),
    kind(
        "prores_fields.mov",
        "MOV",
        "ProRes 422",
        "PCM 16 bit",
        &["-vf setfield=tff -c:v prores_ks -flags +ildct -top 1 -c:a pcm_s16le"],
    )
    .special("coded in fields, the top one first")
    .beside("bwdif=send_frame:deint=interlaced"),
    kind(
        "dnxhd.mxf",
        "MXF",
        "DNxHD",
        "PCM 16 bit",
        &["-t 1.4 -c:v dnxhd -b:v 60M -pix_fmt yuv422p -c:a pcm_s16le"],
    )
    .size(1280, 720)
    .lasts(1.4)
    .marks(&[1.0]),
    kind(
        "dnxhr_lb.mov",
        "MOV",
        "DNxHR LB",
        "PCM 16 bit",
        &["-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p -c:a pcm_s16le"],
    )
    .size(256, 144),
    kind(
        "dnxhr_hqx.mxf",
        "MXF",
        "DNxHR HQX, 10 bit",
        "PCM 24 bit",
        &["-c:v dnxhd -profile:v dnxhr_hqx -pix_fmt yuv422p10le -c:a pcm_s24le"],
    )
    .size(256, 144),
    kind(
        "dnxhr_444.mov",
        "MOV",
        "DNxHR 444",
        "PCM 24 bit",
        &["-c:v dnxhd -profile:v dnxhr_444 -pix_fmt yuv444p10le -c:a pcm_s24le"],
    )
    .size(256, 144),
    kind("cineform.mov", "MOV", "CineForm", "PCM 24 bit", &["-c:v cfhd -c:a pcm_s24le"]).decibels(36.0),
    kind("cineform.avi", "AVI", "CineForm", "PCM 16 bit", &["-c:v cfhd -c:a pcm_s16le"]).size(320, 180),
    kind(
        "jpeg2000.mxf",
        "MXF",
        "JPEG 2000",
        "PCM 24 bit",
        &["-c:v jpeg2000 -pix_fmt yuv422p -c:a pcm_s24le"],
    ),
    kind(
        "jpeg2000.mov",
        "MOV",
        "JPEG 2000",
        "PCM 16 bit",
        &["-c:v libopenjpeg -pix_fmt rgb24 -c:a pcm_s16le"],
    ),
    kind(
        "dv_pal.dv",
        "DV",
        "DV PAL",
        "PCM 16 bit",
        &["-t 2.4 -c:v dvvideo -pix_fmt yuv420p -aspect 4:3 -c:a pcm_s16le"],
    )
    .size(720, 576)
    .shown(768, 576)
    .lasts(2.4)
    .marks(&[1.0, 2.0]),
    kind(
        "dv_ntsc.avi",
        "AVI",
        "DV NTSC 4:1:1",
        "PCM 16 bit",
        &["-t 2.4024 -c:v dvvideo -pix_fmt yuv411p -aspect 4:3 -c:a pcm_s16le"],
    )
    .size(720, 480)
    .shown(640, 480)
    .rate(30_000, 1_001)
    .lasts(2.4024)
    .marks(&[1.0, 2.0]),
    kind(
        "dv_wide.mov",
        "MOV",
        "DV PAL",
        "PCM 16 bit",
        &["-t 2.4 -c:v dvvideo -pix_fmt yuv420p -aspect 16:9 -c:a pcm_s16le"],
    )
    .special("wide pixels")
    .size(720, 576)
    .shown(1024, 576)
    .lasts(2.4)
    .marks(&[1.0, 2.0]),
    kind(
        "mjpeg.mov",
        "MOV",
        "Motion JPEG",
        "PCM 16 bit",
        &["-c:v mjpeg -q:v 3 -pix_fmt yuvj420p -c:a pcm_s16le"],
    ),
    kind(
        "mjpeg_422.avi",
        "AVI",
        "Motion JPEG 4:2:2",
        "PCM 8 bit",
        &["-c:v mjpeg -q:v 3 -pix_fmt yuvj422p -c:a pcm_u8"],
    ),
    kind(
        "mjpeg_444.mkv",
        "Matroska",
        "Motion JPEG 4:4:4",
        "PCM 16 bit",
        &["-c:v mjpeg -q:v 3 -pix_fmt yuvj444p -c:a pcm_s16le"],
    ),
    kind("mjpeg_alone.mjpeg", "JPEGs in a row", "Motion JPEG", "", &["-c:v mjpeg -q:v 3"])
        .special("no container, no times"),
    kind("jpegls.avi", "AVI", "JPEG-LS", "PCM 16 bit", &["-c:v jpegls -pix_fmt rgb24 -c:a pcm_s16le"]),
    kind(
        "ljpeg.avi",
        "AVI",
        "JPEG without loss",
        "PCM 16 bit",
        &["-c:v ljpeg -pix_fmt yuvj444p -c:a pcm_s16le"],
    ),
    kind("ffv1.mkv", "Matroska", "FFV1", "FLAC", &["-c:v ffv1 -level 3 -c:a flac"]),
    kind(
        "ffv1_422_10.mkv",
        "Matroska",
        "FFV1 4:2:2, 10 bit",
        "PCM 32 bit",
        &["-c:v ffv1 -level 3 -pix_fmt yuv422p10le -c:a pcm_s32le"],
    ),
    kind("ffv1.avi", "AVI", "FFV1 RGB", "PCM 16 bit", &["-c:v ffv1 -level 1 -pix_fmt bgr0 -c:a pcm_s16le"]),
    kind(
        "huffyuv.avi",
        "AVI",
        "HuffYUV 4:2:2",
        "PCM 16 bit",
        &["-c:v huffyuv -pix_fmt yuv422p -c:a pcm_s16le"],
    ),
    kind(
        "huffyuv_rgb.avi",
        "AVI",
        "HuffYUV RGB",
        "PCM 16 bit",
        &["-c:v huffyuv -pix_fmt rgb24 -c:a pcm_s16le"],
    ),
    kind("ffvhuff.avi", "AVI", "FFVHuff", "PCM 16 bit", &["-c:v ffvhuff -pix_fmt yuv420p -c:a pcm_s16le"]),
    kind("utvideo.avi", "AVI", "Ut Video RGB", "PCM 16 bit", &["-c:v utvideo -pix_fmt gbrp -c:a pcm_s16le"]),
    kind(
        "utvideo_422.mkv",
        "Matroska",
        "Ut Video 4:2:2",
        "PCM 16 bit",
        &["-c:v utvideo -pix_fmt yuv422p -c:a pcm_s16le"],
    ),
    kind(
        "magicyuv.avi",
        "AVI",
        "MagicYUV 4:4:4",
        "PCM 16 bit",
        &["-c:v magicyuv -pix_fmt yuv444p -c:a pcm_s16le"],
    ),
    kind("snow.avi", "AVI", "Snow", "MP2", &["-c:v snow -q:v 3 -strict -2 -c:a mp2"]),
    kind("zmbv.avi", "AVI", "DOSBox (ZMBV)", "PCM 16 bit", &["-c:v zmbv -pix_fmt bgr0 -c:a pcm_s16le"]),
    kind("zlib.avi", "AVI", "LCL (ZLIB)", "PCM 16 bit", &["-c:v zlib -c:a pcm_s16le"]),
    kind("asv2.avi", "AVI", "ASUS V2", "PCM 16 bit", &["-c:v asv2 -q:v 3 -c:a pcm_s16le"]),
    kind("msvideo1.avi", "AVI", "Microsoft Video 1", "PCM 8 bit", &["-c:v msvideo1 -c:a pcm_u8"])
        .size(160, 96),
    kind("cinepak.avi", "AVI", "Cinepak", "IMA ADPCM", &["-t 2.4 -c:v cinepak -c:a adpcm_ima_wav"])
        .size(160, 96)
        .lasts(2.4)
        .marks(&[1.0, 2.0]),
    kind(
        "svq1.mov",
        "MOV",
        "Sorenson Video 1",
        "IMA ADPCM of QuickTime",
        &["-c:v svq1 -q:v 3 -c:a adpcm_ima_qt"],
    )
    .size(160, 96),
    kind(
        "animation.mov",
        "MOV",
        "QuickTime Animation",
        "PCM 16 bit",
        &["-c:v qtrle -pix_fmt rgb24 -c:a pcm_s16be"],
    ),
    kind(
        "animation_alpha.mov",
        "MOV",
        "QuickTime Animation with alpha",
        "PCM 16 bit",
        &["-c:v qtrle -pix_fmt argb -c:a pcm_s16be"],
    ),
    kind(
        "graphics.mov",
        "MOV",
        "QuickTime Graphics (SMC)",
        "PCM 8 bit",
        &["-c:v smc -pix_fmt pal8 -c:a pcm_s8"],
    )
    .size(160, 96)
    .decibels(26.0),
    kind("png.mov", "MOV", "PNG", "PCM 16 bit", &["-c:v png -pix_fmt rgb24 -c:a pcm_s16le"]),
    kind("png_alpha.mov", "MOV", "PNG with alpha", "AAC", &["-c:v png -pix_fmt rgba -c:a aac"]),
    kind("hap.mov", "MOV", "Hap", "PCM 16 bit", &["-c:v hap -c:a pcm_s16le"]).size(160, 96),
    kind("speedhq.mkv", "Matroska", "NewTek SpeedHQ", "PCM 16 bit", &["-c:v speedhq -q:v 3 -c:a pcm_s16le"]),
    kind(
        "bgr24.avi",
        "AVI",
        "uncompressed BGR",
        "PCM 16 bit",
        &["-c:v rawvideo -pix_fmt bgr24 -c:a pcm_s16le"],
    ),
    kind(
        "i420.avi",
        "AVI",
        "uncompressed I420",
        "PCM 16 bit",
        &["-c:v rawvideo -pix_fmt yuv420p -c:a pcm_s16le"],
    ),
    kind(
        "rgb555.avi",
        "AVI",
        "uncompressed RGB 5:5:5",
        "PCM 16 bit",
        &["-c:v rawvideo -pix_fmt rgb555le -c:a pcm_s16le"],
    ),
    kind(
        "uyvy.mov",
        "MOV",
        "uncompressed UYVY",
        "PCM 16 bit",
        &["-c:v rawvideo -pix_fmt uyvy422 -tag:v 2vuy -c:a pcm_s16le"],
    ),
    kind(
        "yuyv.mkv",
        "Matroska",
        "uncompressed YUYV",
        "PCM 16 bit",
        &["-c:v rawvideo -pix_fmt yuyv422 -c:a pcm_s16le"],
    ),
    kind("v210.mov", "MOV", "uncompressed 4:2:2, 10 bit (v210)", "PCM 24 bit", &["-c:v v210 -c:a pcm_s24le"]),
    kind("v408.mov", "MOV", "uncompressed 4:4:4:4 (v408)", "PCM 16 bit", &["-c:v v408 -c:a pcm_s16le"]),
    kind("r210.mov", "MOV", "uncompressed RGB, 10 bit (r210)", "PCM 24 bit", &["-c:v r210 -c:a pcm_s24le"]),
    kind(
        "rgb24.nut",
        "NUT",
        "uncompressed RGB",
        "PCM 32 bit, float",
        &["-c:v rawvideo -pix_fmt rgb24 -c:a pcm_f32le"],
    ),
    kind("i420.y4m", "YUV4MPEG", "uncompressed I420", "", &["-pix_fmt yuv420p"]),
    kind("yuv444.y4m", "YUV4MPEG", "uncompressed 4:4:4", "", &["-pix_fmt yuv444p"]),
    kind("gif.gif", "GIF", "GIF", "", &["-c:v gif"]).decibels(0.0),
    kind("apng.apng", "APNG", "APNG", "", &["-c:v apng -plays 1"]),
];
