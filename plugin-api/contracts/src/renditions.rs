//! The paths of a rendition's media: a folder below `media/{id}/` in storage, and the same below `/v/{id}/`
//! for players. Each generation has its own, so that bytes at an address never change.

use crate::catalogue::v1::Rendition;

/// The folder of a generation of the rendition `name`. Names contain no dot, so folders are unique.
#[must_use]
pub fn folder(name: &str, generation: u32) -> String {
    if generation == 0 { name.to_owned() } else { format!("{name}.{generation}") }
}

/// The name and the generation of a folder, in canonical form. The name is not checked.
#[must_use]
pub fn read_folder(folder: &str) -> Option<(&str, u32)> {
    let Some((name, generation)) = folder.split_once('.') else { return Some((folder, 0)) };
    let is_number = generation.bytes().all(|byte| byte.is_ascii_digit()) && !generation.starts_with('0');
    let generation = generation.parse().ok().filter(|_| is_number)?;
    Some((name, generation))
}

impl Rendition {
    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> String {
        folder(&self.name, self.generation)
    }

    /// Not played yet.
    #[must_use]
    pub fn is_coming(&self) -> bool {
        self.turn.is_some_and(|turn| turn.coming)
    }

    /// Until when its addresses are served after it was replaced, Unix milliseconds.
    #[must_use]
    pub fn replaced_until_ms(&self) -> Option<i64> {
        self.turn.filter(|turn| !turn.coming).map(|turn| turn.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_first_generation_is_the_name_and_of_another_one_says_which() {
        assert_eq!((folder("720p", 0), folder("720p", 12)), ("720p".into(), "720p.12".into()));
        for generation in [0, 1, 9, 10, u32::MAX] {
            assert_eq!(read_folder(&folder("720p", generation)), Some(("720p", generation)));
        }
        for other in ["720p.", "720p.0", "720p.01", "720p.+1", "720p.1.1", "720p.x", "720p.4294967296"] {
            assert_eq!(read_folder(other), None, "{other}");
        }
    }
}
