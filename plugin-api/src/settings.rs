//! Types for settings: durations and sizes as people write them, and problems as people read them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A problem of a setting beyond its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsProblem {
    /// The key within the plugin's table.
    pub key: String,
    /// What is wrong, with which value, and what to do.
    pub message: String,
}

impl SettingsProblem {
    /// A problem of the setting `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// What is wrong with a value that must be between `least` and `most`, both included.
pub fn outside<T: PartialOrd + fmt::Display>(
    key: impl Into<String>,
    value: T,
    least: T,
    most: T,
) -> Option<SettingsProblem> {
    (value < least || value > most)
        .then(|| SettingsProblem::new(key, format!("{value} is not between {least} and {most}")))
}

/// With its key; one of the settings as a whole has none.
impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// A duration: `"500ms"`, `"30s"`, `"5m"`, `"12h"`, `"7d"`, or a whole number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// Whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// Whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;
    fn deref(&self) -> &std::time::Duration {
        &self.0
    }
}

/// A number of bytes: `"64KiB"`, `"16MiB"`, `"2GiB"`, `"1MB"`, or a whole number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Whole bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Kibibytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// Mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Gibibytes.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// Splits `12.5MiB` into number and unit and multiplies, without floating-point errors for whole numbers.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    let number = number.trim();
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*factor),
        Err(_) => {
            let number: f64 = number.parse().ok()?;
            let product = number * *factor as f64;
            (product >= 0.0 && product < u64::MAX as f64).then_some(product.round() as u64)
        }
    }
}

fn write(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let smallest = units.iter().min_by_key(|(_, factor)| factor).expect("the tables are not empty");
    let (name, factor) =
        units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor)).unwrap_or(smallest);
    write!(f, "{}{name}", value / factor)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIMES, f)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, &SIZES, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses a whole number, or text through `parse`.
struct Quantity {
    expecting: &'static str,
    number_factor: u64,
    units: &'static [(&'static str, u64)],
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        number.checked_mul(self.number_factor).ok_or_else(|| E::custom("the number is too large"))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let number = u64::try_from(number).map_err(|_| E::custom("it must not be negative"))?;
        self.visit_u64(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text, self.units).ok_or_else(|| E::custom(format!("\"{text}\" is not {}", self.expecting)))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "a duration such as \"500ms\", \"30s\", \"5m\", \"12h\" or \"7d\"";
        let quantity = Quantity { expecting: EXPECTING, number_factor: 1000, units: &TIMES };
        deserializer.deserialize_any(quantity).map(Self::millis)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "a size such as \"64KiB\", \"16MiB\" or \"2GiB\"";
        let quantity = Quantity { expecting: EXPECTING, number_factor: 1, units: &SIZES };
        deserializer.deserialize_any(quantity).map(Self)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*([dD]|[hH]|[mM]|[sS]|[mM][sS])\\s*$",
            "minimum": 0,
            "format": "duration",
            "examples": ["500ms", "30s", "5m", "12h", "7d"],
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtT][iI]?)?[bB]\\s*$",
            "minimum": 0,
            "format": "byte-size",
            "examples": ["64KiB", "16MiB", "2GiB"],
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_problem_of_the_settings_as_a_whole_has_no_key_before_it() {
        assert_eq!(SettingsProblem::new("rate", "is odd").to_string(), "rate: is odd");
        assert_eq!(SettingsProblem::new("", "is odd").to_string(), "is odd");
    }

    #[test]
    fn a_value_outside_its_bounds_is_named_with_both_of_them() {
        let problem = outside("wait", Duration::secs(61), Duration::millis(50), Duration::secs(60));
        assert_eq!(problem.unwrap().to_string(), "wait: 61s is not between 50ms and 1m");
        assert_eq!(outside("seats", 0, 1, 9).unwrap().message, "0 is not between 1 and 9");
        assert!([1, 9].into_iter().all(|value| outside("seats", value, 1, 9).is_none()));
    }

    fn duration(text: &str) -> Result<Duration, String> {
        serde_json::from_value(serde_json::Value::String(text.into())).map_err(|error| error.to_string())
    }

    #[test]
    fn times_and_sizes_are_read_as_people_write_them() {
        assert_eq!(duration("1.5s").unwrap(), Duration::millis(1500));
        assert_eq!(duration("5m").unwrap(), Duration::secs(300));
        assert_eq!(serde_json::from_str::<Duration>("7").unwrap(), Duration::secs(7));
        assert_eq!(serde_json::from_str::<ByteSize>("\"16MiB\"").unwrap(), ByteSize::mib(16));
        assert_eq!(serde_json::from_str::<ByteSize>("\"1 mb\"").unwrap(), ByteSize::bytes(1_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_value_and_an_example() {
        assert_eq!(
            duration("soon").unwrap_err(),
            "\"soon\" is not a duration such as \"500ms\", \"30s\", \"5m\", \"12h\" or \"7d\""
        );
        assert!(serde_json::from_str::<Duration>("-1").is_err());
        assert!(serde_json::from_str::<ByteSize>("\"99999999999TiB\"").is_err());
    }

    proptest! {
        #[test]
        fn every_size_is_read_as_it_was_written(bytes: u64) {
            let size = ByteSize::bytes(bytes);
            let text = serde_json::to_string(&size).unwrap();
            prop_assert_eq!(serde_json::from_str::<ByteSize>(&text).unwrap(), size);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = duration(&text);
        }
    }
}
