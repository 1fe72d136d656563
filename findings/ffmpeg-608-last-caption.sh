#!/bin/sh
# FFmpeg's decoder of CEA-608 takes the time of day for a duration where no code erases the last caption: it is shown for
# as long as the file had run before it. A caption at ten seconds ends at twenty, one at an hour lasts an hour. Captions
# that are erased end when they are.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1

# One pop-on caption "HELLO" in Scenarist's text form of line 21, and what else is given; prints its WebVTT time line.
shown() {
    printf 'Scenarist_SCC V1.0\n\n%s\t9420 9420 9470 9470 c845 4c4c 4f80 942f 942f\n\n%b' "$1" "$2" > "$folder/one.scc"
    "$ffmpeg" -v error -i "$folder/one.scc" -f webvtt - | grep -e '-->'
}
erased=$(shown 00:00:10:00 '00:00:12:00\t942c 942c\n\n')
early=$(shown 00:00:10:00 '')
late=$(shown 01:00:10:00 '')
echo "erased at 12 s:      $erased"
echo "at 10 s, not erased: $early"
echo "at 1 h, not erased:  $late"
[ "$erased" = "00:10.000 --> 00:12.000" ] && [ "$early" = "00:10.000 --> 00:20.000" ] &&
    [ "$late" = "01:00:10.000 --> 02:00:20.000" ] || { echo "this has changed" >&2; exit 1; }
echo "the last caption lasts as long as the file before it"
