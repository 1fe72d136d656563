#!/bin/sh
# zimg (FFmpeg's filter `zscale`) makes light of hybrid log-gamma by raising each channel to the power of 1.2 by itself.
# BT.2100 table 5 raises the luminance, and multiplies all three channels by the same factor: greys agree, saturated
# colours do not. The scene light of one channel decides how bright it is shown, whatever the other two are.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -version | head -n 1
"$folder/venv/bin/python" - "$ffmpeg" <<'P'
import math, struct, subprocess, sys

A, B, C = 0.17883277, 0.28466892, 0.55991073

def scene(signal):
    return signal * signal / 3 if signal <= 0.5 else (math.exp((signal - C) / A) + B) / 12

def zscale(signal):
    planes = b"".join(struct.pack("<H", round(signal[i] * 65535)) * 64 for i in (1, 2, 0))
    done = subprocess.run(
        [sys.argv[1], "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrp16le", "-s", "8x8", "-i", "-", "-vf",
         "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=gbr:range=pc,"
         "zscale=t=linear:npl=1000,format=gbrpf32le", "-f", "rawvideo", "-"],
        input=planes, capture_output=True, check=True).stdout
    green, blue, red = (struct.unpack_from("<f", done, 256 * plane)[0] for plane in range(3))
    return red, green, blue

by_channel = 0
for name, signal in (("grey", (0.75, 0.75, 0.75)), ("red", (0.75, 0.25, 0.25)), ("blue", (0.25, 0.25, 0.75))):
    light = [scene(channel) for channel in signal]
    luminance = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2]
    right = [1000 * luminance ** 0.2 * channel for channel in light]
    alone = [1000 * channel ** 1.2 for channel in light]
    seen = [1000 * channel for channel in zscale(signal)]
    text = lambda values: " ".join(f"{value:6.1f}" for value in values)
    print(f"{name:5} nits: BT.2100 {text(right)}   each channel alone {text(alone)}   zscale {text(seen)}")
    near = lambda other: all(abs(one - two) < 0.03 * two + 0.5 for one, two in zip(seen, other))
    by_channel += near(alone) and (name == "grey" or not near(right))
if by_channel != 3:
    sys.exit("this has changed")
print("zscale treats each channel alone")
P
