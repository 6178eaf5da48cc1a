//! The receive buffers that all connections of a ring share.
//!
//! The kernel takes a buffer from a ring of them when bytes arrive, so a
//! connection that waits owns none. A filled buffer is a [`Lease`]: whoever holds
//! it may read the bytes, and gives it back by value, so that nothing can read a
//! buffer that the kernel may write again.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Group of buffers; a ring has just one.
pub(crate) const GROUP: u16 = 0;

/// A buffer that the kernel filled and that is ours until it is given back.
#[derive(Debug)]
pub(crate) struct Lease {
    id: u16,
    start: u32,
    end: u32,
}

impl Lease {
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Passes over the first `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n as u32));
    }
}

pub(crate) struct Buffers {
    memory: Mapping,
    ring: Mapping,
    count: u16,
    size: u32,
    tail: u16,
    leased: u16,
}

impl Buffers {
    /// `count` buffers (a power of two) of `size` bytes each. Their memory becomes
    /// resident only as the kernel fills them.
    pub(crate) fn new(count: u16, size: u32) -> io::Result<Self> {
        let mut buffers = Buffers {
            memory: Mapping::new(usize::from(count) * size as usize)?,
            ring: Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?,
            count,
            size,
            tail: 0,
            leased: 0,
        };
        for id in 0..count {
            buffers.offer(id);
        }
        Ok(buffers)
    }

    /// Tells the kernel about the buffers. They must outlive what is in flight.
    pub(crate) fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let base = self.ring.base.as_ptr() as u64;
        // SAFETY: the kernel takes the address as a number. The mapping is page-aligned and
        // holds `count` entries, and the driver unmaps it only when nothing is in flight
        // that could take a buffer; otherwise it leaks it.
        unsafe { submitter.register_buf_ring_with_flags(base, self.count, GROUP, 0) }
    }

    /// Takes over buffer `id`, into which the kernel has put `len` bytes.
    pub(crate) fn lease(&mut self, id: u16, len: usize) -> Lease {
        self.leased += 1;
        Lease {
            id,
            start: 0,
            end: (len as u32).min(self.size),
        }
    }

    /// The bytes of a lease.
    pub(crate) fn bytes(&self, lease: &Lease) -> &[u8] {
        let offset = usize::from(lease.id % self.count) * self.size as usize + lease.start as usize;
        // SAFETY: the memory is shared with the kernel, so it is no Rust slice of its own.
        // The kernel reported these bytes as written, it writes to the buffer again only
        // after `recycle` offers it, and `recycle` takes the lease by value
        // while this borrow of `self` and of the lease is over. `id` is below `count`
        // and `end` at most `size`, so the range lies inside the mapping.
        unsafe { std::slice::from_raw_parts(self.memory.base.as_ptr().add(offset), lease.len()) }
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn recycle(&mut self, lease: Lease) {
        self.leased = self.leased.saturating_sub(1);
        self.offer(lease.id);
    }

    /// Buffers that are filled and not yet given back.
    pub(crate) fn leased(&self) -> u16 {
        self.leased
    }

    /// Buffers that the kernel may fill, or has filled without our knowing yet.
    pub(crate) fn free(&self) -> u16 {
        self.count.saturating_sub(self.leased)
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Never gives the memory back: the kernel may still write to it.
    pub(crate) fn leak(&mut self) {
        self.memory.leaked = true;
        self.ring.leaked = true;
    }

    fn offer(&mut self, id: u16) {
        let id = id % self.count;
        let place = usize::from(self.tail & (self.count - 1));
        let entries = self.ring.base.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `place` is below `count`, so the entry lies inside the mapping; the
        // kernel reads entries only up to the tail, which is published below, and the
        // tail lies over a reserved field of entry 0 that `set_*` do not touch.
        unsafe {
            let entry = &mut *entries.add(place);
            entry.set_addr(
                self.memory
                    .base
                    .as_ptr()
                    .add(usize::from(id) * self.size as usize) as u64,
            );
            entry.set_len(self.size);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a properly aligned u16 inside the mapping, shared with
        // the kernel, which reads it with acquire semantics.
        unsafe {
            let tail = BufRingEntry::tail(entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

/// Zeroed anonymous memory, page-aligned, given back on drop.
struct Mapping {
    base: NonNull<u8>,
    len: usize,
    leaked: bool,
}

// SAFETY: a mapping is plain memory owned by this value alone.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address of the kernel's choice
        // touches no existing memory. Heap memory would not do: the kernel wants the
        // ring page-aligned, and buffers must not become resident before their use.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Mapping {
            base,
            len,
            leaked: false,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        // SAFETY: `base` and `len` are what mmap returned, and nothing else unmaps it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_count_what_is_out() {
        let mut buffers = Buffers::new(8, 64).unwrap();
        let mut first = buffers.lease(0, 64);
        let second = buffers.lease(1, 10);
        assert_eq!(buffers.leased(), 2);
        assert_eq!(buffers.bytes(&second).len(), 10);
        first.advance(60);
        assert_eq!(buffers.bytes(&first).len(), 4);
        first.advance(60);
        assert_eq!(
            buffers.bytes(&first).len(),
            0,
            "an advance stops at the end"
        );
        buffers.recycle(first);
        buffers.recycle(second);
        assert_eq!(buffers.leased(), 0);
    }
}
