//! A client that speaks HTTP/2 frame by frame, as no library would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::raw::WAIT;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// RFC 9113 section 7.
pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The last four bytes of its payload's first eight: the reason of GOAWAY and, of
    /// RST_STREAM, its only ones.
    pub(super) fn reason(&self) -> u32 {
        let payload = self.payload.get(..8).unwrap_or(&self.payload);
        let last = payload.last_chunk::<4>().copied().unwrap_or_default();
        u32::from_be_bytes(last)
    }
}

/// A frame as it is sent.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A setting.
pub(super) fn setting(id: u8, value: u32) -> Vec<u8> {
    let mut payload = vec![0, id];
    payload.extend(value.to_be_bytes());
    payload
}

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub(super) fn window(size: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &setting(4, size))
}

/// WINDOW_UPDATE.
pub(super) fn more(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// A field without compression.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.bytes());
    bytes
}

/// The fields of a GET.
pub(super) fn get(path: &str) -> Vec<u8> {
    // :method GET, :scheme http, then :path and :authority by the indices of their names.
    let mut bytes = vec![0x82, 0x86, 0x04, path.len() as u8];
    bytes.extend(path.bytes());
    bytes.extend([0x01, 1, b'a']);
    bytes
}

/// The fields of a POST.
pub(super) fn post(path: &str) -> Vec<u8> {
    let mut bytes = get(path);
    bytes[0] = 0x83;
    bytes
}

/// A whole GET.
pub(super) fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path))
}

/// A request whose body is to come.
pub(super) fn begun(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &post(path))
}

/// The numbers of so many streams.
pub(super) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

type Writer = WriteHalf<Box<dyn Socket>>;

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that has begun.
pub(super) struct Attacker {
    writer: Writer,
    frames: mpsc::UnboundedReceiver<Frame>,
}

impl Attacker {
    pub(super) async fn connect(address: SocketAddr) -> Attacker {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Attacker::over(stream).await
    }

    /// Speaks over a stream that is connected already.
    pub(super) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let stream: Box<dyn Socket> = Box::new(stream);
        let (mut reader, writer) = tokio::io::split(stream);
        let (found, frames) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(frame) = read(&mut reader).await {
                if found.send(frame).is_err() {
                    break;
                }
            }
        });
        let mut attacker = Attacker { writer, frames };
        attacker.send(PREFACE).await;
        attacker.send(frame(SETTINGS, 0, 0, b"")).await;
        attacker
    }

    /// Sends what the other side takes: it may have closed.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(WAIT, self.writer.write_all(bytes.as_ref())).await;
        let _ = sent.expect("the proxy reads or closes");
    }

    /// The next frame of this kind; none if the connection closes before.
    pub(super) async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = timeout(WAIT, self.frames.recv()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no frame of kind {kind} in time"))?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The reason of the next reset, and the stream.
    pub(super) async fn reset(&mut self) -> Option<(u32, u32)> {
        let frame = self.next(RST_STREAM).await?;
        Some((frame.stream, frame.reason()))
    }

    /// Waits until the connection is closed, and gives the reason that was told last.
    pub(super) async fn end(mut self) -> Option<u32> {
        let mut told = None;
        while let Some(frame) = self.next(GOAWAY).await {
            told = Some(frame.reason());
        }
        told
    }

    /// Asks for a page and waits for the whole answer. Nothing else may be under way.
    pub(super) async fn is_served(&mut self, stream: u32) -> bool {
        self.send(request(stream, "/plain")).await;
        while let Ok(Some(frame)) = timeout(WAIT, self.frames.recv()).await {
            if frame.stream == stream && frame.flags & END_STREAM != 0 {
                return frame.kind == DATA || frame.kind == HEADERS;
            }
        }
        false
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, d, e, f, g] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([d, e, f, g]),
        payload,
    })
}

/// A little while, in which a client does nothing.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
