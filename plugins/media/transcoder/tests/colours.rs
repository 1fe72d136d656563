//! Colours, compared with conversions that are computed here or by the system's ffmpeg: high dynamic range is
//! mapped by BT.2390, and standard range is unchanged, in renditions, poster and thumbnails alike.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::path::Path;
use std::process::Command;

use streamgate_transcoder::encode::Options;
use support::{Encoded, encode_file, ffmpeg, joined, quick, top};

/// Colours are compared, not compression artefacts.
fn fine() -> Options {
    Options { quality: 8, ..quick() }
}

/// The first picture of a file after filters, samples of so many bytes.
fn first_picture(file: &Path, filters: &str, format: &str) -> Vec<u8> {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-frames:v", "1", "-vf", filters, "-f", "rawvideo", "-pix_fmt", format, "-"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The largest rendition, as a file.
fn top_file(encoded: &Encoded) -> std::path::PathBuf {
    joined(&encoded.folder, top(encoded).0)
}

/// Peak signal-to-noise ratio of 8-bit samples.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let squares: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0f64.powi(2) * one.len() as f64 / (squares as f64).max(1e-9)).log10()
}

const AS_RGB: &str =
    "scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=accurate_rnd+full_chroma_int,format=rgb24";

/// Report BT.2390 as written there: the light of each primary separately, target peak 203 nits, and displays
/// of BT.1886 and of the web between which a picture is graded.
mod bt2390 {
    const M1: f64 = 2610.0 / 16384.0;
    const M2: f64 = 2523.0 / 32.0;
    const C: [f64; 3] = [3424.0 / 4096.0, 2413.0 / 128.0, 2392.0 / 128.0];

    fn light(signal: f64) -> f64 {
        let power = signal.powf(1.0 / M2);
        10_000.0 * ((power - C[0]).max(0.0) / (C[1] - C[2] * power)).powf(1.0 / M1)
    }

    fn signal(light: f64) -> f64 {
        let power = (light / 10_000.0).powf(M1);
        ((C[0] + C[1] * power) / (1.0 + C[2] * power)).powf(M2)
    }

    /// The electrical-electrical transfer function for a source of 1,000 nits.
    fn eetf(e: f64) -> f64 {
        let (source, target) = (signal(1_000.0), signal(203.0));
        let (e1, max) = ((e / source).min(1.0), target / source);
        let ks = 1.5 * max - 0.5;
        let t = (e1 - ks) / (1.0 - ks);
        let p = (2.0 * t.powi(3) - 3.0 * t.powi(2) + 1.0) * ks
            + (t.powi(3) - 2.0 * t.powi(2) + t) * (1.0 - ks)
            + (-2.0 * t.powi(3) + 3.0 * t.powi(2)) * max;
        source * if e1 < ks { e1 } else { p }
    }

    fn hlg(e: f64) -> f64 {
        let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_73);
        if e <= 0.5 { e * e / 3.0 } else { (((e - c) / a).exp() + b) / 12.0 }
    }

    pub(crate) fn convert(rgb: [f64; 3], is_hlg: bool) -> [u8; 3] {
        let pq = if is_hlg {
            let scene = rgb.map(hlg);
            let y = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
            scene.map(|e| signal(1_000.0 * y.powf(0.2) * e))
        } else {
            rgb
        };
        let [r, g, b] = pq.map(|e| light(eetf(e)) / 203.0);
        let rgb = [
            1.6605 * r - 0.5876 * g - 0.0728 * b,
            -0.1246 * r + 1.1329 * g - 0.0083 * b,
            -0.0182 * r - 0.1006 * g + 1.1187 * b,
        ];
        rgb.map(|e| (255.0 * e.clamp(0.0, 1.0).powf(1.0 / 2.2)).round() as u8)
    }
}

/// The first picture of a source of high dynamic range by the reference.
fn reference(file: &Path, is_hlg: bool) -> Vec<u8> {
    let signal = first_picture(file, "zscale=matrix=gbr:range=full,format=gbrp16", "rgb48le");
    let pixels = signal.chunks_exact(6).flat_map(|pixel| {
        let part = |at: usize| f64::from(u16::from_le_bytes([pixel[at], pixel[at + 1]])) / 65_535.0;
        bt2390::convert([part(0), part(2), part(4)], is_hlg)
    });
    pixels.collect()
}

fn compare_hdr(source: &Path, out: &Path, is_hlg: bool) {
    let encoded = encode_file(source, out, &fine()).unwrap();
    let right = reference(source, is_hlg);
    let rendition = psnr(&first_picture(&top_file(&encoded), AS_RGB, "rgb24"), &right);
    let poster = psnr(&first_picture(&out.join("poster.jpg"), "null", "rgb24"), &right);
    eprintln!("{}: rendition {rendition:.1} dB, poster {poster:.1} dB", source.display());
    assert!(rendition >= 30.0, "the rendition is {rendition:.1} dB from the reference");
    assert!(poster >= 28.0, "the poster is {poster:.1} dB from the reference");
}

/// A picture with the primaries, greys and a ramp, of high dynamic range.
fn hdr(folder: &Path, name: &str, transfer: (&str, &str), extra: &str) -> std::path::PathBuf {
    let arguments = format!(
        "-f lavfi -i smptehdbars=s=640x360:d=1 -vf format=gbrp,setparams=color_primaries=bt709:color_trc=bt709,zscale=tin=709:pin=709:t=linear:npl=203,\
         format=gbrpf32le,zscale=p=2020:t={}:m=2020_ncl:r=limited:npl=203,format=yuv420p10le -c:v libx265 -preset ultrafast \
         -x265-params log-level=error:crf=6:colorprim=bt2020:transfer={}:colormatrix=bt2020nc{extra}",
        transfer.0, transfer.1
    );
    ffmpeg(folder, &arguments, name)
}

#[test]
fn pq_and_hybrid_log_gamma_are_mapped_as_bt_2390_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let pq = hdr(at, "pq.mp4", ("smpte2084", "smpte2084"), ":max-cll=1000,400");
    compare_hdr(&pq, &at.join("pq"), false);
    let hlg = hdr(at, "hlg.mp4", ("arib-std-b67", "arib-std-b67"), "");
    compare_hdr(&hlg, &at.join("hlg"), true);
    if let Some(cases) = std::env::var_os("STREAMGATE_TEST_CASES") {
        compare_hdr(&Path::new(&cases).join("media/hdr10_pq.mp4"), &at.join("case"), false);
    }
}

#[test]
fn pictures_of_standard_range_keep_their_colours_whatever_their_matrix_and_range() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, matrix, range, primaries) in [
        ("709.mkv", "bt709", "tv", "bt709"),
        ("709-full.mkv", "bt709", "pc", "bt709"),
        ("601.mkv", "smpte170m", "tv", "smpte170m"),
        ("601-full.mkv", "smpte170m", "pc", "smpte170m"),
        ("240.mkv", "smpte240m", "tv", "smpte240m"),
        ("2020.mkv", "bt2020nc", "tv", "bt2020"),
    ] {
        let scale = if matrix == "bt2020nc" { "bt2020" } else { matrix };
        let arguments = format!(
            "-f lavfi -i smptehdbars=s=640x360:d=1,format=gbrp -vf scale=out_color_matrix={scale}:out_range={range},format=yuv420p \
             -c:v libx264 -preset ultrafast -crf 4 -colorspace {matrix} -color_range {range} -color_primaries {primaries} \
             -color_trc bt709"
        );
        let source = ffmpeg(at, &arguments, name);
        let out = at.join(format!("{name}-out"));
        let encoded = encode_file(&source, &out, &fine()).unwrap();
        let as_is = format!(
            "scale=in_color_matrix={scale}:in_range={range}:out_range=pc:flags=accurate_rnd+full_chroma_int"
        );
        let narrowed = "zscale=primaries=709:matrix=gbr:transfer=709:range=full".to_owned();
        let reference = if primaries == "bt2020" { narrowed } else { as_is };
        let right = first_picture(&source, &format!("{reference},format=gbrp"), "rgb24");
        let file = top_file(&encoded);
        // As a player does: by the rendition's own metadata.
        let said = first_picture(
            &file,
            "scale=out_range=pc:flags=accurate_rnd+full_chroma_int,format=rgb24",
            "rgb24",
        );
        let rendition = psnr(&said, &right);
        let poster = psnr(&first_picture(&out.join("poster.jpg"), "null", "rgb24"), &right);
        eprintln!("{name}: rendition {rendition:.1} dB, poster {poster:.1} dB");
        // Colours outside of BT.709 end at its border, where the subsampled chroma differs most.
        let least = if primaries == "bt2020" { 30.0 } else { 38.0 };
        assert!(rendition >= least, "{name}: the rendition is {rendition:.1} dB from what it was");
        assert!(poster >= least.min(32.0) - 2.0, "{name}: the poster is {poster:.1} dB from what it was");
    }
}
