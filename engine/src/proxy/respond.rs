//! The only place that writes answers of our own to clients.
//!
//! Where the SDKs of model APIs call, errors have the JSON shape that they document, so
//! that an SDK raises its own exception for them: OpenAI's
//! (<https://platform.openai.com/docs/guides/error-codes>) or Anthropic's
//! (<https://docs.anthropic.com/en/api/errors>). Elsewhere they are a line of plain text.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use penstock_plugins::{Dialect, Exchange, Kind, Outcome, Refusal, request_id};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::body::{declared_length, expects_continue};
use super::context::Context;
use super::{edits, tried};

/// A rest of a body up to this size is read away, so that the connection can go on.
const DRAINED_MAX: usize = 64 * 1024;

/// How long a client that is still sending is heard after its answer, so that closing
/// does not destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

/// Longest part of a client's text that an answer repeats, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Answers a request that goes no further.
pub(super) async fn refuse(
    session: &mut Session,
    ctx: &mut Context,
    refusal: Refusal,
) -> Result<()> {
    ctx.outcome = Some(Outcome::Refused);
    ctx.reason = Some(refusal.reason.clone().into_owned());
    let sending = !session.is_body_done();
    // A client that waits for leave to send its body may never send it.
    let small = declared_length(session).is_some_and(|length| length <= DRAINED_MAX)
        && !expects_continue(session);
    if sending && small {
        // Pingora reads the rest away when the answer is written.
        let client = &mut session.downstream_session;
        client.set_close_on_response_before_downstream_finish(false);
    } else if sending {
        session.set_keepalive(None);
    }
    session.set_total_drain_timeout(Some(LINGER));
    write(session, ctx, &refusal).await?;
    if sending && !small {
        hear_out(session).await;
    }
    Ok(())
}

/// Writes a refusal in the dialect of the request's path.
pub(super) async fn write(
    session: &mut Session,
    ctx: &mut Context,
    refusal: &Refusal,
) -> Result<()> {
    let (content_type, body) = render(&ctx.exchange, refusal);
    let mut head = ResponseHeader::build(refusal.status, Some(refusal.headers.len() + 4))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static(content_type))?;
    head.insert_header(CONTENT_LENGTH, body.len())?;
    for (name, value) in &refusal.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    tried::tell(ctx, &mut head)?;
    edits::apply(&ctx.exchange.response, &mut head)?;
    ctx.status = refusal.status.as_u16();
    let bodiless = session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(head), bodiless)
        .await?;
    if !bodiless {
        ctx.response_bytes += body.len() as u64;
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// A refusal as the last bytes of an HTTP/1 connection that Pingora does not speak on: the
/// head, and the body for those who get one.
pub(super) fn closing(exchange: &Exchange, refusal: &Refusal, now: SystemTime) -> (String, Bytes) {
    let (content_type, body) = render(exchange, refusal);
    let mut head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nDate: {}\r\nConnection: close\r\n",
        refusal.status,
        body.len(),
        httpdate::fmt_http_date(now),
    );
    for (name, value) in &refusal.headers {
        // Ours are ASCII.
        if let Ok(value) = value.to_str() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    (head, body)
}

fn render(exchange: &Exchange, refusal: &Refusal) -> (&'static str, Bytes) {
    let error = match exchange.dialect() {
        Dialect::OpenAi => openai(refusal),
        Dialect::Anthropic => anthropic(exchange, refusal),
        Dialect::Plain => {
            let line = format!("{}\n", refusal.message);
            return ("text/plain; charset=utf-8", line.into());
        }
    };
    ("application/json", error.to_string().into())
}

/// A refusal as the last event of a stream, where streams have such events.
pub(super) fn event(exchange: &Exchange, refusal: &Refusal) -> Option<Bytes> {
    let event = match exchange.dialect() {
        Dialect::OpenAi => format!("data: {}\n\n", openai(refusal)),
        Dialect::Anthropic => format!("event: error\ndata: {}\n\n", anthropic(exchange, refusal)),
        Dialect::Plain => return None,
    };
    Some(event.into())
}

fn openai(refusal: &Refusal) -> serde_json::Value {
    let kind = match refusal.kind {
        // OpenAI has no word of its own for it.
        Kind::NotFound => Kind::InvalidRequest,
        kind => kind,
    };
    serde_json::json!({
        "error": {
            "message": refusal.message,
            "type": kind.as_str(),
            "param": null,
            "code": refusal.code,
        }
    })
}

fn anthropic(exchange: &Exchange, refusal: &Refusal) -> serde_json::Value {
    let mut error = serde_json::json!({
        "type": "error",
        "error": { "type": refusal.kind.as_str(), "message": refusal.message },
    });
    let mut notes = exchange.notes().iter();
    let id = notes.find(|note| note.name == request_id::NOTE);
    if let (Some(id), Some(error)) = (id, error.as_object_mut()) {
        error.insert("request_id".into(), id.value.as_ref().into());
    }
    error
}

/// Reads on for a while after the answer: closing with bytes unread would reset the
/// connection, and the client might never see why.
pub(super) async fn hear_out(session: &mut Session) {
    let reading = async { while let Ok(Some(_)) = session.read_request_body().await {} };
    // A client that sends on for longer has had its chance to read.
    let _ = tokio::time::timeout(LINGER, reading).await;
}

/// A client's text as an answer repeats it: short, and nothing that a terminal obeys.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use penstock_plugins::Arrival;

    use super::*;

    fn no_route(path: &str, id: Option<&'static str>) -> (&'static str, Bytes) {
        let mut exchange = Exchange::new(Arrival {
            id: 1,
            client: None,
            generation: 1,
            at: Duration::ZERO,
            dialect: Dialect::of(path),
        });
        if let Some(id) = id {
            exchange.note(request_id::NOTE, id);
        }
        let message = "No \"route\".";
        let refusal = Refusal::new(StatusCode::NOT_FOUND, Kind::NotFound, "no_route", message);
        render(&exchange, &refusal)
    }

    fn json(path: &str, id: Option<&'static str>) -> serde_json::Value {
        let (content_type, body) = no_route(path, id);
        assert_eq!(content_type, "application/json");
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn sdks_of_openai_get_the_shape_that_they_read() {
        for path in ["/v1/chat/completions", "/openai/deployments/x/embeddings"] {
            let value = json(path, Some("id"));
            let wanted = serde_json::json!({ "error": {
                "message": "No \"route\".",
                "type": "invalid_request_error",
                "param": null,
                "code": "no_route",
            }});
            assert_eq!(value, wanted);
        }
    }

    #[test]
    fn sdks_of_anthropic_get_the_shape_that_they_read() {
        let mut wanted = serde_json::json!({
            "type": "error",
            "error": { "type": "not_found_error", "message": "No \"route\"." },
        });
        assert_eq!(json("/v1/messages", None), wanted);
        wanted["request_id"] = "id".into();
        assert_eq!(json("/v1/messages", Some("id")), wanted);
    }

    #[test]
    fn everyone_else_gets_a_line() {
        let (content_type, body) = no_route("/v1", None);
        assert_eq!(content_type, "text/plain; charset=utf-8");
        assert_eq!(body, "No \"route\".\n");
    }

    #[test]
    fn what_a_client_sent_is_repeated_safely() {
        assert_eq!(shown("/a\u{1b}[2J"), "/a\\u{1b}[2J");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
