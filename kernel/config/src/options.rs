//! The kernel's own options after the words of a plugin's command, where the command line's grammar does not
//! see them.

use std::path::PathBuf;

/// Takes `--config FILE` and `--set KEY=VALUE`, also as `--config=FILE`, out of the words of a command. They
/// have the same effect as before the command; the last `--config` wins. From the first `--` on, which is
/// dropped, the words belong to the command.
///
/// # Errors
/// If one of them is at the end without its value.
pub fn take_options(
    words: &mut Vec<String>,
    config: &mut Option<PathBuf>,
    sets: &mut Vec<String>,
) -> Result<(), String> {
    let mut given = std::mem::take(words).into_iter();
    // Whatever it looks like, the first one is the command's name.
    let mut rest: Vec<_> = given.next().into_iter().collect();
    while let Some(word) = given.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if option == "--config" || option == "--set" {
            let value =
                value.or_else(|| given.next()).ok_or_else(|| format!("`{option}` lacks its value"))?;
            match option {
                "--config" => *config = Some(value.into()),
                _ => sets.push(value),
            }
        } else if word == "--" {
            rest.extend(given.by_ref());
        } else {
            rest.push(word);
        }
    }
    *words = rest;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file, the settings, and the remaining words.
    fn take(line: &str) -> Result<(Option<PathBuf>, String, String), String> {
        let mut words = line.split(' ').map(str::to_owned).collect();
        let (mut config, mut sets) = (Some("front.toml".into()), vec!["front=1".to_owned()]);
        take_options(&mut words, &mut config, &mut sets)?;
        Ok((config, sets.join(" "), words.join(" ")))
    }

    fn taken(config: &str, sets: &str, words: &str) -> Result<(Option<PathBuf>, String, String), String> {
        Ok((Some(config.into()), sets.to_owned(), words.to_owned()))
    }

    #[test]
    fn the_kernels_options_are_taken_wherever_they_stand_and_in_either_form() {
        assert_eq!(
            take("fsck --config a.toml deep --set=x.y=1 --repair --set x.z=--"),
            taken("a.toml", "front=1 x.y=1 x.z=--", "fsck deep --repair")
        );
        assert_eq!(take("admin link --config=b=c.toml"), taken("b=c.toml", "front=1", "admin link"));
    }

    #[test]
    fn what_is_the_commands_own_stays_as_it_is() {
        assert_eq!(
            take("fsck --configure a --settle=b -c config -- --config own -- --set"),
            taken("front.toml", "front=1", "fsck --configure a --settle=b -c config --config own -- --set")
        );
    }

    #[test]
    fn the_first_word_is_a_name_whatever_it_looks_like() {
        assert_eq!(take("--config a.toml"), taken("front.toml", "front=1", "--config a.toml"));
    }

    #[test]
    fn an_option_without_its_value_is_refused() {
        for (line, said) in
            [("fsck --config", "`--config` lacks its value"), ("fsck --set", "`--set` lacks its value")]
        {
            assert_eq!(take(line), Err(said.to_owned()));
        }
    }
}
