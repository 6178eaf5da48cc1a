//! What a request costs through the whole proxy, on each transport: over real sockets, a
//! simulator that answers at once behind it, and one worker.
//!
//! These are times as a client sees them, so they hold the client and the upstream too;
//! `loadtest/compare.py` measures the proxy's own processor time.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use penstock::live::Source;
use penstock::server::Server;
use penstock::upgrade::Inherited;
use penstock_simulator::{Settings, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One keep-alive connection and the request that it repeats.
struct Client {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr, body: usize) -> Client {
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: bench\r\ncontent-type: text/plain\r\ncontent-length: {body}\r\n\r\n"
        );
        let mut request = head.into_bytes();
        request.resize(request.len() + body, b'a');
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Client {
            socket,
            request,
            answer: Vec::new(),
        }
    }

    /// Sends the request and reads the answer, which repeats the body.
    async fn round_trip(&mut self, body: usize) {
        self.socket.write_all(&self.request).await.unwrap();
        self.answer.clear();
        loop {
            assert!(
                self.socket.read_buf(&mut self.answer).await.unwrap() > 0,
                "the proxy closed the connection"
            );
            let head = self
                .answer
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if head.is_some_and(|head| self.answer.len() >= head + 4 + body) {
                return;
            }
        }
    }
}

fn proxy(transport: &str, simulator: &Simulator) -> Server {
    let text = format!(
        "server:\n  listen: [{{ address: 127.0.0.1:0 }}]\n  admin: off\n  transport: {transport}\n  workers: 1\n  log: {{ access: off }}\nupstreams:\n  up: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: up }}] }}\n",
        simulator.address()
    );
    let config = penstock_config::parse(&text).unwrap();
    Server::start(config, Source::BuiltIn(text), Inherited::new()).unwrap()
}

fn transports(criterion: &mut Criterion) {
    let simulator = penstock_simulator::start(Settings::instant()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for transport in ["epoll", "io_uring"] {
        let server = proxy(transport, &simulator);
        let address = *server.addresses().first().unwrap();
        let mut group = criterion.benchmark_group(transport);
        for (connections, body) in [(1, 1024), (1, 16 * 1024), (32, 1024), (32, 16 * 1024)] {
            let mut clients: Vec<_> = runtime.block_on(join_all(
                (0..connections).map(|_| Client::connect(address, body)),
            ));
            group.throughput(Throughput::Elements(connections));
            group.bench_function(
                format!("{connections} connections, {} KiB", body / 1024),
                |bencher| {
                    bencher.iter(|| {
                        let trips = clients.iter_mut().map(|client| client.round_trip(body));
                        runtime.block_on(join_all(trips));
                    });
                },
            );
        }
    }
}

criterion_group!(benches, transports);
criterion_main!(benches);
