#!/bin/sh
# x264's code for AVX-512 takes memory that nothing was written to into its macroblock tree, where the number of
# macroblocks in a row is no multiple of eight and there are B-frames: one thread, the same frames and the same settings
# give other bytes, depending on what the allocator left in that memory. At 1280 pixels across (80 macroblocks) they are
# the same, and so they are at any width with AVX2.
set -eu
grep -q avx512bw /proc/cpuinfo || { echo "this needs a processor with AVX-512"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1
"$ffmpeg" -v error -f lavfi -i mandelbrot=size=416x240:rate=25 -frames:v 60 -pix_fmt yuv420p "$folder/narrow.y4m"
"$ffmpeg" -v error -f lavfi -i mandelbrot=size=1280x240:rate=25 -frames:v 60 -pix_fmt yuv420p "$folder/wide.y4m"

# How many results there are when glibc fills new memory with four different values.
results() {
    for value in 1 85 170 255; do
        MALLOC_PERTURB_=$value "$ffmpeg" -v error -i "$folder/$1.y4m" -c:v libx264 -preset veryfast -threads 1 \
            -x264-params "$2" -f h264 - | sha256sum
    done | sort -u | wc -l
}
narrow=$(results narrow keyint=50)
wide=$(results wide keyint=50)
older=$(results narrow keyint=50:asm=AVX2)
version=$("$ffmpeg" -v error -i "$folder/narrow.y4m" -frames:v 1 -c:v libx264 -f h264 - | grep -ao 'x264 - core [0-9]* r[0-9]*')
echo "$version: $narrow results at 416x240, $wide at 1280x240, $older at 416x240 with AVX2"
[ "$narrow" -gt 1 ] && [ "$wide" = 1 ] && [ "$older" = 1 ] || { echo "this has changed" >&2; exit 1; }
