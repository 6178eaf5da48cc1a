use std::io::{Read, Write};

use penstock_simulator::Settings;

use crate::client::*;

#[test]
fn connections_are_kept_alive_and_counted() {
    let simulator = start();
    let mut socket = connect(&simulator);
    for _ in 0..3 {
        socket
            .write_all(b"GET /plain HTTP/1.1\r\nhost: s\r\n\r\n")
            .unwrap();
        read_until(&mut socket, "ok");
    }
    assert_eq!(
        (
            simulator.connections_accepted(),
            simulator.connections_open()
        ),
        (1, 1)
    );
    assert_eq!(simulator.requests(), 3);
    drop(socket);
    eventually("the connection is closed", || {
        simulator.connections_open() == 0
    });
    assert_eq!(simulator.connections_accepted(), 1);
    assert_eq!(
        simulator.abandoned(),
        0,
        "an idle connection abandons nothing"
    );
}

#[test]
fn a_client_that_leaves_in_the_middle_is_counted() {
    let simulator = start_with("tokens=1000 between-tokens=20ms");
    for body in [chat(r#","stream":true"#), chat("")] {
        let before = simulator.abandoned();
        let mut socket = connect(&simulator);
        let requests = simulator.recorded().len();
        socket
            .write_all(post_text(CHAT, "", &body).as_bytes())
            .unwrap();
        eventually("the request arrives", || {
            simulator.recorded().len() > requests
        });
        drop(socket);
        eventually("the leaving is counted", || {
            simulator.abandoned() == before + 1
        });
    }
}

#[test]
fn requests_are_recorded_as_they_came_and_only_the_latest() {
    let simulator = start_with("record=2");
    for number in 0..3 {
        post(
            &simulator,
            &format!("/echo?n={number}"),
            "x-Mark: a\r\nx-mark: b\r\n",
            "hello",
        );
    }
    let recorded = simulator.recorded();
    assert_eq!(recorded.len(), 2);
    let last = recorded.last().unwrap();
    assert_eq!(last.method, "POST");
    assert_eq!(last.path_and_query, "/echo?n=2");
    assert_eq!(format!("{:?}", last.version), "HTTP/1.1");
    assert_eq!(
        last.headers.get_all("x-mark").iter().collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(last.body, "hello");
    simulator.forget_recorded();
    assert!(simulator.recorded().is_empty());
}

#[test]
fn connections_over_the_limit_are_closed() {
    let simulator = start_with("connections-max=1");
    let mut first = connect(&simulator);
    first
        .write_all(b"GET /plain HTTP/1.1\r\nhost: s\r\n\r\n")
        .unwrap();
    read_until(&mut first, "ok");
    let mut second = connect(&simulator);
    assert_eq!(
        second.read(&mut [0; 1]).unwrap(),
        0,
        "closed without an answer"
    );
    assert_eq!(simulator.stats().connections_refused, 1);
}

#[test]
fn stopping_frees_the_port_and_ends_every_connection() {
    let mut simulator = start_with("workers=2");
    let mut socket = connect(&simulator);
    let request = post_text(
        CHAT,
        "x-simulate: stall; at=1\r\n",
        &chat(r#","stream":true"#),
    );
    socket.write_all(request.as_bytes()).unwrap();
    read_until(&mut socket, "\"role\"");
    let address = simulator.address();
    let taken = Settings {
        listen: address,
        ..Settings::default()
    };
    assert!(
        penstock_simulator::start(taken.clone()).is_err(),
        "two do not share a port"
    );
    let shared = Settings {
        workers: 2.try_into().unwrap(),
        ..taken.clone()
    };
    assert!(
        penstock_simulator::start(shared).is_err(),
        "not even with SO_REUSEPORT"
    );
    simulator.stop();
    let rest = read_to_end(&mut socket);
    assert!(!rest.head.contains("[DONE]"));
    assert_eq!(
        (simulator.connections_open(), simulator.abandoned()),
        (0, 0)
    );
    simulator.stop();
    assert_eq!(penstock_simulator::start(taken).unwrap().address(), address);
}
