//! The process has no descriptor left when a connection arrives.
//!
//! 1. The limit of open descriptors is reached; a connection waits at the listener.
//! 2. The accept in flight, or the next one, ends with `EMFILE`, and is not in flight
//!    any more. `accept` returns the error.
//! 3. Descriptors become free. The next `accept` must arm itself again and serve the
//!    connection that has been waiting.

use std::fs::File;
use std::time::Duration;

use penstock_uring::{Options, TcpListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{LOCALHOST, alone, on_ring, poll_once, with_tokio};

fn limit_descriptors(to: u64) {
    let limit = libc::rlimit {
        rlim_cur: to,
        rlim_max: to,
    };
    // SAFETY: the call reads one structure, which lives until it returns.
    assert_eq!(
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
        0
    );
}

fn all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn the_listener_recovers() {
    alone("descriptors_exhausted::the_listener_recovers", || {
        limit_descriptors(100);
        on_ring(Options::default(), |metrics| async move {
            for armed_before in [false, true] {
                let errors_before = metrics.accept_errors.value();
                let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
                let address = listener.local_addr().unwrap();
                let mut listener = TcpListener::from_std(listener).unwrap();
                let waiting =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                        .unwrap();
                if armed_before {
                    assert!(poll_once(listener.accept()).await.is_none());
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                let all = all_descriptors();
                waiting.connect(&address.into()).unwrap();
                for _ in 0..3 {
                    let error = listener.accept().await.unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                }
                assert_eq!(metrics.accept_errors.value() - errors_before, 3);
                drop(all);
                let mut served = listener.accept().await.unwrap();
                served.write_all(b"at last").await.unwrap();
                drop(served);
                let mut got = String::new();
                with_tokio(waiting.into())
                    .read_to_string(&mut got)
                    .await
                    .unwrap();
                assert_eq!(got, "at last");
            }
        });
    });
}
