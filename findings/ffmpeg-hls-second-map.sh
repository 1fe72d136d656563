#!/bin/sh
# ffmpeg's HLS reader hands the initialization section behind a second EXT-X-MAP to the demuxer that has read the first
# one, which passes over it: what follows EXT-X-DISCONTINUITY is decoded with the parameter sets of what came before.
# RFC 8216 lets both change there (sections 4.3.2.3 and 4.3.2.5), and each half alone is decoded without an error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1
cd "$folder"
for size in 320x180 640x360; do
    mkdir "$size"
    "$ffmpeg" -v error -f lavfi -i "testsrc2=size=$size:rate=25" -t 4 -c:v libx264 -preset ultrafast -g 50 \
        -f hls -hls_time 2 -hls_segment_type fmp4 -hls_playlist_type vod "$size/list.m3u8"
done
entries() {
    printf '#EXT-X-MAP:URI="%s/init.mp4"\n' "$1"
    for number in 0 1; do printf '#EXTINF:2,\n%s/list%s.m4s\n' "$1" "$number"; done
}
{
    printf '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n'
    entries 320x180
    printf '#EXT-X-DISCONTINUITY\n'
    entries 640x360
    printf '#EXT-X-ENDLIST\n'
} > both.m3u8
errors() { "$ffmpeg" -v error -allowed_extensions ALL -i "$1" -map 0:v -f null - 2>&1 | wc -l; }
small=$(errors 320x180/list.m3u8)
large=$(errors 640x360/list.m3u8)
both=$(errors both.m3u8)
echo "lines of errors: $small and $large for each half alone, $both for both in one playlist"
[ "$small" = 0 ] && [ "$large" = 0 ] && [ "$both" -gt 0 ] || { echo "this has changed" >&2; exit 1; }
