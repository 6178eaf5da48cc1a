//! The part of the file that is fixed until a restart.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Duration, Name, NameServer, Size};

mod changes;
mod clients;
mod http2;
mod overload;
mod text;
mod tls;

pub use changes::changed_keys;
pub(crate) use changes::fixed;
pub use clients::{Clients, ForwardedHeader, ProxyProtocol};
pub use http2::Http2;
pub use overload::{Overload, Priority, Queue};
pub use tls::{CertificateFiles, ClientCertificates, ListenerTls, TlsVersion, UnknownNames};

/// Listeners, transport, workers and limits. A reload that changes any of it is
/// refused, naming the keys that differ; the certificates of listeners may change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Addresses that clients connect to. Default: `127.0.0.1:8080`, cleartext.
    #[serde(deserialize_with = "field::at_least_one")]
    #[schemars(length(min = 1))]
    pub listen: Vec<Listener>,
    /// Address of the admin listener (`/healthz`, `/readyz`, `/metrics`,
    /// `/config`, `/generations`, `/reload`, `/rollback`), or `off`. Default: `127.0.0.1:9901`. It has no authentication:
    /// keep it on an address that only operators reach.
    pub admin: Admin,
    /// How bytes are moved. Default: `auto`.
    pub transport: Transport,
    /// Worker threads, each with its own sockets, upstream connections and ring.
    /// Default: `auto`, one per processor that the process may use.
    pub workers: Workers,
    /// Where the proxy stands. Requests go to endpoints whose `zone` this is, and to those
    /// without one, until less than about 70 percent of them can take requests; from there
    /// on more and more go elsewhere. Default: none, which is near to all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// How long a stop waits for requests in flight. Default: `30s`.
    pub drain_timeout: Duration,
    /// Unix socket over which a new process takes over the listening sockets of a
    /// running one (`penstock run --upgrade`). Default: none, upgrades are off.
    #[serde(
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub upgrade_socket: Option<PathBuf>,
    /// Who is asked for the addresses of endpoints that are written with a host name.
    pub dns: Dns,
    /// What is logged, and how.
    pub log: Log,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// Whose word on a client's address is taken, and how many connections an address may
    /// have.
    pub clients: Clients,
    /// How much an HTTP/2 client may do besides making requests.
    pub http2: Http2,
    /// What is given up first when memory or descriptors run short.
    pub overload: Overload,
    /// How paths are brought into one spelling before a route is looked for.
    pub paths: Paths,
    /// Memory for answers that are given again. Used by the `cache` plugin only.
    pub cache: CacheMemory,
    /// Sizes of each worker's ring. Used by the `io_uring` transport only.
    pub io_uring: IoUring,
}

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port, as in `0.0.0.0:8443` or `[::]:8443`.
    #[serde(deserialize_with = "field::socket_address")]
    #[schemars(schema_with = "address_schema")]
    pub address: SocketAddr,
    /// Certificates and keys; with them the listener speaks TLS 1.2 and 1.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Whether HTTP/2 is offered: by ALPN on a TLS listener (default: on), by the
    /// client's preface on a cleartext one (default: off; RFC 9113 section 3.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Whether connections begin with a header of the PROXY protocol, before TLS, that names
    /// their client. Needs `server.clients.trusted_proxies`. Default: none does; one that
    /// begins so is refused like any other malformed request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The admin listener's address, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// No admin listener.
    Off,
    /// Listen here.
    On(SocketAddr),
}

/// How bytes are moved between sockets and the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// io_uring where the kernel allows it, else epoll; the choice is logged.
    #[default]
    Auto,
    /// io_uring; refuse to start where the kernel does not allow it.
    IoUring,
    /// epoll.
    Epoll,
}

/// Number of worker threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One per processor that the process may use.
    #[default]
    Auto,
    /// Exactly this many, 1 to 1024.
    Count(NonZeroU16),
}

/// Who is asked for the addresses of host names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Name servers, asked in order, at most 16. Default: none, which stands for those of
    /// `/etc/resolv.conf`, with its search domains. `/etc/hosts` is looked at first in any
    /// case.
    #[serde(deserialize_with = "field::short_list::<_, _, 16>")]
    #[schemars(length(max = 16))]
    pub servers: Vec<NameServer>,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` for a terminal, `json` for a collector. Default: `text`.
    pub format: LogFormat,
    /// The least severe level that is written. Default: `info`.
    pub level: LogLevel,
    /// Whether each finished request writes one line. Default: `on`.
    pub access: Access,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For a person at a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Failures that an operator must act on.
    Error,
    /// What will become a failure if it goes on.
    Warn,
    /// Start, stop, reloads and finished requests.
    #[default]
    Info,
    /// What a developer of Penstock needs.
    Debug,
    /// Everything of Penstock's own. What its libraries would tell holds credentials and
    /// prompts: it has to be asked for by name, in the variable `PENSTOCK_LOG`.
    Trace,
}

/// Whether finished requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// One line for each finished request.
    #[default]
    On,
    /// None; failures are still logged.
    Off,
}

/// Bounds on what clients may ask for, and on how long they may take for it. Reaching
/// `request_body`, `connections`, `handshake_timeout`, `head_timeout`, `read_timeout`,
/// `write_timeout` or `generations` is counted in `penstock_limit_reached_total` by that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body; a larger one is answered with 413. Default: `16MiB`,
    /// at most `1GiB`.
    #[serde(deserialize_with = "field::size_within::<_, 1, { 1 << 30 }>")]
    pub request_body: Size,
    /// Longest target of a request, path and query; a longer one is answered with 414.
    /// Default: `8KiB` (RFC 9110 section 4.1 asks for 8000 bytes), `256B` to `64KiB`.
    #[serde(deserialize_with = "field::size_within::<_, 256, { 64 << 10 }>")]
    pub request_target: Size,
    /// Longest head of a request: its first line and all of its headers. A longer one is
    /// answered with 431. Default: `64KiB`, `1KiB` to `1000KiB`. In HTTP/2 it bounds the
    /// headers as RFC 9113 section 6.5.2 counts them.
    #[serde(deserialize_with = "field::size_within::<_, 1024, { 1000 << 10 }>")]
    pub request_head: Size,
    /// Headers that a request may have; more are answered with 431. Default: 128, 8 to 256.
    #[serde(deserialize_with = "field::within::<_, _, 8, 256>")]
    #[schemars(range(min = 8, max = 256))]
    pub request_fields: u16,
    /// Longest head of an upstream's answer: all of its headers. A longer one is a failed
    /// attempt, which is tried again as others are, or answered with 502. Default: `64KiB`,
    /// `1KiB` to `1000KiB`.
    #[serde(deserialize_with = "field::size_within::<_, 1024, { 1000 << 10 }>")]
    pub response_head: Size,
    /// Headers that an upstream's answer may have; more are a failed attempt. Default: 128,
    /// 8 to 256.
    #[serde(deserialize_with = "field::within::<_, _, 8, 256>")]
    #[schemars(range(min = 8, max = 256))]
    pub response_fields: u16,
    /// Client connections that a worker holds at once; past it the worker accepts
    /// no more until one closes. So there may be that many times `workers` in all; how many
    /// one address may have is `clients.connections_per_address`. Default: 65536, at
    /// least 1, at most 1000000.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: u32,
    /// How long a connection may be idle: before its first request, between requests, and
    /// over HTTP/2 while no stream is open. Default: `60s`.
    pub keepalive_timeout: Duration,
    /// How long a TLS handshake may take, from the connection's acceptance, and then the
    /// preface of HTTP/2. Default: `10s`.
    pub handshake_timeout: Duration,
    /// How long the head of an HTTP/1 request may take, from its first byte to its last,
    /// however it is dealt out; a later one is answered with 408 (RFC 9110 section 15.5.9)
    /// and the connection is closed. Default: `10s`, which HAProxy and Envoy recommend.
    pub head_timeout: Duration,
    /// Longest wait for the next bytes of a request's body. Bytes push the end of the wait
    /// on by as long as they may take at `read_rate`, so that a body that comes more slowly
    /// ends as well, however it is dealt out: with 408 and a close. Only time in which the
    /// proxy waits for the client counts. Default: `10s`.
    pub read_timeout: Duration,
    /// The least that must come of a body in a second, in the mean over `read_timeout`, `1B`
    /// to `1GiB`. Default: `1KiB`, which the slowest mobile links reach; Apache's
    /// mod_reqtimeout asks for 500 bytes, Kestrel for 240.
    #[serde(deserialize_with = "field::size_within::<_, 1, { 1 << 30 }>")]
    pub read_rate: Size,
    /// Longest wait for a client to take the next bytes of an answer, of those that wait for
    /// it: an answer that has nothing to say is never ended. What is taken at less than
    /// `write_rate` ends as well, with a reset of the connection; it is counted where the
    /// client's system acknowledges it. Default: `10s`.
    pub write_timeout: Duration,
    /// The least that must be taken of what waits in a second, in the mean over
    /// `write_timeout`, `1B` to `1GiB`. Default: `1KiB`.
    #[serde(deserialize_with = "field::size_within::<_, 1, { 1 << 30 }>")]
    pub write_rate: Size,
    /// HTTP/2 streams that a client may have open on one connection. Default: 100, the
    /// least that RFC 9113 section 6.5.2 recommends, and what Pingora and HAProxy have; at least
    /// 1, at most 65536.
    /// Each may hold the head of a request and part of an answer in memory, up to half a
    /// megabyte of one that arrives fast.
    #[serde(deserialize_with = "field::within::<_, _, 1, 65_536>")]
    #[schemars(range(min = 1, max = 65_536))]
    pub http2_streams: u32,
    /// Idle connections kept to upstreams, for each worker. Default: 1024,
    /// at most 1000000; 0 keeps none.
    #[serde(deserialize_with = "field::within::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub upstream_idle_connections: u32,
    /// Generations of the configuration that may be alive at once: the one that serves,
    /// the one before, which is kept for a rollback, and those that requests still run
    /// on. A reload past it is refused. Default: 16, at least 2, at
    /// most 1024.
    #[serde(deserialize_with = "field::within::<_, _, 2, 1024>")]
    #[schemars(range(min = 2, max = 1024))]
    pub generations: u32,
}

/// How paths are brought into one spelling (RFC 3986 section 6.2.2), once, before a route is
/// looked for: letters, digits and `-._~` are not escaped, other escapes are in upper case,
/// and `.` and `..` are resolved. That path is matched, logged and sent upstream. One with an
/// escape that is none, with a NUL, or that leaves its root is refused with 400.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// Whether several slashes in a row are one. Default: `true`. Without it, `/v1//x` is not
    /// matched by a route for `/v1/x`, and is sent as it is.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C` in a path: to some servers they separate segments.
    /// Default: `same_route`, since names of models have slashes, which OpenAI's and
    /// Anthropic's clients escape: `/v1/models/org%2Fname`.
    pub escaped_separators: EscapedSeparators,
}

/// What becomes of `%2F` and `%5C` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSeparators {
    /// They are sent on as part of a segment if the request would go by the same route to the
    /// same API were they separators, whichever its server takes them for. If not, it is
    /// refused with 400, and so are `.` and `..` beside them.
    #[default]
    SameRoute,
    /// The request is refused with 400.
    Refuse,
    /// Both become `/`, in what is matched and in what is sent.
    Unescape,
    /// They are sent on as part of a segment, whatever route another reading would match: for
    /// servers of which none takes them for separators. With them, `.` and `..` are refused.
    Keep,
}

/// Memory for answers that are given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheMemory {
    /// Memory that stored answers may take up together, for all workers and all `cache`
    /// plugins, `64KiB` to `1024GiB`; answers that are still arriving may take up a
    /// quarter of it besides. What is asked for again stays when it is full.
    /// Default: `64MiB`.
    #[serde(deserialize_with = "field::size_within::<_, { 64 << 10 }, { 1 << 40 }>")]
    pub capacity: Size,
}

/// Sizes of each worker's ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IoUring {
    /// Submission queue entries, a power of two from 8 to 32768. Default: 1024.
    #[serde(deserialize_with = "field::power_of_two::<_, _, 8, 32_768>")]
    #[schemars(range(min = 8, max = 32_768))]
    pub entries: u32,
    /// Receive buffers that connections share, a power of two from 8 to 32768.
    /// Default: 256.
    #[serde(deserialize_with = "field::power_of_two::<_, _, 8, 32_768>")]
    #[schemars(range(min = 8, max = 32_768))]
    pub buffers: u16,
    /// Size of each receive buffer, `1KiB` to `1MiB`. Default: `16KiB`.
    #[serde(deserialize_with = "field::size_within::<_, 1024, { 1 << 20 }>")]
    pub buffer_size: Size,
    /// Which receives and sends go through the ring. Default: `auto`.
    pub batching: Batching,
}

/// Which receives and sends go through the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Batching {
    /// All while many come at a time, which is when the ring saves system calls; while few
    /// do, they are plain system calls, which is cheaper then and answers sooner.
    #[default]
    Auto,
    /// All.
    Always,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![Listener::default()],
            admin: Admin::default(),
            transport: Transport::default(),
            workers: Workers::default(),
            zone: None,
            drain_timeout: Duration::seconds(30),
            upgrade_socket: None,
            dns: Dns::default(),
            log: Log::default(),
            limits: Limits::default(),
            clients: Clients::default(),
            http2: Http2::default(),
            overload: Overload::default(),
            paths: Paths::default(),
            cache: CacheMemory::default(),
            io_uring: IoUring::default(),
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: loopback(8080),
            tls: None,
            http2: None,
            proxy_protocol: None,
        }
    }
}

impl Listener {
    /// Whether HTTP/2 is offered, with the default for this kind of listener.
    pub fn offers_http2(&self) -> bool {
        self.http2.unwrap_or(self.tls.is_some())
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self::On(loopback(9901))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: Size::kib(16 * 1024),
            request_target: Size::kib(8),
            request_head: Size::kib(64),
            request_fields: 128,
            response_head: Size::kib(64),
            response_fields: 128,
            connections: 65_536,
            keepalive_timeout: Duration::seconds(60),
            handshake_timeout: Duration::seconds(10),
            head_timeout: Duration::seconds(10),
            read_timeout: Duration::seconds(10),
            read_rate: Size::kib(1),
            write_timeout: Duration::seconds(10),
            write_rate: Size::kib(1),
            http2_streams: 100,
            upstream_idle_connections: 1024,
            generations: 16,
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            merge_slashes: true,
            escaped_separators: EscapedSeparators::default(),
        }
    }
}

impl Default for CacheMemory {
    fn default() -> Self {
        Self {
            capacity: Size::kib(64 * 1024),
        }
    }
}

impl Default for IoUring {
    fn default() -> Self {
        Self {
            entries: 1024,
            buffers: 256,
            buffer_size: Size::kib(16),
            batching: Batching::default(),
        }
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

fn address_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
        "examples": ["127.0.0.1:8080", "0.0.0.0:8443", "[::]:8443"],
    })
}
