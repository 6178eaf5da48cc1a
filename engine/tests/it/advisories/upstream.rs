//! An upstream that answers with whatever bytes a test has for a path.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::raw::read_request;

/// What it says to a path for which there is nothing else.
const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// Between the parts of an answer that are not to arrive together.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers by path, each in the pieces in which it is sent.
pub(super) type Script = Vec<(String, Vec<Vec<u8>>)>;

/// A request that it got.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Which of its connections brought it.
    pub(super) connection: usize,
    pub(super) head: String,
}

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Upstream {
    pub(super) async fn start(script: Script) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::<Mutex<Vec<Request>>>::default();
        let (shared, script) = (Arc::clone(&log), Arc::new(script));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(stream, connection, shared.clone(), script.clone()));
            }
        });
        Upstream { address, log }
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// The last one.
    pub(super) fn last(&self) -> Request {
        self.seen().pop().unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: Arc<Mutex<Vec<Request>>>,
    script: Arc<Script>,
) {
    while let Some((head, _)) = read_request(&mut stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        log.lock().unwrap().push(Request { connection, head });
        let scripted = script.iter().find(|(of, _)| *of == path);
        let good = vec![GOOD.to_vec()];
        for (n, piece) in scripted
            .map_or(&good, |(_, pieces)| pieces)
            .iter()
            .enumerate()
        {
            if n > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if stream.write_all(piece).await.is_err() {
                return;
            }
        }
    }
}
