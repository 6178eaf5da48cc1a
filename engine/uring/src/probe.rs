//! Whether this kernel, as configured for this process, lets us use io_uring.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::types::Fd;
use io_uring::{Probe, opcode, squeue};

use crate::buffers::{Buffers, GROUP};
use crate::driver::build_ring;

/// Why io_uring cannot be used.
#[derive(Debug)]
pub struct Unavailable {
    what: &'static str,
    cause: Option<io::Error>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        let Some(cause) = &self.cause else {
            return Ok(());
        };
        write!(f, ": {cause}")?;
        match cause.raw_os_error() {
            Some(libc::ENOSYS) => {
                f.write_str(" (the kernel has no io_uring, or a seccomp filter hides it)")
            }
            Some(libc::EPERM | libc::EACCES) => f.write_str(
                " (forbidden: see the sysctl kernel.io_uring_disabled, or a seccomp filter)",
            ),
            Some(libc::EINVAL) => f.write_str(" (a kernel older than 6.0?)"),
            Some(libc::ENOMEM) => f.write_str(" (the limit on locked memory is too low?)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Unavailable {}

/// Tries everything that the transport needs: a ring with our flags, the operations,
/// shared receive buffers, and one receive through them.
///
/// # Errors
/// The first thing that is missing, with the kernel's reason.
pub fn probe() -> Result<(), Unavailable> {
    let failed = |what| {
        move |cause| Unavailable {
            what,
            cause: Some(cause),
        }
    };
    // Before the ring, so that on every way out the ring is dropped first: the kernel must
    // let go of the buffers before they are unmapped.
    let buffers = Buffers::new(8, 64).map_err(failed("no memory for buffers"))?;
    let mut ring = build_ring(8).map_err(failed("no ring could be made"))?;
    let mut known = Probe::new();
    ring.submitter()
        .register_probe(&mut known)
        .map_err(failed("operations could not be listed"))?;
    let needed = [
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::Accept::CODE,
        opcode::Connect::CODE,
        opcode::Timeout::CODE,
        opcode::AsyncCancel::CODE,
    ];
    if !needed.into_iter().all(|code| known.is_supported(code)) {
        return Err(Unavailable {
            what: "the kernel lacks an operation that is needed",
            cause: None,
        });
    }
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_fast_poll() {
        return Err(Unavailable {
            what: "the kernel's io_uring is too old",
            cause: None,
        });
    }
    buffers
        .register(&ring.submitter())
        .map_err(failed("shared buffers could not be registered"))?;
    receive_once(&mut ring).map_err(failed("a receive failed"))
}

fn receive_once(ring: &mut io_uring::IoUring) -> io::Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    near.write_all(b"x")?;
    let receive = opcode::Recv::new(Fd(far.as_raw_fd()), std::ptr::null_mut(), 0)
        .buf_group(GROUP)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT);
    // SAFETY: the entry points to no memory; the buffers outlive the ring.
    unsafe { ring.submission().push(&receive) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring
        .completion()
        .next()
        .map(|completion| completion.result())
    {
        Some(1) => Ok(()),
        Some(error) if error < 0 => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::other("it completed without the byte")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_in_words() {
        let forbidden = Unavailable {
            what: "no ring could be made",
            cause: Some(io::Error::from_raw_os_error(libc::EPERM)),
        };
        assert!(
            forbidden.to_string().contains("kernel.io_uring_disabled"),
            "{forbidden}"
        );
    }
}
