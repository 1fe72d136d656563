#!/bin/sh
# FFmpeg's filter `haldclut` exchanges the colours of planar RGB. An identity table leaves packed RGB as it is, but turns
# red, green and blue of gbrp and gbrp10 round by one place, whatever the format of the table; no warning is given.
# `lut3d` with an identity file leaves the same picture alone. Seen in FFmpeg 5.1.9 (Debian 12) and 7.0.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1

# An identity table as a file, for comparison: red runs fastest.
{
    echo "LUT_3D_SIZE 2"
    for blue in 0 1; do for green in 0 1; do for red in 0 1; do echo "$red $green $blue"; done; done; done
} > "$folder/identity.cube"

# The first pixel of a plain picture of colour c02040 after the filter, as hexadecimal RGB.
pixel() {
    "$ffmpeg" -v error -f lavfi -i "color=c=0xC02040:s=16x16:d=0.04,format=$1" $2 \
        -filter_complex "$3,format=rgb24" -frames:v 1 -f rawvideo - | od -An -tx1 -N3 | tr -d ' '
}
table="-f lavfi -i haldclutsrc=level=8:d=0.04"
seen=""
for format in rgb24 rgb48 gbrp gbrp10; do
    hald=$(pixel "$format" "$table" "[0][1]haldclut")
    lut=$(pixel "$format" "" "[0]lut3d=file=$folder/identity.cube")
    echo "$format: haldclut with an identity table gives $hald, lut3d gives $lut"
    seen="$seen $hald"
done
# A step or two off is rounding; another order is not. Red is the largest part of the picture.
case "$seen" in
    " "[bc]*" "[bc]*" "[12]*" "[12]*) echo "planar RGB comes out with its channels exchanged" ;;
    *) echo "this has changed:$seen" >&2; exit 1 ;;
esac
