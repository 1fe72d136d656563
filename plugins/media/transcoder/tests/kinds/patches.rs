//! Changes to the bytes of an input, for what no program writes on demand.

use std::path::Path;

pub(super) fn mirrored(path: &Path) {
    matrix(path, [-1, 0, 0, 1]);
}

pub(super) fn upside_down(path: &Path) {
    matrix(path, [1, 0, 0, -1]);
}

pub(super) fn transposed(path: &Path) {
    matrix(path, [0, 1, 1, 0]);
}

/// Writes the matrix of the first track (ISO/IEC 14496-12 §8.3.2).
fn matrix(path: &Path, [a, b, c, d]: [i32; 4]) {
    let mut data = std::fs::read(path).unwrap();
    let header = data.windows(4).position(|window| window == b"tkhd").unwrap();
    let whole = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30];
    for (at, value) in whole.iter().enumerate() {
        data[header + 44 + 4 * at..][..4].copy_from_slice(&value.to_be_bytes());
    }
    std::fs::write(path, data).unwrap();
}

/// The same file twice in a row.
pub(super) fn twice(path: &Path) {
    let once = std::fs::read(path).unwrap();
    std::fs::write(path, [once.as_slice(), &once].concat()).unwrap();
}

/// Another file behind it.
pub(super) fn with_second(path: &Path) {
    let second = std::fs::read(path.with_file_name("second.ts")).unwrap();
    std::fs::write(path, [std::fs::read(path).unwrap(), second].concat()).unwrap();
}

/// Another file behind it, and the same once more behind that.
pub(super) fn around_second(path: &Path) {
    let once = std::fs::read(path).unwrap();
    with_second(path);
    std::fs::write(path, [std::fs::read(path).unwrap(), once].concat()).unwrap();
}

/// Another programme stream behind it, whose video is the second one by its number (ISO/IEC 13818-1 table
/// 2-22).
pub(super) fn with_second_renumbered(path: &Path) {
    let second = path.with_file_name("second.ts");
    let mut data = std::fs::read(&second).unwrap();
    let starts = |data: &[u8], at: usize| data[at..].starts_with(&[0, 0, 1, 0xe0]);
    let pictures: Vec<_> = (0..data.len()).filter(|at| starts(&data, *at)).collect();
    pictures.into_iter().for_each(|at| data[at + 3] = 0xe1);
    std::fs::write(&second, data).unwrap();
    with_second(path);
}

/// Turns the index into something to be skipped.
pub(super) fn no_index(path: &Path) {
    let mut data = std::fs::read(path).unwrap();
    let index = data.windows(4).rposition(|window| window == b"idx1").unwrap();
    data[index..index + 4].copy_from_slice(b"JUNK");
    std::fs::write(path, data).unwrap();
}

pub(super) fn endless(path: &Path) {
    let mut data = std::fs::read(path).unwrap();
    let samples = data.windows(4).position(|window| window == b"data").unwrap();
    data[4..8].fill(0xff);
    data[samples + 4..samples + 8].fill(0xff);
    std::fs::write(path, data).unwrap();
}

/// Removes the empty chunks from an AVI's video, so that its index is wrong.
pub(super) fn without_empty_chunks(path: &Path) {
    let data = std::fs::read(path).unwrap();
    let movie = data.windows(4).position(|window| window == b"movi").unwrap();
    let length = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let end = movie + length(movie - 4);
    let (mut at, mut chunks) = (movie + 4, Vec::new());
    while at + 8 <= end {
        let whole = 8 + length(at + 4).next_multiple_of(2);
        if whole > 8 || &data[at..at + 4] != b"00dc" {
            chunks.extend_from_slice(&data[at..at + whole]);
        }
        at += whole;
    }
    let size = (chunks.len() as u32 + 4).to_le_bytes();
    let mut file = [&data[..movie - 4], &size, b"movi", &chunks].concat();
    let size = (file.len() as u32 - 8).to_le_bytes();
    file[4..8].copy_from_slice(&size);
    std::fs::write(path, file).unwrap();
}
