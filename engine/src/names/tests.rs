//! What the tests over sockets do not see.

use super::*;

#[test]
fn nobody_is_asked_for_nothing() {
    assert!(look_up_all(&Dns::default(), BTreeSet::new()).is_empty());
}

#[test]
fn this_machine_needs_no_name_server() {
    let hosts = BTreeSet::from(["localhost".to_owned()]);
    let answers = look_up_all(&nobody(), hosts);
    let answer = answers["localhost"].as_ref().unwrap();
    assert!(answer.addresses.iter().all(|address| address.is_loopback()));
    let good = answer.good_until.duration_since(Instant::now());
    assert!(good <= GOOD_MAX, "good for {good:?}");
}

#[test]
fn names_that_cannot_be_looked_up_are_all_told() {
    let hosts = ["a.example", "b.example"].map(str::to_owned);
    let answers = look_up_all(&nobody(), hosts.clone().into());
    assert!(answers.keys().eq(&hosts));
    assert!(answers.values().all(Result::is_err), "{answers:?}");
}

/// A name server that is not there: the port of UDP was free a moment ago.
fn nobody() -> Dns {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    Dns {
        servers: vec![address.parse().unwrap()],
    }
}
