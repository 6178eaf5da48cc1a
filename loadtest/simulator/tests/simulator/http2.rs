use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_simulator::Simulator;

use crate::client::{CHAT, chat, eventually, start};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

async fn connect(simulator: &Simulator) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(simulator.address())
        .await
        .unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(fault: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://s{CHAT}")).header("x-simulate", fault);
    request.body(Full::from(chat(r#","stream":true"#))).unwrap()
}

#[test]
fn prior_knowledge_shares_the_port() {
    let simulator = start();
    block_on(async {
        let mut sender = connect(&simulator).await;
        let response = sender
            .send_request(request("slow; factor=1"))
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"data: [DONE]\n\n"));
    });
    assert_eq!(simulator.recorded()[0].version, Version::HTTP_2);
    assert_eq!(simulator.connections_accepted(), 1);
    assert_eq!(simulator.abandoned(), 0);
}

#[test]
fn a_cut_ends_the_stream_and_spares_the_connection() {
    let simulator = start();
    block_on(async {
        let mut sender = connect(&simulator).await;
        let response = sender.send_request(request("cut; after=2")).await.unwrap();
        assert!(response.into_body().collect().await.is_err());
        let again = sender
            .send_request(request("slow; factor=1"))
            .await
            .unwrap();
        assert!(again.into_body().collect().await.is_ok());
    });
    assert_eq!(simulator.connections_accepted(), 1);
}

#[test]
fn a_reset_takes_the_connection_down() {
    let simulator = start();
    block_on(async {
        for fault in ["reset; after=1", "refuse"] {
            let mut sender = connect(&simulator).await;
            if let Ok(response) = sender.send_request(request(fault)).await {
                assert!(response.into_body().collect().await.is_err(), "{fault}");
            }
            let again = sender.send_request(request("slow; factor=1")).await;
            assert!(again.is_err(), "{fault}: the connection must be gone");
        }
    });
    eventually("both connections are gone", || {
        simulator.connections_open() == 0
    });
}

#[test]
fn a_stream_that_the_client_resets_is_counted() {
    let simulator = start();
    block_on(async {
        let mut sender = connect(&simulator).await;
        let response = sender.send_request(request("stall; at=1")).await.unwrap();
        drop(response);
        let again = sender
            .send_request(request("slow; factor=1"))
            .await
            .unwrap();
        assert!(again.into_body().collect().await.is_ok());
    });
    eventually("the reset is counted", || simulator.abandoned() == 1);
}
