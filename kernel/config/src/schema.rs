//! Which keywords of a JSON Schema (draft 2020-12) a value violates, for those keywords that schemas of
//! settings use. It finds all violations and formats none. An unknown keyword is an error of the schema,
//! which is reported: it never counts as satisfied.

use regex::Regex;
use serde_json::{Map, Value};

use crate::secrets::Node;

/// Annotations, which constrain nothing.
const NOTES: [&str; 15] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];
/// Keywords that a single value satisfies or violates.
const PLAIN: [&str; 17] = [
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];
/// Cyclic references end here.
const DEEPEST: usize = 64;

/// A keyword that a value violates.
#[derive(Debug)]
pub(crate) struct Violation<'a> {
    /// Where the value is.
    pub(crate) path: Vec<String>,
    pub(crate) found: &'a Value,
    /// The schema that has the keyword.
    pub(crate) owner: &'a Value,
    pub(crate) kind: Kind<'a>,
}

#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// Any keyword of [`PLAIN`] but `required`, and its argument.
    Plain(&'a str, &'a Value),
    /// `required`.
    Missing(&'a str),
    /// `additionalProperties`: keys that are not in `properties`.
    UnknownKeys(Vec<&'a str>),
    /// `anyOf` and `oneOf`: the violations of each alternative.
    Alternatives(Vec<Vec<Violation<'a>>>),
    /// `oneOf`: more than one matches.
    Several,
    /// `not`, or a schema that matches no value.
    Forbidden,
}

/// All violations of `value`.
pub(crate) fn violations<'a>(schema: &'a Value, value: &'a Value) -> Vec<Violation<'a>> {
    let mut found = Vec::new();
    check(Node::root(schema), value, &mut Vec::new(), 0, &mut found);
    found
}

fn check<'a>(
    node: Node<'a>,
    value: &'a Value,
    path: &mut Vec<String>,
    depth: usize,
    all: &mut Vec<Violation<'a>>,
) {
    let owner = node.schema;
    let mut kinds = Vec::new();
    let Some(keywords) = owner.as_object().filter(|_| depth < DEEPEST) else {
        if *owner == false || depth >= DEEPEST {
            all.push(Violation { path: path.clone(), found: value, owner, kind: Kind::Forbidden });
        }
        return;
    };
    for (keyword, says) in keywords {
        let keyword = keyword.as_str();
        let mut each = || -> Vec<Vec<Violation<'a>>> {
            let nodes = says.as_array().into_iter().flatten();
            nodes.map(|schema| alternative(node.at(schema), value, path, depth)).collect()
        };
        match keyword {
            "required" => {
                let wanted = says.as_array().into_iter().flatten().filter_map(Value::as_str);
                let table = value.as_object();
                let missing = wanted.filter(|key| table.is_some_and(|table| !table.contains_key(*key)));
                kinds.extend(missing.map(Kind::Missing));
            }
            "additionalProperties" if *says == false => {
                let unknown: Vec<_> = additional(keywords, value).map(|(key, _)| key.as_str()).collect();
                kinds.extend((!unknown.is_empty()).then_some(Kind::UnknownKeys(unknown)));
            }
            "anyOf" => {
                let each = each();
                kinds.extend((!each.iter().any(Vec::is_empty)).then_some(Kind::Alternatives(each)));
            }
            "oneOf" => {
                let each = each();
                match each.iter().filter(|found| found.is_empty()).count() {
                    0 => kinds.push(Kind::Alternatives(each)),
                    1 => {}
                    _ => kinds.push(Kind::Several),
                }
            }
            "allOf" => all.extend(each().into_iter().flatten()),
            "not" => {
                let met = alternative(node.at(says), value, path, depth).is_empty();
                kinds.extend(met.then_some(Kind::Forbidden));
            }
            "$ref" => {
                if let Some(target) = node.target() {
                    check(target, value, path, depth + 1, all);
                }
            }
            _ if !is_met(keyword, says, value) => kinds.push(Kind::Plain(keyword, says)),
            _ => {}
        }
    }
    all.extend(kinds.into_iter().map(|kind| Violation { path: path.clone(), found: value, owner, kind }));
    for (key, schema, value) in children(keywords, value) {
        path.push(key);
        check(node.at(schema), value, path, depth, all);
        path.pop();
    }
}

/// The violations of one alternative.
fn alternative<'a>(
    node: Node<'a>,
    value: &'a Value,
    path: &mut Vec<String>,
    depth: usize,
) -> Vec<Violation<'a>> {
    let mut found = Vec::new();
    check(node, value, path, depth + 1, &mut found);
    found
}

/// The keys of a table that its schema does not name.
fn additional<'a>(
    keywords: &'a Map<String, Value>,
    value: &'a Value,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let named = keywords.get("properties").and_then(Value::as_object);
    let all = value.as_object().into_iter().flatten();
    all.filter(move |(key, _)| named.is_none_or(|named| !named.contains_key(*key)))
}

/// The direct children of a value, with their names and schemas.
fn children<'a>(keywords: &'a Map<String, Value>, value: &'a Value) -> Vec<(String, &'a Value, &'a Value)> {
    let mut below = Vec::new();
    for (key, schema) in keywords.get("properties").and_then(Value::as_object).into_iter().flatten() {
        below.extend(value.get(key).map(|value| (key.clone(), schema, value)));
    }
    if let Some(schema) = keywords.get("additionalProperties").filter(|schema| schema.is_object()) {
        below.extend(additional(keywords, value).map(|(key, value)| (key.clone(), schema, value)));
    }
    let first = keywords.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let schema = first.get(index).or_else(|| keywords.get("items"));
        below.extend(schema.map(|schema| (index.to_string(), schema, item)));
    }
    below
}

/// Whether a value satisfies a plain keyword. Each is about one type of value, and any other satisfies it.
fn is_met(keyword: &str, says: &Value, value: &Value) -> bool {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(table) => table.len(),
        _ => 0,
    };
    let is_long = |least: bool| {
        let Some(limit) = says.as_u64() else { return true };
        if least { length as u64 >= limit } else { length as u64 <= limit }
    };
    let compared = || compare(value, says);
    match keyword {
        "type" => match says {
            Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
            kind => is_of(kind, value),
        },
        "enum" => says.as_array().is_none_or(|options| options.contains(value)),
        "const" => says == value,
        "minimum" => compared().is_none_or(|it| it.is_ge()),
        "maximum" => compared().is_none_or(|it| it.is_le()),
        "exclusiveMinimum" => compared().is_none_or(|it| it.is_gt()),
        "exclusiveMaximum" => compared().is_none_or(|it| it.is_lt()),
        "multipleOf" => {
            let parts = value.as_f64().zip(says.as_f64()).map(|(value, part)| value / part);
            parts.is_none_or(|parts| parts.fract() == 0.0)
        }
        "minLength" => !value.is_string() || is_long(true),
        "maxLength" => !value.is_string() || is_long(false),
        "minItems" => !value.is_array() || is_long(true),
        "maxItems" => !value.is_array() || is_long(false),
        "minProperties" => !value.is_object() || is_long(true),
        "maxProperties" => !value.is_object() || is_long(false),
        "uniqueItems" => {
            let items = value.as_array().filter(|_| *says == true).map_or(&[][..], Vec::as_slice);
            items.iter().enumerate().all(|(index, item)| !items[..index].contains(item))
        }
        "pattern" => value.as_str().zip(pattern(says)).is_none_or(|(text, form)| form.is_match(text)),
        _ => true,
    }
}

fn pattern(says: &Value) -> Option<Regex> {
    Regex::new(says.as_str()?).ok()
}

/// Two numbers; `None` if they are not numbers.
fn compare(value: &Value, limit: &Value) -> Option<std::cmp::Ordering> {
    let whole = |number: &Value| number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    match (whole(value), whole(limit)) {
        (Some(value), Some(limit)) => Some(value.cmp(&limit)),
        _ => value.as_f64()?.partial_cmp(&limit.as_f64()?),
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// What prevents a schema from being checked, as text: unknown keywords, invalid patterns, dangling
/// references.
pub(crate) fn faults(schema: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    look(Node::root(schema), "#", &mut faults);
    faults
}

fn look(node: Node<'_>, place: &str, faults: &mut Vec<String>) {
    let Some(keywords) = node.schema.as_object() else {
        if !node.schema.is_boolean() {
            faults.push(format!("{place} is not a schema"));
        }
        return;
    };
    for (keyword, says) in keywords {
        let place = format!("{place}/{keyword}");
        match keyword.as_str() {
            "properties" | "$defs" | "definitions" => {
                for (name, schema) in says.as_object().into_iter().flatten() {
                    look(node.at(schema), &format!("{place}/{name}"), faults);
                }
            }
            "additionalProperties" | "items" | "not" => look(node.at(says), &place, faults),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                for (index, schema) in says.as_array().into_iter().flatten().enumerate() {
                    look(node.at(schema), &format!("{place}/{index}"), faults);
                }
            }
            "$ref" if node.target().is_none() => faults.push(format!("{place} leads nowhere")),
            "pattern" if pattern(says).is_none() => {
                faults.push(format!("{place} is not a supported regular expression: {says}"));
            }
            "$ref" => {}
            known if NOTES.contains(&known) || PLAIN.contains(&known) || known.starts_with("x-") => {}
            other => faults.push(format!("{place}: the keyword `{other}` is unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(schema: &Value, value: &Value) -> Vec<String> {
        let found = violations(schema, value);
        found.iter().map(|it| format!("{}: {:?}", it.path.join("."), it.kind)).collect()
    }

    #[test]
    fn each_keyword_is_met_or_violated_as_its_standard_says() {
        for (schema, good, bad) in [
            (json!({ "type": "integer" }), json!([1, -1, u64::MAX, 2.0]), json!([1.5, "1", true])),
            (json!({ "type": ["string", "null"] }), json!(["", null]), json!([1, []])),
            (json!({ "enum": ["a", 1] }), json!(["a", 1]), json!(["b", 2])),
            (json!({ "const": "a" }), json!(["a"]), json!(["b"])),
            (json!({ "minimum": 0 }), json!([0, 0.5, "text"]), json!([-1, -0.5])),
            (json!({ "maximum": i64::MAX }), json!([i64::MAX]), json!([i64::MAX as u64 + 1])),
            (json!({ "exclusiveMinimum": 0.0, "exclusiveMaximum": 2 }), json!([1, 0.1]), json!([0, 2])),
            (json!({ "multipleOf": 5 }), json!([10, 0, "text"]), json!([7, 2.5])),
            (json!({ "minLength": 2, "maxLength": 3 }), json!(["äö", "abc", 1]), json!(["ä", "abcd"])),
            (json!({ "minItems": 1, "maxItems": 1 }), json!([[1], {}]), json!([[], [1, 2]])),
            (json!({ "minProperties": 1, "maxProperties": 1 }), json!([{ "a": 1 }, []]), json!([{}])),
            (json!({ "uniqueItems": true }), json!([[1, 2]]), json!([[1, 1]])),
            (json!({ "pattern": "^a+$" }), json!(["aa", 1]), json!(["b", ""])),
            (json!({ "not": { "type": "string" } }), json!([1]), json!(["a"])),
            (json!({ "allOf": [{ "minimum": 1 }, { "maximum": 2 }] }), json!([1, 2]), json!([0, 3])),
            (json!({ "anyOf": [{ "const": 1 }, { "type": "string" }] }), json!([1, "a"]), json!([2, []])),
            (json!({ "oneOf": [{ "minimum": 1 }, { "maximum": 2 }] }), json!([0, 3]), json!([1, 2])),
            (
                json!({ "prefixItems": [{ "const": 1 }], "items": false }),
                json!([[1], []]),
                json!([[2], [1, 2]]),
            ),
            (json!(false), json!([]), json!([1])),
        ] {
            assert_eq!(faults(&schema), Vec::<String>::new(), "{schema}");
            for value in good.as_array().into_iter().flatten() {
                assert_eq!(found(&schema, value), Vec::<String>::new(), "{schema} {value}");
            }
            for value in bad.as_array().into_iter().flatten() {
                assert_eq!(violations(&schema, value).len(), 1, "{schema} {value}");
            }
        }
    }

    #[test]
    fn every_violation_is_found_with_its_place() {
        let schema = json!({
            "properties": { "a": { "items": { "$ref": "#/$defs/Item" } }, "b": {} },
            "required": ["b", "c"],
            "additionalProperties": false,
            "$defs": { "Item": { "type": "string", "minLength": 2 } },
        });
        assert_eq!(
            found(&schema, &json!({ "a": ["", 1, "xy"], "x": 1, "y": 2 })),
            [
                ": UnknownKeys([\"x\", \"y\"])",
                ": Missing(\"b\")",
                ": Missing(\"c\")",
                "a.0: Plain(\"minLength\", Number(2))",
                "a.1: Plain(\"type\", String(\"string\"))",
            ]
        );
        let more = json!({ "additionalProperties": { "type": "integer" }, "properties": { "a": true } });
        assert_eq!(found(&more, &json!({ "a": "", "b": "" })), ["b: Plain(\"type\", String(\"integer\"))"]);
    }

    #[test]
    fn a_schema_may_refer_to_itself_and_circles_end() {
        let tree = json!({ "type": "object", "properties": { "of": { "$ref": "#" } } });
        assert_eq!(violations(&tree, &json!({ "of": { "of": {} } })).len(), 0);
        assert_eq!(violations(&tree, &json!({ "of": { "of": 1 } })).len(), 1);
        assert_eq!(violations(&json!({ "$ref": "#" }), &json!(1)).len(), 1);
    }

    #[test]
    fn an_unknown_keyword_is_a_fault_of_the_schema_with_its_place() {
        let schema = json!({
            "x-note": 1,
            "properties": { "a": { "if": {}, "pattern": "(?=a)" }, "b": { "$ref": "#/$defs/None" } },
            "items": 7,
        });
        assert_eq!(
            faults(&schema),
            [
                "#/items is not a schema",
                "#/properties/a/if: the keyword `if` is unknown",
                "#/properties/a/pattern is not a supported regular expression: \"(?=a)\"",
                "#/properties/b/$ref leads nowhere",
            ]
        );
    }
}
