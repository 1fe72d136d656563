//! The configuration as text: one file, overridden by the environment, overridden by `--set`. Keeps the
//! origin of every value, so that a problem can name its place.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::Serialized;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml_edit::{Document, Item};

use crate::notices::is_of_a_service;
use crate::secrets::masked;

const ENV_PREFIX: &str = "STREAMGATE_";

/// One problem of the configuration: its place, the key, the value, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line and column in the file, from 1; `None` sorts last with [`usize::MAX`].
    pub position: (usize, usize),
    /// `plugins.toml:3:1`, `STREAMGATE_PLUGINS__GATEWAY__LISTEN` or `--set`.
    pub place: String,
    /// The key, dotted; empty for the file as a whole.
    pub key: String,
    /// The value as TOML, unless it may be a secret.
    pub value: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

/// All values with their origins.
pub struct Sources {
    file: String,
    document: Document<String>,
    /// The overrides of the file, in order.
    set: Vec<Layer>,
    /// Variables with our prefix that set nothing.
    ignored: Vec<String>,
    value: Value,
}

impl Sources {
    /// Reads the file and applies environment and `--set`. The problems are those of the text itself; the
    /// sources are usable without the values concerned.
    pub fn read(
        path: &Path,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        sets: &[String],
    ) -> (Self, Vec<Problem>) {
        let file = path.display().to_string();
        let mut problems = Vec::new();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| {
            problems.push(whole(&file, format!("cannot be read: {error}; name another file with --config")));
            String::new()
        });
        let document = Document::parse(text.clone()).unwrap_or_else(|error| {
            let position = error.span().map_or((1, 1), |span| position(&text, span.start));
            let place = format!("{file}:{}:{}", position.0, position.1);
            problems.push(Problem { position, ..whole(&place, format!("is not TOML: {}", error.message())) });
            Document::parse(String::new()).expect("an empty document is TOML")
        });
        let mut layers = Vec::new();
        let ignored = env_values(env, &mut layers, &mut problems);
        set_values(sets, &mut layers, &mut problems);
        let mut figment = Figment::from(Serialized::defaults(to_json(document.as_item())));
        for layer in &layers {
            figment = figment.merge(Serialized::default(&layer.path.join("."), &layer.value));
        }
        let value = figment.extract::<Value>().unwrap_or_else(|error| {
            problems.push(whole(&file, error.to_string()));
            Value::Object(Map::new())
        });
        (Self { file, document, set: layers, ignored, value }, problems)
    }

    /// The whole configuration.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Environment variables that look like settings and set nothing.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// A problem of the key at `path`, with its value unless `secret`.
    pub fn problem(&self, path: &[String], secret: bool, message: impl Into<String>) -> Problem {
        let found = path.iter().try_fold(&self.value, |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key),
        });
        let has_tables = |value: &Value| {
            value.is_object() || value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
        };
        let value = found.filter(|value| !has_tables(value)).map(|value| match secret {
            true => "(secret)".to_owned(),
            // For values other than tables, JSON's notation is valid TOML.
            false => masked(value).to_string().chars().take(80).collect(),
        });
        let (position, place) = self.place(path);
        Problem { position, place, key: dotted(path), value, message: message.into() }
    }

    /// The origin of the key at `path`: the last layer that set it, else the nearest table.
    pub(crate) fn place(&self, path: &[String]) -> ((usize, usize), String) {
        let none = (usize::MAX, usize::MAX);
        for len in (1..=path.len()).rev() {
            let key = &path[..len];
            let over = self.set.iter().rev().find_map(|layer| layer.says(key).map(|it| (it, &layer.name)));
            if let Some((true, name)) = over {
                return (none, name.clone());
            }
            // The file's value does not count where a whole value overrides it.
            if let Some(start) = self.offset(key).filter(|_| over.is_none()) {
                let position = position(self.document.raw(), start);
                return (position, format!("{}:{}:{}", self.file, position.0, position.1));
            }
            if let Some(layer) = self.set.iter().rfind(|layer| layer.path.starts_with(key)) {
                return (none, layer.name.clone());
            }
        }
        (none, self.file.clone())
    }

    /// The offset of a key (or an element of an array) in the file.
    fn offset(&self, path: &[String]) -> Option<usize> {
        let mut start = None;
        let mut item = self.document.as_item().clone();
        for key in path {
            let span;
            (span, item) = if let Some(table) = item.as_table_like() {
                let (key, next) = table.get_key_value(key)?;
                (key.span().or_else(|| next.span()), next.clone())
            } else if let Some(array) = item.as_array() {
                let element = array.get(key.parse().ok()?)?;
                (element.span(), Item::Value(element.clone()))
            } else {
                let table = item.as_array_of_tables()?.get(key.parse().ok()?)?;
                (table.span(), Item::Table(table.clone()))
            };
            start = span.map(|span| span.start).or(start);
        }
        start
    }
}

/// An override of the file: its origin and its key.
struct Layer {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Layer {
    /// Whether it has a value at `key` (true), or replaces the lower layers there (false). Tables are merged,
    /// everything else is replaced as a whole.
    fn says(&self, key: &[String]) -> Option<bool> {
        let (mut value, mut whole) = (&self.value, false);
        for key in key.strip_prefix(self.path.as_slice())? {
            let next = match value {
                Value::Object(table) => table.get(key),
                other => {
                    whole = true;
                    other.as_array().and_then(|items| items.get(key.parse::<usize>().ok()?))
                }
            };
            match next {
                Some(next) => value = next,
                None => return whole.then_some(false),
            }
        }
        Some(true)
    }
}

/// `STREAMGATE_A__B_C` sets `a.b_c`. In a plugin's name `_` stands for `-`, which plugin names use instead.
/// Variables without `__` set nothing: their names are returned, except those that Kubernetes sets for a
/// service of our name.
fn env_values(
    env: impl IntoIterator<Item = (OsString, OsString)>,
    layers: &mut Vec<Layer>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let ours = env.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut ours: Vec<_> = ours.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    ours.sort();
    let (found, others): (Vec<_>, Vec<_>) =
        ours.into_iter().partition(|(name, _)| name[ENV_PREFIX.len()..].contains("__"));
    for (name, value) in found {
        let mut path: Vec<_> = name[ENV_PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
        if path[0] == "plugins" {
            path[1] = path[1].replace('_', "-");
        }
        match value.into_string() {
            Ok(_) if path.iter().any(String::is_empty) => {
                problems.push(whole(&name, "has an empty part between its double underscores"));
            }
            Ok(text) => layers.push(Layer { name, path, value: parse_value(&text) }),
            Err(_) => problems.push(whole(&name, "its value is not UTF-8")),
        }
    }
    let names = others.into_iter().map(|(name, _)| name);
    names.filter(|name| !is_of_a_service(&name[ENV_PREFIX.len()..])).collect()
}

fn set_values(sets: &[String], layers: &mut Vec<Layer>, problems: &mut Vec<Problem>) {
    for set in sets {
        let Some((key, text)) = set.split_once('=') else {
            problems.push(whole(&format!("--set {set}"), "has no value; write --set key=value"));
            continue;
        };
        let place = format!("--set {key}");
        match toml_edit::Key::parse(key.trim()) {
            Ok(keys) => {
                let path = keys.iter().map(|key| key.get().to_owned()).collect();
                layers.push(Layer { name: place, path, value: parse_value(text) });
            }
            Err(error) => problems.push(whole(&place, format!("is not a dotted key: {}", error.message()))),
        }
    }
}

/// A TOML value, else the text itself.
fn parse_value(text: &str) -> Value {
    match text.trim().parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::Float(float)) if !float.value().is_finite() => text.into(),
        Ok(toml_edit::Value::Datetime(_)) | Err(_) => text.into(),
        Ok(value) => to_json(&Item::Value(value)),
    }
}

/// Parses TOML that is not the configuration.
///
/// # Errors
/// If it is not TOML, or has another shape.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    serde_json::from_value(to_json(document.as_item())).map_err(|error| error.to_string())
}

/// TOML as JSON. Types that JSON lacks (dates, infinities) become their text.
fn to_json(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return table.iter().map(|(key, item)| (key.to_owned(), to_json(item))).collect();
    }
    if let Some(tables) = item.as_array_of_tables() {
        return tables.iter().map(|table| to_json(&Item::Table(table.clone()))).collect();
    }
    match item.as_value() {
        Some(toml_edit::Value::String(text)) => text.value().clone().into(),
        Some(toml_edit::Value::Integer(number)) => (*number.value()).into(),
        Some(toml_edit::Value::Boolean(value)) => (*value.value()).into(),
        Some(toml_edit::Value::Float(number)) => serde_json::Number::from_f64(*number.value())
            .map_or_else(|| number.value().to_string().into(), Value::Number),
        Some(toml_edit::Value::Array(array)) => {
            array.iter().map(|value| to_json(&Item::Value(value.clone()))).collect()
        }
        Some(toml_edit::Value::Datetime(time)) => time.value().to_string().into(),
        _ => Value::Null,
    }
}

/// A path as TOML would write it.
pub(crate) fn dotted(path: &[String]) -> String {
    path.iter().map(|key| toml_edit::Key::new(key).to_string()).collect::<Vec<_>>().join(".")
}

pub(crate) fn whole(place: &str, message: impl Into<String>) -> Problem {
    let none = (usize::MAX, usize::MAX);
    let (place, message) = (place.to_owned(), message.into());
    Problem { position: none, place, key: String::new(), value: None, message }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    (before.iter().filter(|&&byte| byte == b'\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    #[test]
    fn a_value_comes_from_the_last_layer_and_a_problem_names_it() {
        let env =
            [("STREAMGATE_PLUGINS__A_B__N".into(), "1".into()), ("STREAMGATE_PORT".into(), "80".into())];
        let sets = ["plugins.a-b.n=2".to_owned(), "plugins.a-b.s=text".to_owned()];
        let (sources, problems) = Sources::read(Path::new("none.toml"), env, &sets);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(sources.value(), &json!({ "plugins": { "a-b": { "n": 2, "s": "text" } } }));
        let problem = sources.problem(&path(&["plugins", "a-b", "n"]), false, "is odd");
        assert_eq!(problem.to_string(), "--set plugins.a-b.n: plugins.a-b.n = 2: is odd");
        let problem = sources.problem(&path(&["plugins", "a-b", "s"]), true, "is odd");
        assert_eq!(problem.to_string(), "--set plugins.a-b.s: plugins.a-b.s = (secret): is odd");
    }

    #[test]
    fn a_value_inside_of_what_a_layer_set_comes_from_that_layer() {
        let file = std::env::temp_dir().join(format!("streamgate-place-{}.toml", std::process::id()));
        std::fs::write(&file, "[a]\nb = [{ c = 1, d = 2 }]\n[a.t]\nx = 1\n").expect("written");
        let set = |sets: &[&str]| {
            let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
            Sources::read(&file, [("STREAMGATE_A__T__Y".into(), "2".into())], &sets).0
        };
        let place = |sources: &Sources, keys: &[&str]| sources.place(&path(keys)).1;
        let (plain, over) = (set(&[]), set(&["a.b=[{ c = 3 }]", "a.t={ z = 3 }"]));
        let name = file.display();
        assert_eq!(place(&plain, &["a", "b", "0", "c"]), format!("{name}:2:8"));
        assert_eq!(place(&over, &["a", "b", "0", "c"]), "--set a.b");
        // Nothing of the file's array is left; of its table, all keys that are not overridden.
        assert_eq!(place(&over, &["a", "b", "0", "d"]), "--set a.b");
        assert_eq!(place(&over, &["a", "b", "7"]), "--set a.b");
        assert_eq!(place(&over, &["a", "t", "x"]), format!("{name}:4:1"));
        assert_eq!(place(&over, &["a", "t", "z"]), "--set a.t");
        assert_eq!(place(&over, &["a", "t", "y"]), "STREAMGATE_A__T__Y");
        std::fs::remove_file(&file).expect("removed");
    }

    #[test]
    fn no_problem_repeats_the_key_of_an_endpoint() {
        let sets = ["p.url=https://rpc.example/SECRETKEY".to_owned(), "p.all=[{ k = \"SECRETKEY\" }]".into()];
        let (sources, _) = Sources::read(Path::new("none.toml"), [], &sets);
        for keys in [&["p", "url"][..], &["p", "all"], &["p"]] {
            let said = sources.problem(&path(keys), false, "is odd").to_string();
            assert!(!said.contains("SECRETKEY"), "{said}");
        }
    }

    #[test]
    fn toml_of_another_shape_is_an_error() {
        assert!(from_toml::<Vec<u8>>("a = 1").is_err());
        assert!(from_toml::<Value>("a = ").is_err());
        assert_eq!(from_toml::<Value>("a = [1, 'x']"), Ok(json!({ "a": [1, "x"] })));
    }
}
