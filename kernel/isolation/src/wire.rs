//! The protocol of both sides of the sockets: addressees, limits, and the format of everything that is not
//! HTTP (the greeting, events, log records).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use streamgate_plugin_api::abi::{Event, Extra};

use crate::Limits;

/// Incremented with every change of the protocol. Both sides are one program, unless its file was replaced
/// meanwhile.
pub(crate) const PROTOCOL: u32 = 2;

/// Concurrent requests on one connection; [`RESERVED`] of them are for requests other than a plugin's.
pub(crate) const STREAMS: u32 = 1024;
pub(crate) const RESERVED: usize = 192;
/// How much of one body is buffered at the receiving side.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
/// The sum of all streams: unread bodies must not block the others.
pub(crate) const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS - 1);
/// How much of one body is buffered at the sending side.
pub(crate) const SEND_BUFFER: usize = 1 << 20;
pub(crate) const FRAME: u32 = 256 << 10;
pub(crate) const HEADERS: u32 = 1 << 20;
/// Requests that were cancelled before they were handled.
pub(crate) const RESETS: usize = 16 << 10;

/// Maximum size of an event, log record or answer other than a body.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// The authority of the plugin's entries.
pub(crate) const PLUGIN: &str = "plugin";
/// The authority of the public routes.
pub(crate) const PUBLIC: &str = "public";
/// The authority of the host.
pub(crate) const HOST: &str = "host";
/// The authority of the public prefixes; [`MOUNT_FIELD`] says which.
pub(crate) const MOUNT: &str = "mount";
pub(crate) const MOUNT_FIELD: &str = "streamgate-mount";
/// Behind a capability's name.
pub(crate) const CAPABILITY: &str = ".capability";

/// What the child needs before anything else. It is sent on the socket of requests before the first byte of
/// HTTP/2: a length of four bytes, then JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) plugin: String,
    pub(crate) cdylib: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    pub(crate) log: String,
    pub(crate) limits: Limits,
}

/// The plugin's start arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) settings: String,
    pub(crate) name: String,
    pub(crate) data_dir: String,
    pub(crate) extra: Vec<u8>,
}

/// One public prefix.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MountName {
    pub(crate) plugin: String,
    pub(crate) prefix: String,
    pub(crate) extra: Vec<u8>,
}

impl MountName {
    pub(crate) fn key(&self) -> String {
        format!("{} {}", self.plugin, self.prefix)
    }
}

/// All public prefixes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MountNames {
    pub(crate) generation: u64,
    pub(crate) mounts: Vec<MountName>,
    pub(crate) extra: Vec<u8>,
}

impl Hello {
    /// Writes it to a fresh socket, which accepts it at once.
    pub(crate) fn write(&self, socket: &mut UnixStream) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        socket.write_all(&(text.len() as u32).to_be_bytes())?;
        socket.write_all(&text)
    }

    pub(crate) fn read(socket: &mut UnixStream) -> io::Result<Self> {
        let mut len = [0; 4];
        socket.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > 1 << 20 {
            return Err(io::Error::other("the greeting is too long"));
        }
        let mut text = vec![0; len];
        socket.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// A message of texts and numbers, preceded by its length.
pub(crate) struct Message(BytesMut);

impl Message {
    pub(crate) fn new() -> Self {
        let mut out = BytesMut::with_capacity(256);
        out.put_u32(0);
        Self(out)
    }

    pub(crate) fn number(mut self, number: u32) -> Self {
        self.0.put_u32(number);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.put_u32(bytes.len() as u32);
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let len = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0.freeze()
    }
}

/// Reads what [`Message`] wrote, after its length. Missing parts are empty.
pub(crate) struct Fields(pub(crate) Bytes);

impl Fields {
    pub(crate) fn number(&mut self) -> u32 {
        if self.0.len() < 4 { 0 } else { self.0.get_u32() }
    }

    pub(crate) fn bytes(&mut self) -> Bytes {
        let len = (self.number() as usize).min(self.0.len());
        self.0.split_to(len)
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

/// Reassembles messages from the pieces of a body.
#[derive(Default)]
pub(crate) struct Messages(BytesMut);

impl Messages {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next complete message. The error is about one that is too long.
    pub(crate) fn next(&mut self) -> Result<Option<Fields>, &'static str> {
        let Some(len) = self.0.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*len) as usize;
        if len > MAX_MESSAGE {
            return Err("a message is longer than 16 MiB");
        }
        if self.0.len() < 4 + len {
            return Ok(None);
        }
        self.0.advance(4);
        Ok(Some(Fields(self.0.split_to(len).freeze())))
    }
}

pub(crate) fn event_message(event: &Event) -> Bytes {
    Message::new()
        .text(&event.id)
        .text(&event.source)
        .text(&event.kind)
        .text(&event.subject)
        .text(&event.time)
        .text(&event.datacontenttype)
        .text(&event.traceparent)
        .bytes(event.data.as_slice())
        .bytes(event.extra.as_bytes())
        .finish()
}

pub(crate) fn event(mut fields: Fields) -> Event {
    Event {
        id: fields.text().into(),
        source: fields.text().into(),
        kind: fields.text().into(),
        subject: fields.text().into(),
        time: fields.text().into(),
        datacontenttype: fields.text().into(),
        traceparent: fields.text().into(),
        data: fields.bytes().into(),
        extra: Extra::from_bytes(fields.bytes()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_were_cut() {
        let sent = Message::new().number(7).text("a").bytes(&[0; 300]).finish();
        let mut messages = Messages::default();
        let mut seen = 0;
        for byte in sent.iter().chain(sent.iter()) {
            messages.push(&[*byte]);
            while let Some(mut fields) = messages.next().unwrap() {
                assert_eq!((fields.number(), fields.text().as_str()), (7, "a"));
                assert_eq!(fields.bytes(), vec![0; 300]);
                assert_eq!((fields.number(), fields.text().as_str()), (0, ""));
                seen += 1;
            }
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn a_message_that_claims_too_much_is_refused() {
        let mut messages = Messages::default();
        messages.push(&u32::MAX.to_be_bytes());
        assert!(messages.next().is_err());
    }
}
