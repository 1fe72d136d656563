//! Violations of a JSON Schema in the words of somebody who edits the file, with the nearest
//! valid key or value. It never shows the value of a setting that its schema calls secret.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::paths::Location;
use serde_json::Value;

use crate::secrets::{is_secret_at, looks_secret};
use crate::{Problem, Sources};

/// Every violation of the schema by the whole configuration.
pub(crate) fn violations(sources: &Sources, schema: &Value) -> Vec<Problem> {
    match jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(schema) {
        Ok(validator) => {
            validator.iter_errors(sources.value()).flat_map(|error| word(sources, schema, &error)).collect()
        }
        Err(error) => {
            vec![sources.problem(&[], true, format!("a plugin's settings schema is not one: {error}"))]
        }
    }
}

fn word(sources: &Sources, schema: &Value, error: &ValidationError<'_>) -> Vec<Problem> {
    let path: Vec<_> = error.instance_path().segments().map(|segment| segment.to_string()).collect();
    let owner = owner(schema, error.schema_path());
    let below = |key: &str| path.iter().cloned().chain([key.to_owned()]).collect::<Vec<_>>();
    let example = example(owner);
    let message = match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let keys: Vec<_> = owner["properties"].as_object().into_iter().flat_map(|p| p.keys()).collect();
            let unknown = |key: &String| {
                let hint = suggest(key, keys.iter().map(|key| key.as_str()), "valid keys");
                sources.problem(&below(key), looks_secret(key), format!("unknown key{hint}"))
            };
            return unexpected.iter().map(unknown).collect();
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let wanted = &owner["properties"][key];
            let hint = wanted["description"].as_str().map(|text| format!(": {}", text.replace('\n', " ")));
            let message = format!("is missing{}{}", hint.unwrap_or_default(), self::example(wanted));
            return vec![sources.problem(&below(key), true, message)];
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => match branch(context, &path) {
            Some(errors) => return errors.iter().flat_map(|error| word(sources, schema, error)).collect(),
            None => alternatives(context, error.instance(), &example),
        },
        Kind::Type { .. } => {
            let kinds = owner["type"].as_array().cloned().unwrap_or_else(|| vec![owner["type"].clone()]);
            let kinds: Vec<_> = kinds.iter().filter_map(|kind| kind_name(kind.as_str()?)).collect();
            format!("must be {}, not {}{example}", kinds.join(" or "), kind_of(error.instance()))
        }
        Kind::Enum { options } => one_of(options.as_array().map_or(&[][..], Vec::as_slice), error.instance()),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Pattern { pattern } if example.is_empty() => format!("does not have the form {pattern}"),
        Kind::Pattern { .. } => format!("does not have the right form{example}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } => "must not be empty".into(),
        Kind::MinLength { limit } | Kind::MinItems { limit } => format!("must be at least {limit} long"),
        Kind::MaxLength { limit } | Kind::MaxItems { limit } => format!("must be at most {limit} long"),
        _ => error.masked().to_string(),
    };
    vec![sources.problem(&path, is_secret_at(schema, &path), message)]
}

/// The subschema that holds the keyword at this location.
fn owner<'a>(schema: &'a Value, keyword: &Location) -> &'a Value {
    let pointer = keyword.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
    schema.pointer(pointer).unwrap_or(&Value::Null)
}

/// The errors of the one alternative that was meant: the only one that is not already wrong in
/// the kind of value (`null`, say, which TOML does not have).
fn branch<'a, 'b>(
    context: &'a [Vec<ValidationError<'b>>],
    path: &[String],
) -> Option<&'a [ValidationError<'b>]> {
    let wrong_kind = |error: &ValidationError<'_>| {
        matches!(error.kind(), Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. })
            && error.instance_path().segments().count() == path.len()
    };
    let mut meant = context.iter().filter(|errors| !errors.iter().any(wrong_kind));
    let first = meant.next()?;
    meant.next().is_none().then_some(first)
}

fn alternatives(context: &[Vec<ValidationError<'_>>], found: &Value, example: &str) -> String {
    let mut options = Vec::new();
    for error in context.iter().flatten() {
        match error.kind() {
            Kind::Constant { expected_value } => options.push(Value::clone(expected_value)),
            Kind::Enum { options: more } => options.extend(more.as_array().into_iter().flatten().cloned()),
            _ => {}
        }
    }
    match options.is_empty() {
        true => format!("has none of the forms that are allowed{example}"),
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
        // `null` is how a schema says optional; TOML has no such value.
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

/// `; did you mean ...?` with the nearest candidate, or all of them under `title` when none is near.
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
