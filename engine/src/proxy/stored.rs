//! An answer that was stored before, on its way to the client.
//!
//! It goes the way of an upstream's answer: past the response filters, whose changes are
//! made to its head, and through their readers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};
use penstock_plugins::cache::{Entry, Recorder};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::answer;
use super::context::Context;

/// Key in the access log of what became of an answer that was to be stored.
const NOTE: &str = "cache_entry";

/// Answers a request with a stored answer.
pub(super) async fn serve(
    session: &mut Session,
    ctx: &mut Context,
    entry: &Arc<Entry>,
) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(entry.headers().len() + 6))?;
    for (name, value) in entry.headers() {
        head.append_header(name.clone(), value.clone())?;
    }
    if entry.is_stream() {
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    } else {
        head.insert_header(CONTENT_LENGTH, entry.body().len())?;
    }
    answer::head(session, ctx, &mut head)?;
    session.write_response_header(Box::new(head), false).await?;
    let mut pieces = entry.pieces().peekable();
    while let Some(piece) = pieces.next() {
        let last = pieces.peek().is_none();
        let mut piece = Some(piece);
        answer::chunk(ctx, &mut piece, last)?;
        session.write_response_body(piece, last).await?;
    }
    Ok(())
}

/// Shows the head of the upstream's answer to whoever records it.
pub(super) fn record_head(ctx: &mut Context, head: &ResponseHeader) {
    if let Some(recorder) = ctx.recorder.take() {
        let now = ctx.arrival.at + ctx.started.elapsed();
        ctx.recorder = recorder.head(head, now);
    }
}

/// Shows a piece of the upstream's body to whoever records it. The last one of an answer
/// that ended properly stores it; without that, the record goes with the context.
pub(super) fn record_chunk(ctx: &mut Context, chunk: Option<&Bytes>, last: bool) {
    let Some(recorder) = ctx.recorder.take() else {
        return;
    };
    let taken: Option<Box<Recorder>> = match chunk {
        Some(chunk) => recorder.chunk(chunk),
        None => Some(recorder),
    };
    match taken {
        Some(recorder) if last => ctx.exchange.note(NOTE, recorder.finish()),
        taken => ctx.recorder = taken,
    }
}
