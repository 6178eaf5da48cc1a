//! An upstream that keeps every byte that it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What each connection has brought.
type Log = Arc<Mutex<Vec<Vec<u8>>>>;

/// With headers that are for whoever is connected with this upstream.
const HOPS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Internal\r\n\
    X-Internal: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Other: 2\r\n\r\nok";

const MOVED: &str =
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n";

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    log: Log,
}

/// A request as a server reads it that knows nothing but what it must.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: String,
    /// It was here to its end.
    pub(super) is_whole: bool,
}

impl Request {
    /// Method and target.
    pub(super) fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }
}

impl Upstream {
    pub(super) async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let shared = log.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = {
                    let mut log = shared.lock().unwrap();
                    log.push(Vec::new());
                    log.len() - 1
                };
                tokio::spawn(serve(stream, shared.clone(), place));
            }
        });
        Upstream { address, log }
    }

    /// What each connection has brought until now.
    pub(super) fn seen(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        log.iter()
            .filter(|bytes| !bytes.is_empty())
            .map(text)
            .collect()
    }

    /// The same, and forgets it.
    pub(super) fn take(&self) -> Vec<String> {
        let seen = self.seen();
        self.log.lock().unwrap().iter_mut().for_each(Vec::clear);
        seen
    }
}

/// Answers each request when it is here in full. For `/switch` it changes to a protocol in
/// which it repeats what it hears.
async fn serve(mut stream: TcpStream, log: Log, place: usize) {
    let mut waiting = Vec::new();
    let mut room = vec![0; 64 * 1024];
    loop {
        let Ok(read) = stream.read(&mut room).await else {
            return;
        };
        if read == 0 {
            return;
        }
        log.lock().unwrap()[place].extend(&room[..read]);
        waiting.extend(&room[..read]);
        while let Some((request, len)) = next(&waiting) {
            if !request.is_whole {
                break;
            }
            waiting.drain(..len);
            if request.line() == "GET /switch" {
                let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(agreed.as_bytes()).await.unwrap();
                return repeat(stream).await;
            }
            let answer = match request.line() {
                "GET /hops" => HOPS,
                "GET /moved" => MOVED,
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn repeat(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

/// The requests that these connections have brought.
pub(super) fn requests(seen: &[String]) -> Vec<Request> {
    let mut all = Vec::new();
    for bytes in seen {
        let mut rest = bytes.as_bytes();
        while let Some((request, len)) = next(rest) {
            all.push(request);
            rest = &rest[len..];
        }
    }
    all
}

/// The first request of these bytes, and where it ends.
fn next(bytes: &[u8]) -> Option<(Request, usize)> {
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some(end) = text.find("\r\n\r\n").map(|end| end + 4) else {
        let request = Request {
            head: text,
            body: String::new(),
            is_whole: false,
        };
        return Some((request, bytes.len()));
    };
    let (head, rest) = text.split_at(end);
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let (body, len) = match (field("transfer-encoding"), field("content-length")) {
        (Some(_), _) => unchunked(rest),
        (None, length) => {
            let len: usize = length.map_or(0, |length| length.parse().unwrap());
            (rest.get(..len).map(str::to_owned), len)
        }
    };
    let is_whole = body.is_some();
    let len = if is_whole { end + len } else { bytes.len() };
    let request = Request {
        head: head.to_owned(),
        body: body.unwrap_or_default(),
        is_whole,
    };
    Some((request, len))
}

fn unchunked(mut rest: &str) -> (Option<String>, usize) {
    let (all, mut body) = (rest.len(), String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let (Some(chunk), Some(next)) = (after.get(..size), after.get(size + 2..)) else {
            break;
        };
        body.push_str(chunk);
        rest = next;
        if size == 0 {
            return (Some(body), all - rest.len());
        }
    }
    (None, all)
}
