//! Range requests (RFC 9110 §14): the requested part of a resource. Pure: never does I/O.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::conditional::Validators;

/// The requested part of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: 200.
    Whole,
    /// From the first byte to the second, exclusive: 206.
    Slice(u64, u64),
    /// Outside of the resource: 416.
    Unsatisfiable,
}

impl Part {
    /// The part that a request for `size` bytes with these validators selects, once its preconditions hold.
    /// `Range` is defined for `GET` alone (§14.2).
    pub fn of(method: &Method, request: &HeaderMap, validators: &Validators<'_>, size: u64) -> Self {
        let mut lines = request.get_all(header::RANGE).iter();
        match (lines.next(), lines.next()) {
            (Some(range), None) if method == Method::GET && validators.has_range(request) => {
                Self::parse(range, size)
            }
            _ => Self::Whole,
        }
    }

    /// The value of `Content-Range` (§14.4); `None` for the whole.
    pub fn content_range(&self, size: u64) -> Option<HeaderValue> {
        let range = match self {
            Self::Whole => return None,
            Self::Slice(first, end) => format!("bytes {first}-{}/{size}", end - 1),
            Self::Unsatisfiable => format!("bytes */{size}"),
        };
        Some(HeaderValue::try_from(range).expect("digits and punctuation are a field value"))
    }

    /// One `bytes` range. Several ranges, other units and malformed ones are ignored, as §14.2 allows.
    fn parse(field: &HeaderValue, size: u64) -> Self {
        let Ok(field) = field.to_str() else { return Self::Whole };
        let Some((unit, range)) = field.split_once('=') else { return Self::Whole };
        let Some((first, last)) = range.trim().split_once('-') else { return Self::Whole };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !unit.trim().eq_ignore_ascii_case("bytes") || !digits(first) || !digits(last) {
            return Self::Whole;
        }
        // More digits than fit a u64 are beyond any end.
        let number = |text: &str| text.parse().unwrap_or(u64::MAX);
        match (first, last) {
            ("", "") => Self::Whole,
            ("", suffix) => match number(suffix).min(size) {
                0 => Self::Unsatisfiable,
                suffix => Self::Slice(size - suffix, size),
            },
            (first, last) if !last.is_empty() && number(last) < number(first) => Self::Whole,
            (first, _) if number(first) >= size => Self::Unsatisfiable,
            (first, "") => Self::Slice(number(first), size),
            (first, last) => Self::Slice(number(first), number(last).saturating_add(1).min(size)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(field: &str, size: u64) -> Part {
        Part::parse(&HeaderValue::from_str(field).unwrap(), size)
    }

    #[test]
    fn one_range_is_cut_to_what_there_is() {
        for (field, part) in [
            ("bytes=0-9", Part::Slice(0, 10)),
            ("bytes=0-0", Part::Slice(0, 1)),
            ("bytes=90-", Part::Slice(90, 100)),
            ("bytes=90-500", Part::Slice(90, 100)),
            ("bytes=-10", Part::Slice(90, 100)),
            ("bytes=-500", Part::Slice(0, 100)),
            ("bytes=0-99999999999999999999999", Part::Slice(0, 100)),
            ("Bytes = 4-99999999999999999999999", Part::Slice(4, 100)),
        ] {
            assert_eq!(range(field, 100), part, "{field}");
        }
    }

    #[test]
    fn a_range_beyond_the_end_cannot_be_satisfied() {
        for field in ["bytes=100-", "bytes=100-120", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(range(field, 100), Part::Unsatisfiable, "{field}");
        }
        assert_eq!(range("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(range("bytes=-1", 0), Part::Unsatisfiable);
    }

    #[test]
    fn several_ranges_and_nonsense_give_the_whole() {
        for field in [
            "bytes=0-1,3-4",
            "bytes=9-3",
            "bytes=500-400",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=+1-2",
            "lines=0-1",
            "0-1",
        ] {
            assert_eq!(range(field, 100), Part::Whole, "{field}");
        }
        let lines = ["bytes=0-1", "bytes=3-4"].map(|line| (header::RANGE, HeaderValue::from_static(line)));
        let mut request = HeaderMap::new();
        request.extend(lines);
        assert_eq!(Part::of(&Method::GET, &request, &Validators::default(), 100), Part::Whole);
    }

    #[test]
    fn a_range_is_for_get_and_for_the_state_that_if_range_names() {
        let tag = HeaderValue::from_static("\"tag\"");
        let validators = Validators { etag: Some(&tag), modified: None };
        let fields = |condition: &str| {
            let range = HeaderValue::from_static("bytes=0-1");
            HeaderMap::from_iter([(header::RANGE, range), (header::IF_RANGE, condition.parse().unwrap())])
        };
        assert_eq!(Part::of(&Method::GET, &fields("\"tag\""), &validators, 9), Part::Slice(0, 2));
        assert_eq!(Part::of(&Method::HEAD, &fields("\"tag\""), &validators, 9), Part::Whole);
        for other in ["\"old\"", "W/\"tag\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(Part::of(&Method::GET, &fields(other), &validators, 9), Part::Whole, "{other}");
        }
    }

    #[test]
    fn a_part_says_where_it_lies() {
        let says = |part: Part| part.content_range(10).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(says(Part::Slice(2, 5)).as_deref(), Some("bytes 2-4/10"));
        assert_eq!(says(Part::Unsatisfiable).as_deref(), Some("bytes */10"));
        assert_eq!(says(Part::Whole), None);
    }

    proptest! {
        #[test]
        fn no_range_field_makes_it_panic_or_reach_outside(
            field in "\\PC{0,40}|bytes=[0-9]{0,25}-[0-9]{0,25}",
            size in 0_u64..1000,
        ) {
            if let Ok(field) = HeaderValue::from_str(&field)
                && let Part::Slice(first, end) = Part::parse(&field, size)
            {
                prop_assert!(first < end && end <= size);
            }
        }
    }
}
