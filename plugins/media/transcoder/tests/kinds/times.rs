//! Times: late starts, early ends, holes, cuts, clocks that jump; and other streams beside video and audio.

use super::{Kind, kind, patches};

const fn h264(
    name: &'static str,
    container: &'static str,
    special: &'static str,
    make: &'static [&'static str],
) -> Kind {
    kind(name, container, "H.264", "AAC", make).special(special).decibels(0.0)
}

pub(crate) const KINDS: &[Kind] = &[
    h264(
        "sound_late.mp4",
        "MP4",
        "the sound begins 0.7 s later",
        &["-af atrim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "sound_late.mkv",
        "Matroska",
        "the sound begins 0.7 s later",
        &["-af atrim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "sound_late.ts",
        "MPEG-TS",
        "the sound begins 0.7 s later",
        &["-af atrim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "sound_late.flv",
        "FLV",
        "the sound begins 0.7 s later",
        &["-af atrim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "sound_late_offset.mov",
        "MOV",
        "the sound begins 0.72 s later",
        &[
            "-f lavfi -i PICTURE -c:v libx264 picture.mov",
            "-f lavfi -i SOUND -ss 0.72 -c:a aac sound.m4a",
            "-i picture.mov -itsoffset 0.72 -i sound.m4a -c copy",
        ],
    ),
    h264(
        "sound_early_offset.mkv",
        "Matroska",
        "the sound begins 0.3 s earlier than the picture",
        &[
            "-f lavfi -i PICTURE -ss 0.3 -c:v libx264 picture.mkv",
            "-f lavfi -i SOUND -c:a aac sound.mka",
            "-i picture.mkv -itsoffset -0.3 -i sound.mka -map 0 -map 1 -c copy",
        ],
    ),
    h264(
        "picture_late.mp4",
        "MP4",
        "the picture begins 0.7 s later",
        &["-vf trim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "picture_late.mkv",
        "Matroska",
        "the picture begins 0.7 s later",
        &["-vf trim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "picture_late.ts",
        "MPEG-TS",
        "the picture begins 0.7 s later",
        &["-vf trim=start=0.7 -c:v libx264 -c:a aac"],
    ),
    h264(
        "starts_at_an_hour.mkv",
        "Matroska",
        "its times begin at an hour",
        &["-c:v libx264 -c:a aac -output_ts_offset 3600"],
    ),
    h264(
        "starts_at_a_day.ts",
        "MPEG-TS",
        "its times begin at 25 hours",
        &["-c:v libx264 -c:a aac -output_ts_offset 90000"],
    ),
    h264(
        "starts_at_an_hour.mp4",
        "MP4",
        "fragmented, its times begin at an hour",
        &["-c:v libx264 -c:a aac -output_ts_offset 3600 -movflags frag_keyframe+empty_moov"],
    )
    .lasts(4.08),
    h264(
        "starts_at_an_hour.mov",
        "MOV",
        "an edit of nothing in front, of ten seconds",
        &["-c:v libx264 -c:a aac -output_ts_offset 10"],
    ),
    h264(
        "clock_wraps.m2ts",
        "M2TS",
        "its 33-bit clock starts over in the middle",
        &["-c:v libx264 -c:a ac3 -output_ts_offset 95440.7 -f mpegts -mpegts_m2ts_mode 1"],
    ),
    h264("joined.ts", "MPEG-TS", "two recordings in a row, of the same clock", &["-c:v libx264 -c:a aac"])
        .patched(patches::twice)
        .lasts(8.0)
        .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined.mpg",
        "MPEG-PS",
        "two recordings in a row, of the same clock",
        &["-c:v mpeg2video -q:v 3 -c:a mp2 -f vob"],
    )
    .patched(patches::twice)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined_jump.ts",
        "MPEG-TS",
        "two recordings in a row, the second two hours later",
        &["-c:v libx264 -c:a aac -output_ts_offset 7200 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined_other_streams.ts",
        "MPEG-TS",
        "two recordings in a row, whose streams have other numbers",
        &["-c:v libx264 -c:a aac -mpegts_start_pid 0x200 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind(
        "joined_other_codecs.ts",
        "MPEG-TS",
        "H.264, then MPEG-2",
        "AAC, then AC-3",
        &[
            "-vf scale=176:144 -c:v mpeg2video -q:v 3 -c:a ac3 -ar 44100 -ac 1 -mpegts_start_pid 0x200 \
             -mpegts_pmt_start_pid 0x1234 -mpegts_service_id 7 second.ts",
            "-c:v libx264 -c:a aac",
        ],
    )
    .special("two recordings in a row, of other sizes, rates and channels and another programme")
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined_other_sound.ts",
        "MPEG-TS",
        "two recordings in a row, only the sound has another number",
        &["-c:v libx264 -c:a aac -streamid 1:0x333 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined_silent.ts",
        "MPEG-TS",
        "two recordings in a row, whose streams have other numbers; the second one has no sound",
        &["-map 0:v -c:v libx264 -mpegts_start_pid 0x200 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::with_second)
    .lasts(8.0),
    h264(
        "joined_languages.ts",
        "MPEG-TS",
        "two recordings in a row of two languages each, whose streams have other numbers",
        &[
            "-map 0 -map 1 -map 1 -c:v libx264 -c:a aac -metadata:s:a:0 language=deu -metadata:s:a:1 \
             language=eng -mpegts_start_pid 0x200 second.ts",
            "-map 0 -map 1 -map 1 -c:v libx264 -c:a aac -metadata:s:a:0 language=eng -metadata:s:a:1 \
             language=deu",
        ],
    )
    .patched(patches::with_second)
    .sounds(2)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "joined_row.ts",
        "MPEG-TS",
        "three recordings in a row, the streams of the one in the middle have other numbers",
        &["-c:v libx264 -c:a aac -mpegts_start_pid 0x200 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::around_second)
    .lasts(12.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.0]),
    kind(
        "joined_other_streams.mpg",
        "MPEG-PS",
        "MPEG-2",
        "MP2, then AC-3",
        &["-c:v mpeg2video -q:v 3 -c:a ac3 -f vob second.ts", "-c:v mpeg2video -q:v 3 -c:a mp2 -f vob"],
    )
    .special("two recordings in a row, whose streams have other numbers")
    .patched(patches::with_second_renumbered)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "cut.mp4",
        "MP4",
        "an edit list hides the first 1.3 s",
        &["-c:v libx264 -bf 2 -c:a aac whole.mp4", "-ss 1.3 -i whole.mp4 -c copy"],
    )
    .lasts(2.7)
    .marks(&[0.7, 1.7]),
    h264(
        "cut.mov",
        "MOV",
        "an edit list hides the first 1.3 s",
        &["-c:v mpeg4 -q:v 3 -g 250 -c:a pcm_s16le whole.mov", "-ss 1.3 -i whole.mov -c copy"],
    )
    .lasts(2.7)
    .marks(&[0.7, 1.7]),
    h264(
        "cut_end.mp4",
        "MP4",
        "cut after 2.6 s",
        &["-c:v libx264 -bf 2 -c:a aac whole.mp4", "-t 2.6 -i whole.mp4 -c copy"],
    )
    .lasts(2.68)
    .marks(&[1.0, 2.0]),
    h264(
        "sound_short.mkv",
        "Matroska",
        "the sound ends after 1.5 s",
        &["-af atrim=end=1.5 -c:v libx264 -c:a aac"],
    )
    .marks(&[1.0]),
    h264(
        "sound_short.ts",
        "MPEG-TS",
        "the sound ends after 1.5 s",
        &["-af atrim=end=1.5 -c:v libx264 -c:a aac"],
    )
    .marks(&[1.0]),
    h264(
        "picture_short.mp4",
        "MP4",
        "the picture ends after 2.5 s",
        &["-vf trim=end=2.5 -c:v libx264 -c:a aac"],
    )
    .marks(&[1.0, 2.0]),
    h264(
        "picture_short.avi",
        "AVI",
        "the picture ends after 2.5 s",
        &["-vf trim=end=2.5 -c:v mpeg4 -q:v 3 -c:a libmp3lame"],
    )
    .marks(&[1.0, 2.0]),
    h264(
        "hole.mkv",
        "Matroska",
        "a hole of a second in both",
        &["-vf select='not(between(t,1.5,2.5))' -af aselect='not(between(t,1.5,2.5))' -vsync vfr -c:v \
         libx264 -c:a libopus"],
    )
    .marks(&[1.0, 3.0]),
    h264(
        "hole.mp4",
        "MP4",
        "a hole of a second in both",
        &["-vf select='not(between(t,1.5,2.5))' -af aselect='not(between(t,1.5,2.5))' -vsync vfr -c:v \
         libx264 -c:a aac"],
    )
    .marks(&[1.0, 3.0]),
    h264(
        "hole_sound.ts",
        "MPEG-TS",
        "a hole of a second in the sound",
        &["-af aselect='not(between(t,1.5,2.5))' -c:v libx264 -c:a mp2"],
    )
    .marks(&[1.0, 3.0]),
    h264(
        "hole_picture.flv",
        "FLV",
        "a hole of a second in the picture",
        &["-vf select='not(between(t,1.5,2.5))' -vsync vfr -c:v libx264 -c:a aac"],
    )
    .marks(&[1.0, 3.0]),
    kind("no_sound.mp4", "MP4", "H.264", "", &["-c:v libx264"]).special("no sound"),
    kind("no_sound.avi", "AVI", "MPEG-4", "", &["-c:v mpeg4 -q:v 3"]).special("no sound"),
    kind("no_sound.ts", "MPEG-TS", "MPEG-2", "", &["-c:v mpeg2video -q:v 3"]).special("no sound"),
    h264("no_index.avi", "AVI", "its index is missing", &["-c:v mpeg4 -q:v 3 -c:a libmp3lame"])
        .patched(patches::no_index),
    h264(
        "live.mkv",
        "Matroska",
        "neither duration nor index, as live recordings",
        &["-c:v libx264 -c:a aac -f matroska -live 1"],
    ),
    h264("live.flv", "FLV", "no duration", &["-c:v libx264 -c:a aac -flvflags no_duration_filesize"]),
    h264(
        "coarse.mp4",
        "MP4",
        "a clock of 25 ticks a second",
        &["-c:v libx264 -c:a aac -video_track_timescale 25"],
    ),
    h264("timecode.mov", "MOV", "a track of timecodes", &["-c:v libx264 -c:a aac -timecode 10:00:00:00"]),
    h264(
        "cover_and_picture.mp4",
        "MP4",
        "a cover beside the picture",
        &[
            "-f lavfi -i PICTURE -frames:v 1 cover.png",
            "-f lavfi -i PICTURE -f lavfi -i SOUND -i cover.png -map 0 -map 1 -map 2 -c:v libx264 -c:v:1 \
             png -disposition:v:1 attached_pic -c:a aac",
        ],
    ),
    h264(
        "second_picture.mkv",
        "Matroska",
        "the second of two pictures is the default",
        &["-filter_complex [0:v]split[a][b];[b]scale=64:36[c] -map [c] -map [a] -map 1:a \
         -disposition:v:0 0 -disposition:v:1 default -c:v libx264 -c:a aac"],
    ),
    h264(
        "sound_changes.ts",
        "MPEG-TS",
        "the sound becomes mono of 44.1 kHz in the middle",
        &["-c:v libx264 -ar 44100 -ac 1 -c:a mp2 -output_ts_offset 4.08 second.ts", "-c:v libx264 -c:a mp2"],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "samples_change.ts",
        "MPEG-TS",
        "4:2:0 becomes 4:2:2 in the middle",
        &["-c:v libx264 -pix_fmt yuv422p -c:a aac -output_ts_offset 4.08 second.ts", "-c:v libx264 -c:a aac"],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "shape_changes.ts",
        "MPEG-TS",
        "square pixels become wide in the middle",
        &[
            "-vf setsar=4/3 -c:v mpeg2video -q:v 3 -c:a mp2 -output_ts_offset 4 second.ts",
            "-c:v mpeg2video -q:v 3 -c:a mp2",
        ],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    h264(
        "rate_changes.ts",
        "MPEG-TS",
        "25 frames a second become 12.5 in the middle",
        &[
            "-vf select=not(mod(n\\,2))+eq(mod(n\\,25)\\,0) -vsync vfr -c:v libx264 -c:a aac \
         -output_ts_offset 4.08 second.ts",
            "-c:v libx264 -c:a aac",
        ],
    )
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind("joined.mp3", "MP3", "", "MP3", &["-c:a libmp3lame"])
        .special("two files in a row")
        .patched(patches::twice)
        .lasts(8.06)
        .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind("joined.aac", "AAC stream", "", "AAC", &["-c:a aac"])
        .special("two files in a row")
        .patched(patches::twice)
        .lasts(8.04)
        .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind(
        "joined.ogg",
        "Ogg",
        "",
        "Vorbis",
        &["-c:a libvorbis -serial_offset 7 -f ogg second.ts", "-c:a libvorbis"],
    )
    .special("two streams in a row, as of a radio")
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind(
        "joined.opus",
        "Ogg",
        "",
        "Opus",
        &["-c:a libopus -serial_offset 7 -f ogg second.ts", "-c:a libopus"],
    )
    .special("two streams in a row, as of a radio")
    .patched(patches::with_second)
    .lasts(8.0)
    .marks(&[1.0, 2.0, 3.0, 5.0, 6.0, 7.0]),
    kind("alone.rf64.wav", "RF64", "", "PCM 16 bit", &["-c:a pcm_s16le -rf64 always"]),
    kind(
        "cover.mp3",
        "MP3",
        "",
        "MP3",
        &[
            "-f lavfi -i smptebars -frames:v 1 cover.png",
            "-f lavfi -i SOUND -i cover.png -map 0 -map 1 -c:a libmp3lame -c:v copy -disposition:v \
             attached_pic",
        ],
    )
    .special("with a cover"),
    kind(
        "cover.m4a",
        "MP4",
        "",
        "AAC",
        &[
            "-f lavfi -i smptebars -frames:v 1 cover.png",
            "-f lavfi -i SOUND -i cover.png -map 0 -map 1 -c:a aac -c:v copy -disposition:v attached_pic",
        ],
    )
    .special("with a cover"),
    kind(
        "cover.flac",
        "FLAC",
        "",
        "FLAC",
        &[
            "-f lavfi -i smptebars -frames:v 1 cover.png",
            "-f lavfi -i SOUND -i cover.png -map 0 -map 1 -c:a flac -c:v copy -disposition:v \
             attached_pic",
        ],
    )
    .special("with a cover"),
    kind("endless.wav", "WAV", "", "PCM 16 bit", &["-c:a pcm_s16le"])
        .special("its header says four gigabytes, as that of a pipe")
        .patched(patches::endless),
];
