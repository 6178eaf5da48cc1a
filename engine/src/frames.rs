//! What a client does to an HTTP/2 connection, by the frames that pass: how many of each kind
//! against how much of what it is for.
//!
//! The protocol lets a client ask for work that costs it nothing: requests that are taken back
//! at once, pings, settings, windows of a byte, heads that never end or that unpack to a
//! thousand times their size. The library bounds what it would keep of that in memory, but
//! hardly how often it is asked. So frames are counted here, in both directions, before the
//! library sees them. No byte is read or written here, nothing is allocated, and of a frame
//! only its nine bytes of head are looked at, and where the fields of a head begin.

mod abuse;
mod budget;
mod fields;
mod meter;
mod reader;

pub use abuse::Abuse;
pub use meter::{Bounds, Meter};
