//! Sign-In with Ethereum, EIP-4361: the message, parsed strictly by its ABNF, and the checks for acceptance.
//! It never handles a signature.

use std::fmt;

use streamgate_contracts::ethereum::Address;
use streamgate_plugin_api::time::parse_rfc3339;

use crate::error::{AuthError, Why};
use crate::origin::Origin;

/// Maximum length of a message, in bytes.
pub(crate) const MAX_BYTES: usize = 8 * 1024;
const PREAMBLE: &str = " wants you to sign in with your Ethereum account:";

/// An EIP-4361 message. Printing it yields the bytes that it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) scheme: Option<String>,
    pub(crate) domain: String,
    pub(crate) address: Address,
    /// As written: with the checksum, or in one case.
    pub(crate) address_text: String,
    /// `Some("")`: the line is present, and empty.
    pub(crate) statement: Option<String>,
    pub(crate) uri: String,
    pub(crate) chain_id: u64,
    /// As written: possibly with leading zeros.
    pub(crate) chain_text: String,
    pub(crate) nonce: String,
    pub(crate) issued_at: String,
    pub(crate) expiration_time: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) request_id: Option<String>,
    /// `None` without the line `Resources:`.
    pub(crate) resources: Option<Vec<String>>,
}

/// The requirements for a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) origins: &'a [Origin],
    pub(crate) chain_ids: &'a [u64],
    pub(crate) now_ms: i64,
    /// Tolerated difference of the wallet's clock.
    pub(crate) skew_ms: i64,
    /// Maximum age.
    pub(crate) max_age_ms: i64,
}

impl Message {
    /// Parses a message.
    ///
    /// # Errors
    /// The violation of EIP-4361, as text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has {} bytes, more than {MAX_BYTES}", text.len()));
        }
        if !text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)) {
            return Err("it has characters other than printable ASCII and line feeds".into());
        }
        let mut lines = Lines(text.split('\n').collect(), 0);
        let first = lines.next("the first line")?;
        let site = first.strip_suffix(PREAMBLE).ok_or("the first line is not that of EIP-4361")?;
        let (scheme, domain) = match site.split_once("://") {
            Some((scheme, domain)) if is_scheme(scheme) => (Some(scheme.to_owned()), domain),
            Some(_) => return Err("the scheme of the first line is invalid".into()),
            None => (None, site),
        };
        if domain.is_empty() || !is_authority(domain) {
            return Err(format!("`{domain}` is not a domain"));
        }
        let address_text = lines.next("the address")?.to_owned();
        let address = address(&address_text)?;
        lines.blank()?;
        let statement = match lines.next("the statement")? {
            "" if lines.peek() != Some("") => None,
            statement if statement.bytes().all(in_statement) => {
                lines.blank()?;
                Some(statement.to_owned())
            }
            _ => return Err("the statement has characters that EIP-4361 does not allow".into()),
        };
        let uri = lines.field("URI: ")?.to_owned();
        if !is_uri(&uri) {
            return Err(format!("`{uri}` is not a URI"));
        }
        if lines.field("Version: ")? != "1" {
            return Err("its version is not 1".into());
        }
        let chain = lines.field("Chain ID: ")?;
        let digits = !chain.is_empty() && chain.bytes().all(|b| b.is_ascii_digit());
        let chain_id = chain.parse().ok().filter(|_| digits).ok_or(format!("`{chain}` is not a chain id"))?;
        let nonce = lines.field("Nonce: ")?.to_owned();
        if nonce.len() < 8 || !nonce.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err("its nonce is not at least eight letters and digits".into());
        }
        let issued_at = lines.field("Issued At: ")?.to_owned();
        let expiration_time = lines.option("Expiration Time: ");
        let not_before = lines.option("Not Before: ");
        for time in [Some(&issued_at), expiration_time.as_ref(), not_before.as_ref()].into_iter().flatten() {
            parse_rfc3339(time).ok_or_else(|| format!("`{time}` is not a time in RFC 3339 format"))?;
        }
        let request_id = lines.option("Request ID: ");
        if request_id.as_ref().is_some_and(|id| !is_made_of(id, is_pchar)) {
            return Err("its request id has characters that EIP-4361 does not allow".into());
        }
        let resources = lines.resources()?;
        if !lines.is_empty() {
            return Err(format!("line {} is not a line of EIP-4361, or not in its place", lines.1 + 1));
        }
        let message = Self {
            scheme,
            domain: domain.to_owned(),
            address,
            address_text,
            statement,
            uri,
            chain_id,
            chain_text: chain.to_owned(),
            nonce,
            issued_at,
            expiration_time,
            not_before,
            request_id,
            resources,
        };
        // Two readings of one text would be two messages under one signature.
        if message.to_string() != text {
            return Err("it is not in the canonical form of EIP-4361".into());
        }
        Ok(message)
    }

    /// Whether it is meant for this site, for an accepted chain, and for now. The creator of the nonce checks
    /// that.
    pub(crate) fn check(&self, terms: &Terms<'_>) -> Result<(), AuthError> {
        let Some(origin) = terms.origins.iter().find(|origin| origin.authority == self.domain) else {
            return Err(Why::WrongDomain.because(format!("It was signed for `{}`.", self.domain)));
        };
        if let Some(scheme) = self.scheme.as_ref().filter(|scheme| **scheme != origin.scheme) {
            let detail =
                format!("It was signed for `{scheme}://{}`, not for {}.", self.domain, origin.text());
            return Err(Why::WrongDomain.because(detail));
        }
        if !terms.origins.iter().any(|origin| origin.holds(&self.uri)) {
            let detail = format!(
                "Its URI `{}` is not at an address of this server (`public_url`, `origins`, `allowed_origins`).",
                self.uri
            );
            return Err(Why::WrongDomain.because(detail));
        }
        if !terms.chain_ids.contains(&self.chain_id) {
            let detail = format!("It was signed for the chain {}, which is not accepted.", self.chain_id);
            return Err(Why::WrongChain.because(detail));
        }
        let read = |time: &String| {
            parse_rfc3339(time).ok_or_else(|| Why::InvalidMessage.because("One of its times is invalid."))
        };
        let late = |what: &str| {
            Err(Why::WrongTime.because(format!("{what} Request a new one, and check the clock.")))
        };
        let issued = read(&self.issued_at)?;
        if issued > terms.now_ms.saturating_add(terms.skew_ms) {
            return late("It was issued in the future.");
        }
        if issued < terms.now_ms.saturating_sub(terms.max_age_ms).saturating_sub(terms.skew_ms) {
            return late("It was issued too long ago.");
        }
        if let Some(time) = &self.expiration_time
            && read(time)? <= terms.now_ms
        {
            return late("It has expired.");
        }
        if let Some(time) = &self.not_before
            && read(time)? > terms.now_ms.saturating_add(terms.skew_ms)
        {
            return late("It is not valid yet.");
        }
        // The tolerance is for clocks that differ; these times are all of one clock.
        if let Some(end) = &self.expiration_time {
            let ends = read(end)?;
            let begins = self.not_before.as_ref().map_or(Ok(issued), read)?;
            if ends <= issued || ends <= begins {
                let detail = format!("It ends at {end}, before it was issued or begins: it is never valid.");
                return Err(Why::InvalidMessage.because(detail));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}{PREAMBLE}\n{}\n\n", self.domain, self.address_text)?;
        if let Some(statement) = &self.statement {
            writeln!(f, "{statement}")?;
        }
        write!(f, "\nURI: {}\nVersion: 1\nChain ID: {}", self.uri, self.chain_text)?;
        write!(f, "\nNonce: {}\nIssued At: {}", self.nonce, self.issued_at)?;
        let options = [
            ("Expiration Time", &self.expiration_time),
            ("Not Before", &self.not_before),
            ("Request ID", &self.request_id),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                write!(f, "\n{name}: {value}")?;
            }
        }
        if let Some(resources) = &self.resources {
            write!(f, "\nResources:")?;
            for resource in resources {
                write!(f, "\n- {resource}")?;
            }
        }
        Ok(())
    }
}

/// An address in one case, or with the checksum of EIP-55.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("`{text}` is not an Ethereum address");
    // An ABNF string is case-insensitive (RFC 5234 §2.3).
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let plain = format!("0x{}", digits.ok_or_else(wrong)?);
    Address::parse(&plain).ok_or_else(wrong)?;
    Address::parse_checked(&plain)
        .ok_or_else(|| format!("the checksum of the address `{text}` is wrong (EIP-55)"))
}

/// The lines of a message, and the position in them.
struct Lines<'a>(Vec<&'a str>, usize);

impl<'a> Lines<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        let line = self.0.get(self.1).copied().ok_or_else(|| format!("it ends before {what}"))?;
        self.1 += 1;
        Ok(line)
    }

    fn peek(&self) -> Option<&'a str> {
        self.0.get(self.1).copied()
    }

    fn blank(&mut self) -> Result<(), String> {
        match self.next("an empty line")? {
            "" => Ok(()),
            _ => Err(format!("line {} is not empty", self.1)),
        }
    }

    fn field(&mut self, name: &str) -> Result<&'a str, String> {
        let line = self.next(name)?;
        line.strip_prefix(name).ok_or_else(|| format!("line {} does not begin with `{name}`", self.1))
    }

    fn option(&mut self, name: &str) -> Option<String> {
        let value = self.0.get(self.1)?.strip_prefix(name)?;
        self.1 += 1;
        Some(value.to_owned())
    }

    fn resources(&mut self) -> Result<Option<Vec<String>>, String> {
        if self.0.get(self.1) != Some(&"Resources:") {
            return Ok(None);
        }
        self.1 += 1;
        let mut found = Vec::new();
        while let Some(resource) = self.option("- ") {
            if !is_uri(&resource) {
                return Err(format!("the resource `{resource}` is not a URI"));
            }
            found.push(resource);
        }
        Ok(Some(found))
    }

    fn is_empty(&self) -> bool {
        self.1 == self.0.len()
    }
}

// RFC 3986, as far as EIP-4361 refers to it.

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~".contains(&b)
}

fn is_sub_delim(b: u8) -> bool {
    b"!$&'()*+,;=".contains(&b)
}

fn in_statement(b: u8) -> bool {
    is_unreserved(b) || is_sub_delim(b) || b":/?#[]@ ".contains(&b)
}

fn is_pchar(b: u8) -> bool {
    is_unreserved(b) || is_sub_delim(b) || b":@".contains(&b)
}

/// Whether each character is `allowed` or part of a percent-encoded byte.
fn is_made_of(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let encoded = || bytes.next().zip(bytes.next());
        let good = match b {
            b'%' => encoded_digits(encoded),
            b => allowed(b),
        };
        if !good {
            return false;
        }
    }
    true
}

fn encoded_digits(mut next: impl FnMut() -> Option<(u8, u8)>) -> bool {
    next().is_some_and(|(high, low)| high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_authority(text: &str) -> bool {
    let (user, rest) = text.rsplit_once('@').unwrap_or(("", text));
    if !is_made_of(user, |b| is_unreserved(b) || is_sub_delim(b) || b == b':') {
        return false;
    }
    if let Some(literal) = rest.strip_prefix('[') {
        let Some((host, port)) = literal.split_once(']') else { return false };
        let digits = port.strip_prefix(':').unwrap_or(port);
        return is_ip_literal(host)
            && (port.is_empty() || port.starts_with(':'))
            && digits.bytes().all(|b| b.is_ascii_digit());
    }
    let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
    is_made_of(host, |b| is_unreserved(b) || is_sub_delim(b)) && port.bytes().all(|b| b.is_ascii_digit())
}

/// The text between brackets: IPv6, or a future version (`IPvFuture`).
fn is_ip_literal(text: &str) -> bool {
    let Some((version, address)) = text.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.')) else {
        return text.parse::<std::net::Ipv6Addr>().is_ok();
    };
    let in_address = |b: u8| is_unreserved(b) || is_sub_delim(b) || b == b':';
    !version.is_empty()
        && version.bytes().all(|b| b.is_ascii_hexdigit())
        && !address.is_empty()
        && address.bytes().all(in_address)
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match hierarchy.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            if !is_authority(&rest[..end]) {
                return false;
            }
            &rest[end..]
        }
        None => hierarchy,
    };
    is_scheme(scheme)
        && is_made_of(path, |b| is_pchar(b) || b == b'/')
        && [query, fragment].iter().all(|part| is_made_of(part, |b| is_pchar(b) || b"/?".contains(&b)))
}

#[cfg(test)]
#[path = "../tests/siwe.rs"]
mod tests;
