//! Violations of a JSON Schema as text for the person who edits the file, with the nearest valid key or
//! value. It never shows the value of a setting that its schema declares secret.

use serde_json::Value;

use crate::schema::{Kind, Violation};
use crate::secrets::{is_secret_at, looks_secret};
use crate::{Problem, Sources};

/// Every violation of the schema by the whole configuration.
pub(crate) fn violations(sources: &Sources, schema: &Value) -> Vec<Problem> {
    let found = crate::schema::violations(schema, sources.value());
    found.iter().flat_map(|violation| word(sources, schema, violation)).collect()
}

fn word(sources: &Sources, schema: &Value, violation: &Violation<'_>) -> Vec<Problem> {
    let Violation { path, found, owner, kind } = violation;
    let below = |key: &str| path.iter().cloned().chain([key.to_owned()]).collect::<Vec<_>>();
    let example = example(owner);
    let message = match kind {
        Kind::UnknownKeys(unexpected) => {
            let keys: Vec<_> = owner["properties"].as_object().into_iter().flat_map(|p| p.keys()).collect();
            let unknown = |key: &&str| {
                let hint = suggest(key, keys.iter().map(|key| key.as_str()), "valid keys");
                sources.problem(&below(key), looks_secret(key), format!("unknown key{hint}"))
            };
            return unexpected.iter().map(unknown).collect();
        }
        Kind::Missing(key) => {
            let wanted = &owner["properties"][key];
            let hint = wanted["description"].as_str().map(|text| format!(": {}", text.replace('\n', " ")));
            let message = format!("is missing{}{}", hint.unwrap_or_default(), self::example(wanted));
            return vec![sources.problem(&below(key), true, message)];
        }
        Kind::Alternatives(each) => match branch(each, path) {
            Some(meant) => return meant.iter().flat_map(|it| word(sources, schema, it)).collect(),
            None => alternatives(each, found, &example),
        },
        Kind::Plain(keyword, says) => plain(keyword, says, found, &example),
        Kind::Several => "matches more than one of its forms, and must match exactly one".into(),
        Kind::Forbidden => "is not allowed here".into(),
    };
    vec![sources.problem(path, is_secret_at(schema, path), message)]
}

fn plain(keyword: &str, says: &Value, found: &Value, example: &str) -> String {
    match keyword {
        "type" => {
            let kinds = says.as_array().cloned().unwrap_or_else(|| vec![says.clone()]);
            let kinds: Vec<_> = kinds.iter().filter_map(|kind| kind_name(kind.as_str()?)).collect();
            format!("must be {}, not {}{example}", kinds.join(" or "), kind_of(found))
        }
        "enum" => one_of(says.as_array().map_or(&[][..], Vec::as_slice), found),
        "const" => format!("must be {says}"),
        "pattern" if example.is_empty() => {
            format!("does not have the form {}", says.as_str().unwrap_or_default())
        }
        "pattern" => format!("does not have the right form{example}"),
        "minimum" => format!("must be at least {says}"),
        "maximum" => format!("must be at most {says}"),
        "exclusiveMinimum" => format!("must be more than {says}"),
        "exclusiveMaximum" => format!("must be less than {says}"),
        "multipleOf" => format!("must be a multiple of {says}"),
        "minLength" | "minItems" if *says == 1 => "must not be empty".into(),
        "minLength" | "minItems" => format!("must be at least {says} long"),
        "maxLength" | "maxItems" => format!("must be at most {says} long"),
        "minProperties" => format!("must have at least {says} keys"),
        "maxProperties" => format!("must have at most {says} keys"),
        _ => "must not have the same item twice".into(),
    }
}

/// The violations of the intended alternative: the only one that does not fail by the type of the value (for
/// example `null`, which TOML does not have).
fn branch<'a, 'b>(each: &'a [Vec<Violation<'b>>], path: &[String]) -> Option<&'a [Violation<'b>]> {
    let wrong_kind = |it: &Violation<'_>| {
        matches!(it.kind, Kind::Plain("type" | "const" | "enum", _)) && it.path.len() == path.len()
    };
    let mut meant = each.iter().filter(|found| !found.iter().any(wrong_kind));
    let first = meant.next()?;
    meant.next().is_none().then_some(first)
}

fn alternatives(each: &[Vec<Violation<'_>>], found: &Value, example: &str) -> String {
    let mut options = Vec::new();
    for violation in each.iter().flatten() {
        match violation.kind {
            Kind::Plain("const", says) => options.push(says.clone()),
            Kind::Plain("enum", says) => options.extend(says.as_array().into_iter().flatten().cloned()),
            _ => {}
        }
    }
    match options.is_empty() {
        true => format!("has none of the allowed forms{example}"),
        false => one_of(&options, found),
    }
}

fn one_of(options: &[Value], found: &Value) -> String {
    let shown: Vec<_> = options.iter().filter(|o| !o.is_null()).map(ToString::to_string).collect();
    let hint = suggest(found.as_str().unwrap_or_default(), options.iter().filter_map(Value::as_str), "");
    format!("must be one of {}{hint}", shown.join(", "))
}

fn example(schema: &Value) -> String {
    let examples: Vec<_> =
        schema["examples"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    if examples.is_empty() { String::new() } else { format!("; examples: {}", examples.join(", ")) }
}

fn kind_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "an array",
        "object" => "a table",
        // `null` means optional in a schema; TOML has no such value.
        _ => return None,
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

/// `; did you mean ...?` with the nearest candidate, or all of them under `title` if none is similar.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, title: &str) -> String {
    let mut near: Vec<_> =
        candidates.into_iter().map(|name| (strsim::jaro_winkler(word, name), name)).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    match near.first() {
        Some((likeness, name)) if *likeness >= 0.75 => format!("; did you mean `{name}`?"),
        Some(_) if !title.is_empty() => {
            let mut names: Vec<_> = near.iter().map(|(_, name)| *name).collect();
            names.sort_unstable();
            format!("; {title}: {}", names.join(", "))
        }
        _ => String::new(),
    }
}
