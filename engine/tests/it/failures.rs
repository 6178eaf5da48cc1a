//! Every way in which an upstream fails a request, and what its client sees of that.
//!
//! Each way is a line of a table, which says how it ends for a client that asks for a stream
//! or for an answer in one piece. It is tried with a small body and one of a MiB, in each
//! protocol in which an upstream can fail so, three times: where another endpoint is good,
//! where a fallback is, and where nobody is.

use penstock::transport::Transport;

mod case;
mod site;
mod upstream;

on_both!(
    no_connection,
    nothing_of_an_answer,
    an_error_instead,
    a_head_and_no_more,
    a_preamble_and_no_more,
    a_part_of_an_answer,
);

/// A way of failing.
#[derive(Clone, Copy, Debug)]
struct Way {
    does: Does,
    /// In which protocols.
    over: &'static [Over],
    /// Whether to a request for a stream, for an answer in one piece, or both.
    forms: &'static [bool],
    fate: Fate,
}

/// What an upstream does to each request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Nobody listens.
    Refuse,
    /// No way leads there.
    Unreachable,
    /// Connections are neither accepted nor refused.
    NoRoom,
    /// It has a certificate of an authority that is not trusted.
    Stranger,
    /// It answers whatever comes with an error of HTTP/1.1.
    NoTls,
    /// It takes a connection and is silent.
    Hang,
    /// It takes a connection and closes it.
    HangUp,
    /// What the simulator does when it is asked for this fault.
    Simulate(&'static str),
    /// It reads the request and says this.
    Say(&'static str, End),
    /// It reads the request and answers with success, these lines of a head and this body.
    Answer(&'static str, &'static str, End),
    /// It reads the request and begins a stream of these events, each in a chunk.
    Events(&'static [&'static str], End),
    /// It answers with a head of so many lines of so many bytes.
    Head { lines: usize, bytes: usize },
    /// It sends half of an answer of so many bytes.
    Half(usize),
    /// Over HTTP/2 it tells this length of a stream that is this.
    Tell(Option<usize>, &'static str),
    /// It resets a request's stream with this code (RFC 9113 section 7).
    ResetStream(u32),
    /// It says with this code that it handles no request any more.
    GoAway(u32),
}

/// How an upstream leaves off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Reset,
    Silence,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    One,
    Two,
    TlsOne,
    TlsTwo,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It goes on to whoever is left; the client sees this only if that one fails as well.
    Again(Seen),
    /// The client sees this, whoever is left.
    Final(Seen),
}

/// What a client sees of a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// An error of ours, with a status and a code.
    Error(u16, &'static str),
    /// The upstream's own error, with a status and `Retry-After`.
    Status(u16, &'static str),
    /// Tokens, then an event that tells of an error with this code.
    Event(&'static str),
    /// An answer that is visibly incomplete.
    Cut,
    /// What the upstream has said, since nothing of it looks wrong or it is too late.
    AsIs,
}

use Does::{
    Answer, Events, GoAway, Half, Hang, HangUp, Head, NoRoom, NoTls, Refuse, ResetStream, Say,
    Simulate, Stranger, Tell, Unreachable,
};
use End::{Close, Reset, Silence};
use Fate::{Again, Final};
use Over::{One, TlsOne, TlsTwo, Two};
use Seen::{AsIs, Cut, Error, Event, Status};

/// Lines of a table: what an upstream does in which protocols, and how a stream, an answer
/// in one piece, or each of both ends.
macro_rules! ways {
    ($($does:expr, $over:expr => $form:ident $fate:expr,)+) => {
        &[$(Way { does: $does, over: $over, forms: ways!($form), fate: $fate }),+]
    };
    (stream) => { &[true] };
    (whole) => { &[false] };
    (both) => { &[true, false] };
}

const ANY: &[Over] = &[One, Two, TlsOne, TlsTwo];
const PLAIN: &[Over] = &[One, Two];
const TLS: &[Over] = &[TlsOne, TlsTwo];
const HTTP1: &[Over] = &[One];
const HTTP2: &[Over] = &[Two];

const FAILED: Seen = Error(502, "upstream_failed");
const LATE: Seen = Error(504, "upstream_timeout");

const NO_CONNECTION: &[Way] = ways! {
    Refuse, ANY => both Again(FAILED),
    Unreachable, PLAIN => both Again(FAILED),
    NoRoom, ANY => both Again(LATE),
    Stranger, TLS => both Again(FAILED),
    NoTls, TLS => both Again(FAILED),
    HangUp, TLS => both Again(FAILED),
    Hang, TLS => both Again(LATE),
};

const NOTHING: &[Way] = ways! {
    HangUp, PLAIN => both Again(FAILED),
    Hang, PLAIN => both Again(LATE),
    NoTls, HTTP2 => both Again(FAILED),
    // Without an error, INTERNAL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM.
    ResetStream(0), HTTP2 => both Again(FAILED),
    ResetStream(2), HTTP2 => both Again(FAILED),
    ResetStream(7), HTTP2 => both Again(FAILED),
    ResetStream(11), HTTP2 => both Again(FAILED),
    GoAway(0), HTTP2 => both Again(FAILED),
    GoAway(11), HTTP2 => both Again(FAILED),
    Simulate("refuse"), ANY => both Again(FAILED),
    Simulate("refuse; at=body"), PLAIN => both Again(FAILED),
    Simulate("stall; at=body"), PLAIN => both Again(LATE),
    Simulate("stall; at=head"), ANY => both Again(LATE),
    Say("", Close), HTTP1 => both Again(FAILED),
    Say("", Reset), HTTP1 => both Again(FAILED),
    Say("HTTP/1.1 200 OK\r\ncontent-le", Close), HTTP1 => both Again(FAILED),
    Say("HTTP/1.1 200 OK\r\ncontent-le", Reset), HTTP1 => both Again(FAILED),
    Say("HTTP/1.1 200 OK\r\ncontent-le", Silence), HTTP1 => both Again(LATE),
    Say("HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n", Close), HTTP1 => both Again(FAILED),
    Say("HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n", Silence), HTTP1 => both Again(LATE),
    Say("SSH-2.0-OpenSSH_9.6\r\n\r\n", Close), HTTP1 => both Again(FAILED),
    Say("HTTP/1.1 two hundred\r\n\r\n", Close), HTTP1 => both Again(FAILED),
    Answer("no header", "", Close), HTTP1 => both Again(FAILED),
    Answer("content-length: x", "", Close), HTTP1 => both Again(FAILED),
    Answer("content-length: 2\r\ncontent-length: 3", "{}", Close), HTTP1 => both Again(FAILED),
    // More of a head than is read.
    Head { lines: 140, bytes: 8000 }, HTTP1 => both Again(FAILED),
    Head { lines: 300, bytes: 8 }, HTTP1 => both Again(FAILED),
};

const NO_RETRY_AFTER: &str =
    "HTTP/1.1 429 Too Many Requests\r\nx-upstream-name: bad\r\ncontent-length: 2\r\n\r\n{}";

const STATUSES: &[Way] = ways! {
    Simulate("429; retry-after=7"), ANY => both Again(Status(429, "7")),
    Say(NO_RETRY_AFTER, Close), HTTP1 => both Again(Status(429, "")),
    Simulate("500"), ANY => both Again(Status(500, "")),
    Simulate("500; at=body"), PLAIN => both Again(Status(500, "")),
    Simulate("502"), PLAIN => both Again(Status(502, "")),
    Simulate("503"), PLAIN => both Again(Status(503, "")),
    Simulate("503; retry-after=7"), PLAIN => both Again(Status(503, "7")),
    Simulate("503; retry-after=7; at=body"), PLAIN => both Again(Status(503, "7")),
    Simulate("504"), PLAIN => both Again(Status(504, "")),
    // A mistake of the client's is one everywhere.
    Simulate("400"), ANY => both Final(Status(400, "")),
    Simulate("401"), PLAIN => both Final(Status(401, "")),
};

const AFTER_HEAD: &[Way] = ways! {
    Simulate("cut; after=0"), ANY => both Again(FAILED),
    Simulate("reset; after=0"), ANY => both Again(FAILED),
    Simulate("stall; at=first"), ANY => both Again(LATE),
    Answer("transfer-encoding: chunked", "", Close), HTTP1 => both Again(FAILED),
    Answer("transfer-encoding: chunked", "no length\r\n", Close), HTTP1 => both Again(FAILED),
    Answer("transfer-encoding: chunked", "5\r\n: ", Close), HTTP1 => both Again(FAILED),
    Answer("content-length: 100", ": ", Close), HTTP1 => both Again(FAILED),
    Answer("content-length: 100", ": ", Reset), HTTP1 => both Again(FAILED),
    Answer("content-length: 100", ": ", Silence), HTTP1 => both Again(LATE),
    Tell(Some(1000), ROLE), HTTP2 => stream Again(FAILED),
    Tell(Some(5), ROLE), HTTP2 => stream Again(FAILED),
    Half(1 << 10), HTTP1 => whole Again(FAILED),
    // These streams end as they should, and have said nothing.
    Answer("transfer-encoding: chunked", "0\r\n\r\n", Close), HTTP1 => stream Again(FAILED),
    Answer("content-length: 0", "", Close), HTTP1 => stream Again(FAILED),
    Answer("connection: close", "", Close), HTTP1 => stream Again(FAILED),
    Tell(None, ""), HTTP2 => stream Again(FAILED),
    // Only a stream is looked into.
    Simulate("malformed"), ANY => stream Again(AsIs),
    Simulate("malformed"), ANY => whole Final(AsIs),
    // What was announced is there.
    Answer("content-length: 2", "{}, and more", Close), HTTP1 => whole Final(AsIs),
};

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const HALF_EVENT: &str = "data: {\"choices\":[{\"delta\":{\"cont";
const BROKEN: &str = "data: {\"choices\":[{\"delta\":{\"cont\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n";
const CREATED: &str = ": ping\n\ndata: {\"type\":\"response.created\"}\n\n";
const NOT_CREATED: &str =
    "data: {\"type\":\"response.created\"}\n\ndata: {\"type\":\"response.failed\"}\n\n";

const PREAMBLE: &[Way] = ways! {
    Events(&[ROLE], Close), HTTP1 => stream Again(FAILED),
    Events(&[ROLE], Reset), HTTP1 => stream Again(FAILED),
    Events(&[ROLE], Silence), HTTP1 => stream Again(LATE),
    Tell(None, ROLE), HTTP2 => stream Again(FAILED),
    Events(&[ROLE, ": ping\n\n", HALF_EVENT], Close), HTTP1 => stream Again(FAILED),
    Events(&[CREATED], Close), HTTP1 => stream Again(FAILED),
    Events(&[": ping\n\n", ": ping\n\n"], Silence), HTTP1 => stream Again(LATE),
    Answer("connection: close", ROLE, Close), HTTP1 => stream Again(FAILED),
    Answer("connection: close", CREATED, Close), HTTP1 => stream Again(FAILED),
    // An upstream's own words are passed on where nobody has better ones.
    Answer("connection: close", NOT_CREATED, Close), HTTP1 => stream Again(AsIs),
    Answer("connection: close", ERROR, Close), HTTP1 => stream Again(AsIs),
    Events(&[ERROR], Silence), HTTP1 => stream Again(Event("upstream_timeout")),
    Events(&[ROLE, ERROR], Close), HTTP1 => stream Again(Event("upstream_failed")),
    Events(&[ROLE, BROKEN], Close), HTTP1 => stream Again(Event("upstream_failed")),
};

const PART: &[Way] = ways! {
    Simulate("cut; after=3"), ANY => stream Final(Event("upstream_failed")),
    Simulate("cut; after=3"), ANY => whole Again(FAILED),
    Simulate("reset; after=3"), ANY => stream Final(Event("upstream_failed")),
    Simulate("reset; after=3"), ANY => whole Again(FAILED),
    Simulate("stall; at=3"), ANY => stream Final(Event("upstream_timeout")),
    Simulate("stall; at=3"), ANY => whole Again(LATE),
    Simulate("malformed; after=3"), ANY => stream Final(AsIs),
    Events(&[ROLE, TOKEN], Close), HTTP1 => stream Final(Event("upstream_failed")),
    Events(&[ROLE, TOKEN], Silence), HTTP1 => stream Final(Event("upstream_timeout")),
    Events(&[ROLE, TOKEN, ERROR], Close), HTTP1 => stream Final(Event("upstream_failed")),
    // Half an event cannot be followed by another one,
    Events(&[ROLE, TOKEN, HALF_EVENT], Close), HTTP1 => stream Final(Cut),
    Events(&[ROLE, TOKEN, HALF_EVENT], Silence), HTTP1 => stream Final(Cut),
    // nor can anything follow where the length is told.
    Answer("content-length: 1000", TOKEN, Close), HTTP1 => stream Final(Cut),
    // Closing is the end that such a head announces.
    Answer("connection: close", TOKEN, Close), HTTP1 => stream Final(AsIs),
    // More than is held back of an answer in one piece.
    Half(1 << 20), HTTP1 => whole Final(Cut),
};

async fn no_connection(transport: Transport) {
    case::try_all(transport, NO_CONNECTION).await;
}

async fn nothing_of_an_answer(transport: Transport) {
    case::try_all(transport, NOTHING).await;
}

async fn an_error_instead(transport: Transport) {
    case::try_all(transport, STATUSES).await;
}

async fn a_head_and_no_more(transport: Transport) {
    case::try_all(transport, AFTER_HEAD).await;
}

async fn a_preamble_and_no_more(transport: Transport) {
    case::try_all(transport, PREAMBLE).await;
}

async fn a_part_of_an_answer(transport: Transport) {
    case::try_all(transport, PART).await;
}
