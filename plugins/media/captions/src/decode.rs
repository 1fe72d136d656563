//! From bytes to text: UTF-8, or UTF-16 with a byte order mark, with `\n` at the ends of lines.

use crate::upload::CaptionsError;

const UTF8: [u8; 3] = [0xEF, 0xBB, 0xBF];
const UTF16_LE: [u8; 2] = [0xFF, 0xFE];
const UTF16_BE: [u8; 2] = [0xFE, 0xFF];

/// The text without its byte order mark.
pub(crate) fn text(bytes: &[u8]) -> Result<String, CaptionsError> {
    let text = if let Some(units) = bytes.strip_prefix(&UTF16_LE) {
        utf16(units, u16::from_le_bytes)?
    } else if let Some(units) = bytes.strip_prefix(&UTF16_BE) {
        utf16(units, u16::from_be_bytes)?
    } else {
        utf8(bytes.strip_prefix(&UTF8).unwrap_or(bytes))?
    };
    if let Some(at) = text.find('\0') {
        let problem = "there is a NUL in it, which no text has; if it is UTF-16 without a byte order mark, save it as \
                       UTF-8";
        return Err(CaptionsError::at(line_at(&text.as_bytes()[..at]), problem.to_owned()));
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn utf8(bytes: &[u8]) -> Result<String, CaptionsError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let problem = "the file is neither UTF-8 nor UTF-16 with a byte order mark; save the file as UTF-8";
        CaptionsError::at(line_at(&bytes[..error.valid_up_to()]), problem.to_owned())
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, CaptionsError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let broken = |text: &str| {
        let problem =
            "the byte order mark is that of UTF-16, but the text is not UTF-16; save the file as UTF-8";
        CaptionsError::at(line_at(text.as_bytes()), problem.to_owned())
    };
    for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match c {
            Ok(c) => text.push(c),
            Err(_) => return Err(broken(&text)),
        }
    }
    if rest.is_empty() { Ok(text) } else { Err(broken(&text)) }
}

/// The number of the line after these bytes. A single `\r` ends a line as well.
fn line_at(before: &[u8]) -> usize {
    let mut following = before.iter().skip(1);
    let ends = before.iter().filter(|byte| {
        let next = following.next();
        **byte == b'\n' || (**byte == b'\r' && next != Some(&b'\n'))
    });
    1 + ends.count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2], mark: [u8; 2]) -> Vec<u8> {
        [mark.to_vec(), text.encode_utf16().flat_map(unit).collect()].concat()
    }

    #[test]
    fn utf_8_and_utf_16_are_the_same_text_with_the_same_line_ends() {
        let given = "Zürich\r\n😀\rc\n";
        for bytes in [
            given.as_bytes().to_vec(),
            [&UTF8, given.as_bytes()].concat(),
            utf16(given, u16::to_le_bytes, UTF16_LE),
            utf16(given, u16::to_be_bytes, UTF16_BE),
        ] {
            assert_eq!(text(&bytes).unwrap(), "Zürich\n😀\nc\n");
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        for (bytes, error) in [
            (&b"a\nb\r\nZ\xfcrich"[..], "line 3: the file is neither UTF-8"),
            (b"a\rb\r\0", "line 3: there is a NUL in it"),
            (b"\xff\xfea\0\n\0\0\xd8", "line 2: the byte order mark is that of UTF-16"),
            (b"\xfe\xff\0a\n", "line 1: the byte order mark is that of UTF-16"),
        ] {
            let found = text(bytes).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
