//! Completions that the kernel would hardly ever produce, fed by hand.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use super::Driver;
use super::complete::Completion;
use crate::connection::Received;
use crate::key::{Key, Op, pack};
use crate::options::Options;
use crate::shared::Shared;

/// `IORING_CQE_F_BUFFER` of `linux/io_uring.h`, for buffer 0.
const BUFFER_0: u32 = 1;

fn driver(options: Options) -> Driver {
    Driver::new(options, Arc::new(Shared::new())).unwrap()
}

fn connected(driver: &mut Driver) -> (Key, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    (driver.adopt(Arc::new(near.into())).unwrap(), far)
}

/// A connection whose slot another one had before: the keys of both.
fn reused_slot(driver: &mut Driver) -> (Key, Key, UnixStream) {
    let (first, far) = connected(driver);
    driver.drop_stream(first);
    drop(far);
    let (second, far) = connected(driver);
    assert_eq!(first.index, second.index, "the place is used again");
    (first, second, far)
}

#[test]
fn a_late_completion_does_not_touch_the_slots_next_occupant() {
    let mut driver = driver(Options::default());
    let (late, present, _far) = reused_slot(&mut driver);
    let results = [
        (Op::Receive, 5, BUFFER_0),
        (Op::Receive, 0, 0),
        (Op::Receive, -libc::ECONNRESET, 0),
        (Op::Send, 5, 0),
        (Op::Send, -libc::EPIPE, 0),
        (Op::Connect, -libc::ECONNREFUSED, 0),
        (Op::Accept, -libc::EMFILE, 0),
        (Op::Linger, -libc::ETIME, 0),
        (Op::Cancel, -libc::ENOENT, 0),
    ];
    for (op, result, flags) in results {
        driver.complete(Completion {
            user_data: pack(op, late),
            result,
            flags,
        });
    }
    let connection = driver.slots.connection(present).unwrap();
    assert!(connection.received.is_none() && !connection.eof && connection.read_error.is_none());
    assert!(connection.write_error.is_none() && connection.sent == 0 && !connection.dropped);
    assert_eq!(driver.buffers.leased(), 0, "its buffer is given back");
    assert_eq!(driver.metrics().late_completions.value(), 7);
}

#[test]
fn a_late_accepts_descriptor_is_closed() {
    let mut driver = driver(Options::default());
    let (late, _, _far) = reused_slot(&mut driver);
    let (accepted, mut client) = UnixStream::pair().unwrap();
    let result = accepted.into_raw_fd();
    driver.complete(Completion {
        user_data: pack(Op::Accept, late),
        result,
        flags: 0,
    });
    assert!(client.write_all(b"x").is_err(), "the client sees the end");
}

#[test]
fn completions_that_make_no_sense_are_ignored() {
    let mut driver = driver(Options::default());
    for user_data in [0, u64::MAX, pack(Op::Send, Key::NONE)] {
        driver.complete(Completion {
            user_data,
            result: 1,
            flags: 0,
        });
    }
    let (key, _far) = connected(&mut driver);
    // A listener's completion for a connection.
    let user_data = pack(Op::Accept, key);
    driver.complete(Completion {
        user_data,
        result: -libc::EMFILE,
        flags: 0,
    });
    assert!(driver.slots.connection(key).is_some());
}

#[test]
fn a_starved_connection_is_fed_although_those_before_it_are_dropped_or_have_nothing_to_receive() {
    let mut driver = driver(Options {
        buffers: 8,
        ..Options::default()
    });
    let mut far_ends = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..100 {
        let (key, far) = connected(&mut driver);
        let user_data = pack(Op::Receive, key);
        driver.slots.connection(key).unwrap().receiving = true;
        driver.complete(Completion {
            user_data,
            result: -libc::ENOBUFS,
            flags: 0,
        });
        keys.push(key);
        far_ends.push(far);
    }
    for key in keys.drain(..50) {
        driver.drop_stream(key);
    }
    far_ends.last_mut().unwrap().write_all(b"x").unwrap();
    // The ring asks for the later ones itself.
    for _ in 0..4 {
        driver.turn();
    }
    let waiting = keys
        .iter()
        .filter(|key| driver.slots.connection(**key).unwrap().receiving)
        .count();
    assert_eq!(
        waiting, 49,
        "all receive again but the one that has received"
    );
    let last = driver.slots.connection(*keys.last().unwrap()).unwrap();
    assert!(matches!(last.received, Some(Received::Leased(_))));
}

#[test]
fn a_send_cut_short_as_its_time_runs_out_is_not_continued() {
    let mut driver = driver(Options::default());
    let (key, _far) = connected(&mut driver);
    let connection = driver.slots.connection(key).unwrap();
    connection.in_flight = vec![0; 100];
    connection.sending = true;
    driver.drop_stream(key);
    let connection = driver.slots.connection(key).unwrap();
    connection.lingering = true;
    let timeout = Completion {
        user_data: pack(Op::Linger, key),
        result: -libc::ETIME,
        flags: 0,
    };
    driver.complete(timeout);
    // The cancellation is queued; the send completes in part before it.
    driver.complete(Completion {
        user_data: pack(Op::Send, key),
        result: 40,
        flags: 0,
    });
    assert!(driver.slots.connection(key).is_none(), "the slot is freed");
    assert_eq!(driver.metrics().linger_timeouts.value(), 1);
    assert_eq!(driver.metrics().short_sends.value(), 0);
}

#[test]
fn a_cancellation_that_missed_its_accept_may_be_asked_for_again() {
    let mut driver = driver(Options {
        accepted_max: 1,
        ..Options::default()
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let key = driver.adopt_listener(listener.into()).unwrap();
    driver.slots.listening(key).unwrap().accepting = true;
    driver.pause_accept(key);
    assert!(driver.slots.listening(key).unwrap().cancelling);
    driver.complete(Completion {
        user_data: pack(Op::Cancel, key),
        result: -libc::EALREADY,
        flags: 0,
    });
    assert!(!driver.slots.listening(key).unwrap().cancelling);
    // No accept is really in flight.
    driver.slots.listening(key).unwrap().accepting = false;
}

#[test]
fn a_loop_under_load_that_does_not_park_is_judged_by_one_turn() {
    let mut driver = driver(Options::default());
    let many = 16 * 5;
    driver.count_direct(many - 1);
    driver.turn_early();
    assert!(driver.direct().is_some(), "that may still be little");
    driver.count_direct(1);
    driver.turn_early();
    assert!(driver.direct().is_none());
}

#[test]
fn a_loop_that_does_not_park_for_other_reasons_does_without_the_ring() {
    let mut driver = driver(Options::default());
    let press = |driver: &mut Driver| {
        driver.count_direct(1000);
        driver.turn_early();
    };
    press(&mut driver);
    driver.turn_late();
    assert!(driver.direct().is_none(), "it had nothing to do");
    let (key, _far) = connected(&mut driver);
    driver.queue_receive(key);
    driver.turn_late();
    assert!(driver.direct().is_some(), "the ring's turns come too late");
    press(&mut driver);
    assert!(driver.direct().is_some(), "it has just been tried");
    for _ in 0..256 {
        driver.park();
    }
    press(&mut driver);
    assert!(driver.direct().is_none(), "that was long ago");
}
