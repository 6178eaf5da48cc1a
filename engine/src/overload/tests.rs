//! What is let through when there is room for so much.

use penstock_config::unit::Size;

use super::*;

pub(super) fn overload(descriptors: u32) -> Arc<Overload> {
    let memory: Size = "1GiB".parse().unwrap();
    Arc::new(Overload::new(&server::Overload {
        memory: Some(memory),
        descriptors: Some(descriptors),
        ..server::Overload::default()
    }))
}

pub(super) fn admit(overload: &Arc<Overload>) -> Result<Admitted, Shed> {
    match overload.admit(Priority::Normal, || "t".into())? {
        Entrance::Open(admitted) => Ok(admitted),
        Entrance::Wait(_) => panic!("nobody is to wait"),
    }
}

#[test]
fn a_request_needs_a_descriptor_besides_its_client_s() {
    let overload = overload(100);
    let connections: Vec<_> = (0..40).map(|_| overload.connected()).collect();
    let mut requests: Vec<_> = (0..50).map(|_| admit(&overload).unwrap()).collect();
    let refused = admit(&overload).map(drop);
    assert_eq!(refused, Err(Shed::Descriptors), "90 of 100 are taken");
    assert_eq!(overload.look(), Err(Shed::Descriptors));
    assert_eq!(
        overload.under_way(),
        UnderWay {
            connections: 40,
            requests: 50,
        },
        "who was refused does not count"
    );
    requests.pop();
    drop(admit(&overload).expect("one has ended"));
    overload.requests_seen.store(50, Ordering::Relaxed);
    assert_eq!(
        overload.look(),
        Err(Shed::Descriptors),
        "its connection to the upstream may be open still"
    );
    drop((connections, requests));
    assert_eq!(overload.under_way(), UnderWay::default());
}

#[test]
fn a_connection_is_accepted_with_a_descriptor_for_its_upstream() {
    let overload = overload(100);
    let mut connections = Vec::new();
    while overload.accepts() {
        connections.push(overload.connected());
        assert!(connections.len() < 100);
    }
    assert_eq!(connections.len(), 94, "95, with one for an upstream");
    connections.pop();
    assert!(overload.accepts());
}

#[test]
fn percentages_of_great_limits_do_not_overflow() {
    assert_eq!(room(Some(u64::MAX), 90, 0), i64::MAX / 100 * 90 + 6);
    assert_eq!(room(Some(256), 90, 30), 200);
    assert_eq!(room(None, 90, 30), i64::MAX);
}
