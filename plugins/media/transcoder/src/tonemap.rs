//! High dynamic range to standard: a table of colours that maps BT.2100 pictures to BT.709 by the rules of Report ITU-R
//! BT.2390-11 §5.4.1, with reference white at 203 nits (BT.2408-7). Pure arithmetic; filters apply it.

use ffmpeg_next::{color, format, frame};

/// Edge of the table: a Hald picture of level 8 has 64 nodes a channel.
const NODES: usize = 64;
const EDGE: u32 = 512;
/// The white of the result, nits.
const WHITE: f64 = 203.0;
/// Screens of the web.
const GAMMA: f64 = 2.2;
/// Peak luminance of sources that do not state it, and of hybrid log-gamma.
pub(crate) const USUAL_PEAK: u32 = 1_000;

/// Linear BT.2020 to linear BT.709 (BT.2087-0 annex 2).
const GAMUT: [[f64; 3]; 3] = [
    [1.660_491, -0.587_641, -0.072_850],
    [-0.124_550, 1.132_900, -0.008_349],
    [-0.018_151, -0.100_579, 1.118_730],
];

/// Luminance of a PQ signal, nits (BT.2100-2 table 4).
fn pq_light(signal: f64) -> f64 {
    let power = signal.clamp(0.0, 1.0).powf(1.0 / M2);
    10_000.0 * ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1)
}

/// The PQ signal of a luminance.
fn pq_signal(nits: f64) -> f64 {
    let power = (nits.max(0.0) / 10_000.0).powf(M1);
    ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
}

const M1: f64 = 2610.0 / 16384.0;
const M2: f64 = 2523.0 / 4096.0 * 128.0;
const C1: f64 = 3424.0 / 4096.0;
const C2: f64 = 2413.0 / 4096.0 * 32.0;
const C3: f64 = 2392.0 / 4096.0 * 32.0;

/// Scene light of a hybrid log-gamma signal, 0 to 1 (BT.2100-2 table 5).
fn hlg_scene(signal: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    let (b, signal) = (1.0 - 4.0 * A, signal.clamp(0.0, 1.0));
    let c = 0.5 - A * (4.0 * A).ln();
    if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / A).exp() + b) / 12.0 }
}

/// The luminance that a screen of 1,000 nits shows of it (BT.2100-2 table 5).
fn hlg_light(signal: [f64; 3]) -> [f64; 3] {
    let scene = signal.map(hlg_scene);
    let luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
    let gain = f64::from(USUAL_PEAK) * luminance.powf(0.2);
    scene.map(|light| gain * light)
}

/// Maps a luminance of up to `peak` to below white: unchanged up to the knee, and rolled off above it.
fn roll_off(nits: f64, peak: f64) -> f64 {
    if peak <= WHITE {
        return nits.min(WHITE);
    }
    let of_peak = pq_signal(peak);
    let white = pq_signal(WHITE) / of_peak;
    let signal = (pq_signal(nits) / of_peak).min(1.0);
    let knee = 1.5 * white - 0.5;
    let mapped = if signal < knee {
        signal
    } else {
        let t = (signal - knee) / (1.0 - knee);
        let (t2, t3) = (t * t, t * t * t);
        (2.0 * t3 - 3.0 * t2 + 1.0) * knee
            + (t3 - 2.0 * t2 + t) * (1.0 - knee)
            + (3.0 * t2 - 2.0 * t3) * white
    };
    pq_light(mapped * of_peak)
}

/// A colour of the source in BT.709, both as signals from 0 to 1.
fn mapped(signal: [f64; 3], is_hlg: bool, peak: f64) -> [f64; 3] {
    let light = if is_hlg { hlg_light(signal) } else { signal.map(pq_light) };
    // The same factor for all three keeps the hue but is garish; mapping each alone pales and shifts it: half
    // of both.
    let brightest = light.iter().copied().fold(1e-6, f64::max);
    let factor = roll_off(brightest, peak) / brightest;
    let light = light.map(|light| (light * factor + roll_off(light, peak)) / 2.0 / WHITE);
    GAMUT.map(|row| {
        let light: f64 = row.iter().zip(light).map(|(weight, light)| weight * light).sum();
        light.clamp(0.0, 1.0).powf(1.0 / GAMMA)
    })
}

/// The table as a Hald picture: red runs fastest, then green, then blue.
pub(crate) fn table(transfer: color::TransferCharacteristic, peak: u32) -> frame::Video {
    let is_hlg = transfer == color::TransferCharacteristic::ARIB_STD_B67;
    let mut picture = frame::Video::new(format::Pixel::RGB48LE, EDGE, EDGE);
    let stride = picture.stride(0);
    let data = picture.data_mut(0);
    let node = |at: usize| (at % NODES) as f64 / (NODES - 1) as f64;
    for at in 0..NODES * NODES * NODES {
        let signal = [node(at), node(at / NODES), node(at / NODES / NODES)];
        let place = at / EDGE as usize * stride + at % EDGE as usize * 6;
        for (channel, value) in mapped(signal, is_hlg, f64::from(peak)).into_iter().enumerate() {
            let bytes = ((value * 65_535.0).round() as u16).to_le_bytes();
            data[place + 2 * channel..][..2].copy_from_slice(&bytes);
        }
    }
    picture
}

/// The arguments of the filter that reads the table.
pub(crate) fn table_arguments() -> String {
    format!("video_size={EDGE}x{EDGE}:pix_fmt=rgb48le:time_base=1/1:pixel_aspect=1/1")
}

/// The peak luminance that a picture states, nits: that of its content, else of its mastering display.
pub(crate) fn peak(picture: &frame::Video) -> u32 {
    let number = |data: &[u8], at: usize| {
        data.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| u32::from_ne_bytes(*bytes))
    };
    let content =
        picture.side_data(frame::side_data::Type::ContentLightLevel).and_then(|data| number(data.data(), 0));
    // Two pairs for each primary and one for white come before the minimum and the maximum.
    let graded = picture.side_data(frame::side_data::Type::MasteringDisplayMetadata).and_then(|data| {
        let (numerator, denominator) = (number(data.data(), 72)?, number(data.data(), 76)?);
        numerator.checked_div(denominator)
    });
    let said = |nits: &u32| (200..=10_000).contains(nits);
    content.filter(said).or(graded.filter(said)).unwrap_or(USUAL_PEAK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 0.005
    }

    #[test]
    fn signal_and_light_are_as_the_standard_has_them() {
        // BT.2408-7 table 1: reference white is 58 % of PQ and 75 % of hybrid log-gamma.
        assert!(near(pq_signal(203.0), 0.58));
        assert!(near(pq_light(pq_signal(1_000.0)) / 1_000.0, 1.0));
        assert!((hlg_light([0.75; 3])[0] - 203.0).abs() < 2.0);
        assert!((hlg_light([1.0; 3])[0] - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn dark_light_stays_and_the_brightest_becomes_white() {
        assert!(near(roll_off(20.0, 1_000.0) / 20.0, 1.0));
        assert!(near(roll_off(1_000.0, 1_000.0) / WHITE, 1.0));
        assert!(near(roll_off(5_000.0, 1_000.0) / WHITE, 1.0), "brighter than it says");
        assert!(near(roll_off(90.0, 150.0) / 90.0, 1.0), "a source that is no brighter than white");
    }

    #[test]
    fn brighter_light_never_becomes_darker() {
        for peak in [250.0, 1_000.0, 4_000.0, 10_000.0] {
            let lights: Vec<_> = (0..2_000).map(|at| roll_off(f64::from(at) * 5.0, peak)).collect();
            assert!(lights.is_sorted(), "{peak}");
        }
    }

    #[test]
    fn grey_stays_grey() {
        for signal in [0.1, 0.4, 0.58, 0.9] {
            let [red, green, blue] = mapped([signal; 3], false, 1_000.0);
            assert!(near(red, green) && near(green, blue), "{signal}");
        }
    }
}
