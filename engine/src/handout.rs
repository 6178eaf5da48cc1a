//! Takes a proxy out of the service that Pingora builds it into.
//!
//! Pingora makes a proxy with a custom upstream connector only inside a `Service`, and
//! lends it from there; we run it in accept loops of our own and need to own it. What
//! does hand it out is the handler of custom sessions, which gets the shared pointer to
//! it together with a connection. So the service is started once, on a loopback socket
//! of its own, one connection is made to it, and the handler keeps the pointer. This
//! happens once for each worker, before it listens anywhere.

use std::io;
use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pingora_core::apps::HttpServerOptions;
use pingora_core::connectors::http::custom;
use pingora_core::server::Fds;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::Service as _;
use pingora_proxy::{HttpProxy, ProxyHttp, ProxyServiceBuilder};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

/// How long the hand-out may take; it is one loopback connection.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Builds a proxy that connects upstream through `connector`.
///
/// # Errors
/// No loopback socket could be made, or the hand-out did not happen within ten seconds.
pub async fn proxy<P, C>(
    conf: &Arc<ServerConf>,
    logic: P,
    connector: C,
) -> io::Result<HttpProxy<P, C>>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync + 'static,
    C: custom::Connector,
{
    let (give, taken) = oneshot::channel();
    let give = Mutex::new(Some(give));
    let keep = move |proxy: Arc<HttpProxy<P, C>>, _, _: &watch::Receiver<bool>| {
        if let Some(give) = give.lock().ok().and_then(|mut give| give.take()) {
            // A receiver that gave up has reported that itself.
            let _ = give.send(proxy);
        }
        Box::pin(std::future::ready(None)) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    };
    let mut options = HttpServerOptions::default();
    options.force_custom = true;
    let mut service = ProxyServiceBuilder::new(conf, logic)
        .custom(connector, Arc::new(keep))
        .server_options(options)
        .build();

    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut sockets = Fds::new();
    sockets.add(address.to_string(), listener.into_raw_fd());
    service.add_tcp(&address.to_string());
    let (stop, stopped) = watch::channel(false);
    let sockets = Arc::new(parking_lot::Mutex::new(sockets));

    let handed = tokio::select! {
        () = service.start_service(Some(sockets), stopped, 1) => None,
        proxy = receive(address, taken) => proxy,
    };
    // The service's own loop ends and lets go of the proxy. Its future was dropped before
    // it could declare the proxy shut down.
    drop(service);
    stop.send_replace(true);
    let proxy = handed.ok_or_else(|| io::Error::other("Pingora did not hand out the proxy"))?;
    let mut proxy = owned(proxy).await?;
    proxy.server_options = None;
    Ok(proxy)
}

async fn receive<T>(address: std::net::SocketAddr, taken: oneshot::Receiver<T>) -> Option<T> {
    let connected = async {
        // The socket listens already: the connection waits there until the service runs.
        let _connection = TcpStream::connect(address).await.ok()?;
        taken.await.ok()
    };
    tokio::time::timeout(WAIT_MAX, connected)
        .await
        .ok()
        .flatten()
}

/// Waits until the service's tasks have let go of the proxy.
async fn owned<T>(mut shared: Arc<T>) -> io::Result<T> {
    let deadline = tokio::time::Instant::now() + WAIT_MAX;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(owned) => return Ok(owned),
            Err(_) if tokio::time::Instant::now() > deadline => {
                return Err(io::Error::other(
                    "Pingora's service did not let go of the proxy",
                ));
            }
            Err(still) => shared = still,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
