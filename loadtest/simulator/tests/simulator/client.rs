//! An HTTP/1.1 client that shows what arrived, however broken.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use penstock_simulator::{Settings, Simulator};
use serde_json::Value;

/// What came back before the connection ended.
pub(crate) struct Arrived {
    pub(crate) head: String,
    pub(crate) raw_body: Vec<u8>,
    /// How the connection ended: `None` is a FIN.
    pub(crate) error: Option<ErrorKind>,
}

impl Arrived {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    }

    /// The body and whether it is complete by its framing.
    pub(crate) fn body(&self) -> (Vec<u8>, bool) {
        if self.header("transfer-encoding") == Some("chunked") {
            return dechunk(&self.raw_body);
        }
        let length: usize = self
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        (self.raw_body.clone(), self.raw_body.len() == length)
    }

    pub(crate) fn json(&self) -> Value {
        let (body, complete) = self.body();
        assert!(complete, "{} {}", self.head, String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let text = String::from_utf8(self.body().0).unwrap();
        text.split_terminator("\n\n")
            .map(|event| event.strip_prefix("data: ").unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn start() -> Simulator {
    penstock_simulator::start(Settings::instant()).unwrap()
}

pub(crate) fn start_with(text: &str) -> Simulator {
    let mut settings = Settings::instant();
    for pair in text.split_whitespace() {
        let (name, value) = pair.split_once('=').unwrap();
        settings.set(name, value).unwrap();
    }
    penstock_simulator::start(settings).unwrap()
}

pub(crate) fn connect(simulator: &Simulator) -> TcpStream {
    let socket = TcpStream::connect(simulator.address()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

pub(crate) fn get(simulator: &Simulator, path: &str) -> Arrived {
    exchange(
        simulator,
        &format!("GET {path} HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n"),
    )
}

/// `headers` are whole lines, each with its line end.
pub(crate) fn post(simulator: &Simulator, path: &str, headers: &str, body: &str) -> Arrived {
    exchange(
        simulator,
        &post_text(path, &format!("connection: close\r\n{headers}"), body),
    )
}

pub(crate) fn post_text(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: s\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

pub(crate) fn exchange(simulator: &Simulator, request: &str) -> Arrived {
    let mut socket = connect(simulator);
    socket.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut socket)
}

pub(crate) fn read_to_end(socket: &mut TcpStream) -> Arrived {
    let mut bytes = Vec::new();
    let error = socket
        .read_to_end(&mut bytes)
        .err()
        .map(|error| error.kind());
    let head_end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    let raw_body = bytes.split_off(head_end);
    Arrived {
        head: String::from_utf8(bytes).unwrap(),
        raw_body,
        error,
    }
}

/// Reads until the text appears.
pub(crate) fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let length = socket.read(&mut buffer).unwrap();
        assert!(
            length > 0,
            "ended before {text}: {}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Waits for what another thread is about to bring about.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) const CHAT: &str = "/v1/chat/completions";

pub(crate) fn chat(more: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"one two three"}}]{more}}}"#)
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = raw.windows(2).position(|window| window == b"\r\n") else {
            return (body, false);
        };
        let length = std::str::from_utf8(&raw[..line_end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        raw = &raw[line_end + 2..];
        if length == 0 {
            return (body, raw == b"\r\n");
        }
        if raw.len() < length + 2 {
            body.extend_from_slice(&raw[..length.min(raw.len())]);
            return (body, false);
        }
        body.extend_from_slice(&raw[..length]);
        raw = &raw[length + 2..];
    }
}
