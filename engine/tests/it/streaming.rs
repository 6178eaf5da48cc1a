//! A streamed answer reaches the client as the upstream makes it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use penstock::transport::Transport;

use crate::harness::client::{BOTH, Client, Http, streamed_chat};
use crate::harness::{Proxy, all_to, config, simulator};

on_both!(
    tokens_are_forwarded_as_they_come,
    events_are_what_the_upstream_sent,
    many_streams_at_once_are_all_whole,
);

/// The upstream's pace.
const PACE: Duration = Duration::from_millis(50);

/// When each piece of an answer came, and all of them together.
async fn arrivals(address: SocketAddr, http: Http) -> (Vec<Instant>, Vec<u8>) {
    let mut client = Client::connect(address, http).await;
    let mut body = client.send(streamed_chat()).await.unwrap().into_body();
    let mut times = Vec::new();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.unwrap().into_data() else {
            continue;
        };
        if !data.is_empty() {
            times.push(Instant::now());
            bytes.extend_from_slice(&data);
        }
    }
    (times, bytes)
}

/// Gaps that are clearly a wait of the upstream's.
fn gaps(times: &[Instant]) -> usize {
    times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > PACE / 2)
        .count()
}

async fn tokens_are_forwarded_as_they_come(transport: Transport) {
    let upstream = simulator(&[("tokens", "12"), ("between-tokens", "50ms")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        let (direct, _) = arrivals(upstream.address(), http).await;
        let (through, _) = arrivals(proxy.address(), http).await;
        let (direct, through) = (gaps(&direct), gaps(&through));
        // Another test may hold up this one for a moment: a token or two may catch up.
        assert!(
            through + 3 >= direct,
            "over {http:?} the upstream waited {direct} times, the client {through} times"
        );
    }
}

async fn events_are_what_the_upstream_sent(transport: Transport) {
    let upstream = simulator(&[("tokens", "200")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        let (_, direct) = arrivals(upstream.address(), http).await;
        let (_, through) = arrivals(proxy.address(), http).await;
        assert!(direct.ends_with(b"data: [DONE]\n\n"), "the simulator's end");
        assert!(direct == through, "the events over {http:?} differ");
    }
}

async fn many_streams_at_once_are_all_whole(transport: Transport) {
    let upstream = simulator(&[("tokens", "20"), ("between-tokens", "10ms")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let (_, direct) = arrivals(upstream.address(), Http::One).await;
    let clients = (0..500).map(|n| {
        let address = proxy.address();
        tokio::spawn(arrivals(address, BOTH[n % 2]))
    });
    for client in clients.collect::<Vec<_>>() {
        let (_, through) = client.await.unwrap();
        assert!(through == direct, "one of 500 streams differs");
    }
}
