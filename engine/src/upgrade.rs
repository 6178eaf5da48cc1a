//! Hands the listening sockets to a new process, so that a new binary takes over without
//! refusing a connection.
//!
//! The protocol is Pingora's: the new process listens on a Unix socket, the old one, told
//! by SIGQUIT, connects to it and sends one message with the descriptors (`SCM_RIGHTS`)
//! and their names, separated by spaces. The old one then drains. Pingora's own receiver
//! takes 32 descriptors at most and panics on surprises, so both ends are here.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use tokio::io::AsyncReadExt;

use crate::listen::Listening;

/// Descriptors that one message carries; the kernel's limit is 253 (`SCM_MAX_FD`).
pub const SOCKETS_MAX: usize = 250;

/// Bytes of names that one message carries.
const NAMES_MAX: usize = 64 * 1024;

/// How long the new process waits for the old one, and the old one for the new.
const WAIT: Duration = Duration::from_secs(60);

/// Pause between tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The sockets by the address that they listen on.
pub type Inherited = HashMap<String, Vec<TcpListener>>;

/// The process that handed over its sockets. It serves on until it hears that its
/// successor serves; if that ends without a word, it was as if nothing had been.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Tells it that its work is taken over.
    ///
    /// # Errors
    /// It is not there any more.
    pub fn dismiss(mut self) -> io::Result<()> {
        self.0.write_all(&[SERVING])
    }
}

/// What a new process says when it serves.
const SERVING: u8 = b'1';

/// Waits for the old process to hand over its sockets.
///
/// # Errors
/// None came within a minute, or the message was not what it should be.
pub fn receive(path: &Path) -> io::Result<(Inherited, Predecessor)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let received =
        accept(&listener).and_then(|stream| Ok((receive_from(&stream)?, Predecessor(stream))));
    // The old process must not find it when it tries again.
    let removed = std::fs::remove_file(path);
    let inherited = received?;
    removed?;
    Ok(inherited)
}

fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + WAIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(WAIT))?;
                return Ok(stream);
            }
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no process handed over its sockets",
                ));
            }
            Err(error) => return Err(error),
        }
    }
}

fn receive_from(stream: &UnixStream) -> io::Result<Inherited> {
    let mut names = vec![0; NAMES_MAX];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut names)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let names = names.get(..message.bytes).unwrap_or_default();
    let names = std::str::from_utf8(names).map_err(|_| invalid("the names are not text"))?;
    let names: Vec<_> = names.split_ascii_whitespace().collect();
    if names.len() != descriptors.len() {
        return Err(invalid("names and sockets do not pair up"));
    }
    let mut inherited = Inherited::new();
    for (name, descriptor) in names.into_iter().zip(descriptors) {
        // Behind the `#` is a number that keeps names apart.
        let address = name.split('#').next().unwrap_or_default();
        inherited
            .entry(address.to_owned())
            .or_default()
            .push(TcpListener::from(descriptor));
    }
    Ok(inherited)
}

/// Hands the sockets to the process that listens on `path`, trying until it does, and
/// waits until it serves.
///
/// # Errors
/// It did not listen or serve within a minute, or did not take the message.
pub async fn send(path: &Path, listening: &[Listening]) -> io::Result<()> {
    let stream = connect(path).await?;
    let mut names = Vec::new();
    let mut descriptors: Vec<BorrowedFd<'_>> = Vec::new();
    for listening in listening {
        for (n, socket) in listening.sockets.iter().enumerate() {
            names.push(format!("{}#{n}", listening.address));
            descriptors.push(socket.as_fd());
        }
    }
    let names = names.join(" ");
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other(format!(
            "more than {SOCKETS_MAX} sockets cannot be handed over at once"
        )));
    }
    let sent = rustix::net::sendmsg(
        &stream,
        &[IoSlice::new(names.as_bytes())],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    if sent < names.len() {
        return Err(io::Error::other("the message was cut"));
    }
    wait_for_success(stream).await
}

async fn wait_for_success(stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    match tokio::time::timeout(WAIT, stream.read_u8()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(io::Error::other("the new process ended before it served"))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the new process does not serve",
        )),
    }
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + WAIT;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_under_their_addresses() {
        let folder = std::env::temp_dir().join(format!("penstock-upgrade-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("upgrade.sock");
        let listening = crate::listen::open(([127, 0, 0, 1], 0).into(), 40, Vec::new()).unwrap();
        let address = listening.address.to_string();
        let taken = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let (taken, predecessor) = receive(&path).unwrap();
                predecessor.dismiss().unwrap();
                taken
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let sending = send(&path, std::slice::from_ref(&listening));
            runtime.unwrap().block_on(sending).unwrap();
            receiver.join().unwrap()
        });
        let sockets = &taken[&address];
        assert_eq!(
            sockets.len(),
            40,
            "more than Pingora's own receiver would take"
        );
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == listening.address)
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
