//! Conversion between Rust values and the four kinds of database values.

use bytes::Bytes;

use super::DbError;
use crate::database::v1::Value;
use crate::database::v1::value::Kind;

/// A parameter of a statement; made by [`params!`](crate::params).
#[derive(Debug, Clone)]
pub struct Param(Result<Option<Kind>, String>);

impl Param {
    fn kind(kind: Kind) -> Self {
        Self(Ok(Some(kind)))
    }
}

/// The parameters in wire form; a value that does not fit is an error here, so that nothing is silently
/// truncated.
pub(super) fn into_wire(params: Vec<Param>, statement: usize) -> Result<Vec<Value>, DbError> {
    let checked = (1..).zip(params).map(|(number, param)| match param.0 {
        Ok(kind) => Ok(Value { kind }),
        Err(reason) => Err(DbError::Invalid {
            message: format!("parameter ${number} of statement {statement}: {reason}"),
        }),
    });
    checked.collect()
}

macro_rules! integer_param {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Param {
            fn from(value: $integer) -> Self {
                Self::kind(Kind::Integer(i64::from(value)))
            }
        }
    )*};
}
integer_param!(i64, i32, i16, i8, u32, u16, u8, bool);

macro_rules! checked_param {
    ($($integer:ty),*) => {$(
        /// More than `i64::MAX` is refused when the statement is run.
        impl From<$integer> for Param {
            fn from(value: $integer) -> Self {
                match i64::try_from(value) {
                    Ok(value) => Self::kind(Kind::Integer(value)),
                    Err(_) => Self(Err(format!("{value} is more than a 64-bit signed integer holds"))),
                }
            }
        }
    )*};
}
checked_param!(u64, usize);

impl From<f64> for Param {
    fn from(value: f64) -> Self {
        Self::kind(Kind::Real(value))
    }
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Self::kind(Kind::Text(value.to_owned()))
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Self::kind(Kind::Text(value))
    }
}

impl From<&String> for Param {
    fn from(value: &String) -> Self {
        Self::kind(Kind::Text(value.clone()))
    }
}

impl From<Bytes> for Param {
    fn from(value: Bytes) -> Self {
        Self::kind(Kind::Blob(value))
    }
}

impl From<&Bytes> for Param {
    fn from(value: &Bytes) -> Self {
        Self::kind(Kind::Blob(value.clone()))
    }
}

impl From<Vec<u8>> for Param {
    fn from(value: Vec<u8>) -> Self {
        Self::kind(Kind::Blob(value.into()))
    }
}

impl From<&[u8]> for Param {
    fn from(value: &[u8]) -> Self {
        Self::kind(Kind::Blob(Bytes::copy_from_slice(value)))
    }
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(Ok(None)), Into::into)
    }
}

impl From<Value> for Param {
    fn from(value: Value) -> Self {
        Self(Ok(value.kind))
    }
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// The value as this type, or why it cannot be read.
    ///
    /// # Errors
    /// A text for people: the actual value.
    fn from_value(value: &Value) -> Result<Self, String>;
}

fn instead(wanted: &str, value: &Value) -> String {
    let found = match &value.kind {
        None => "NULL".to_owned(),
        Some(Kind::Integer(value)) => format!("the integer {value}"),
        Some(Kind::Real(value)) => format!("the real number {value}"),
        Some(Kind::Text(_)) => "text".to_owned(),
        Some(Kind::Blob(_)) => "a blob".to_owned(),
    };
    format!("holds {found}, not {wanted}")
}

macro_rules! integer_column {
    ($($integer:ty),*) => {$(
        impl FromValue for $integer {
            fn from_value(value: &Value) -> Result<Self, String> {
                match value.kind {
                    Some(Kind::Integer(found)) => Self::try_from(found).ok(),
                    _ => None,
                }
                .ok_or_else(|| instead(concat!("an integer that fits ", stringify!($integer)), value))
            }
        }
    )*};
}
integer_column!(i64, i32, i16, u64, u32, u16, u8, usize);

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value.kind {
            Some(Kind::Integer(0)) => Ok(false),
            Some(Kind::Integer(1)) => Ok(true),
            _ => Err(instead("0 or 1", value)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value.kind {
            Some(Kind::Real(found)) => Ok(found),
            // Both databases may return an integer for a real number.
            #[allow(clippy::cast_precision_loss)]
            Some(Kind::Integer(found)) => Ok(found as f64),
            _ => Err(instead("a number", value)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, String> {
        match &value.kind {
            Some(Kind::Text(found)) => Ok(found.clone()),
            _ => Err(instead("text", value)),
        }
    }
}

impl FromValue for Bytes {
    fn from_value(value: &Value) -> Result<Self, String> {
        match &value.kind {
            Some(Kind::Blob(found)) => Ok(found.clone()),
            _ => Err(instead("a blob", value)),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, String> {
        Bytes::from_value(value).map(Self::from)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value.kind {
            None => Ok(None),
            Some(_) => T::from_value(value).map(Some),
        }
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sent<T: Into<Param>>(value: T) -> Value {
        into_wire(vec![value.into()], 0).unwrap().remove(0)
    }

    #[test]
    fn a_value_that_is_sent_is_read_back_the_same() {
        assert_eq!(i64::from_value(&sent(i64::MIN)), Ok(i64::MIN));
        assert_eq!(u64::from_value(&sent(7_u64)), Ok(7));
        assert_eq!(bool::from_value(&sent(true)), Ok(true));
        assert_eq!(f64::from_value(&sent(0.5)), Ok(0.5));
        assert_eq!(String::from_value(&sent("ü")), Ok("ü".into()));
        assert_eq!(Vec::<u8>::from_value(&sent(vec![0, 255])), Ok(vec![0, 255]));
        assert_eq!(Option::<i64>::from_value(&sent(None::<i64>)), Ok(None));
        assert_eq!(Option::<i64>::from_value(&sent(Some(1_i64))), Ok(Some(1)));
    }

    #[test]
    fn an_unsigned_number_beyond_63_bits_is_refused_and_not_wrapped() {
        let error = into_wire(crate::params![1, u64::MAX], 2).unwrap_err();
        assert!(error.to_string().contains("$2 of statement 2"), "{error}");
    }
}
