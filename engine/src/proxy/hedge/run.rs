//! What the task of a second attempt does: waits, sends, and reads up to the first output.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use penstock_plugins::balance::{Ask, Verdict};
use penstock_plugins::preamble::{Opening, Preamble};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use tokio::sync::oneshot;
use tracing::debug;

use super::{Failure, Missed, Place, Plan, Sent, Shared, Stage, Trip};
use crate::clock;
use crate::handover::Begun;
use crate::hedges::Hedged;
use crate::proxy::attempt::{self, Source};
use crate::proxy::held;
use crate::proxy::outgoing::{self, TRIES_MAX};
use crate::strict::{AnswerLimits, check_answer};
use crate::upstream::{self, Credential, Endpoint, Upstream};

/// Where a beginning goes that the request waits for.
type Giver = oneshot::Sender<Result<Box<Begun>>>;

/// The beginning of an answer.
struct Beginning {
    begun: Box<Begun>,
    /// Why another answer would be better, in a word.
    fault: Option<String>,
}

/// What it failed with before there was one.
struct Stumble {
    error: Box<Error>,
    is_connected: bool,
}

/// What is sent, and where.
struct Departure<'a> {
    place: &'a Place,
    upstream: &'a Upstream,
    peer: Box<HttpPeer>,
    head: Result<RequestHeader>,
}

/// Makes the attempt when it is time.
pub(super) async fn run(plan: Plan, delay: Duration, shared: Arc<Shared>, give: Giver) {
    tokio::time::sleep(delay).await;
    let departure = match plan.depart(&shared) {
        Ok(departure) => departure,
        Err(why) => {
            plan.hedges.count(why);
            *shared.stage.lock() = Stage::Over(why, None);
            return;
        }
    };
    let beginning = match &departure.head {
        Ok(head) => plan.exchange(&departure, head).await,
        Err(error) => Err(Stumble {
            error: Error::explain(error.etype().clone(), "the head of a second attempt"),
            is_connected: true,
        }),
    };
    plan.conclude(departure.upstream, &shared, beginning, give);
}

impl Plan {
    /// Chooses the endpoint that it is sent to.
    ///
    /// # Errors
    /// Why it is not sent.
    fn depart(&self, shared: &Shared) -> Result<Departure<'_>, Hedged> {
        let now = clock::now();
        let places = self.places.iter().filter_map(|place| {
            let upstream = self.generation.upstream(place.upstream)?;
            Some((place, upstream))
        });
        let mut open = places.filter(|(place, upstream)| upstream.pool().has_other(place.ask(now)));
        let (place, upstream) = open.next().ok_or(Hedged::NoEndpoint)?;
        if !self.hedges.spend(Instant::now()) {
            return Err(Hedged::OverBudget);
        }
        let pool = upstream.pool();
        let entered = pool.enter_other(place.ask(now));
        let (member, flight) = entered.map_err(|_| Hedged::NoEndpoint)?;
        let endpoint = member.target.clone();
        let (head, credential) = match self.head(place, upstream, &endpoint) {
            Ok((head, credential)) => (Ok(head), credential),
            Err(error) => (Err(error), None),
        };
        let peer = endpoint.peer();
        self.hedges.count(Hedged::Started);
        *shared.stage.lock() = Stage::UnderWay(Box::new(Trip {
            sent: Sent {
                fallback: place.fallback,
                upstream: place.upstream,
                endpoint,
                at: Instant::now(),
            },
            flight,
            credential,
        }));
        Ok(Departure {
            place,
            upstream,
            peer,
            head,
        })
    }

    /// The head as an attempt of Pingora's would send it.
    fn head(
        &self,
        place: &Place,
        upstream: &Upstream,
        endpoint: &Endpoint,
    ) -> Result<(RequestHeader, Option<Arc<Credential>>)> {
        let mut head = outgoing::relayed(&self.client)?;
        outgoing::frame(&mut head, &self.client, place.length)?;
        let (endpoint, length) = (Some(endpoint), place.length);
        let credential = attempt::dress(upstream, endpoint, &[], &self.edits, length, &mut head)?;
        Ok((head, credential))
    }

    /// Sends it, and reads up to the first output.
    async fn exchange(
        &self,
        departure: &Departure<'_>,
        head: &RequestHeader,
    ) -> Result<Beginning, Stumble> {
        let Departure {
            place,
            upstream,
            peer,
            ..
        } = departure;
        let stumble = |is_connected| {
            move |error| Stumble {
                error,
                is_connected,
            }
        };
        let mut tries = 1;
        let mut session = loop {
            let connected = self.connections.connect(peer).await;
            let (mut session, reused) = connected.map_err(stumble(false))?;
            attempt::count_connection(upstream, reused);
            match place.ask_over(&mut session, head, peer).await {
                Ok(()) => break session,
                // It may have been closed while it was idle.
                Err(_) if reused && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(stumble(true)(error)),
            }
        };
        let mut pieces = VecDeque::new();
        let fault = self.listen(&mut session, &mut pieces).await;
        let fault = fault.map_err(stumble(true))?;
        let begun = Box::new(Begun {
            session,
            peer: peer.clone(),
            connections: self.connections.clone(),
            pieces,
        });
        Ok(Beginning { begun, fault })
    }

    /// Reads an answer, whose head is there, up to its first output. Says why another answer
    /// would be better, if one would.
    async fn listen(
        &self,
        session: &mut HttpSession,
        pieces: &mut VecDeque<Bytes>,
    ) -> Result<Option<String>> {
        let Some(head) = session.response_header() else {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "no head");
        };
        let route = self
            .route
            .and_then(|route| self.generation.routes.get(route));
        let limits = AnswerLimits::from(&self.generation.config.server.limits);
        if let Err(fault) = check_answer(&limits, head.version, head.status, &head.headers) {
            return Ok(Some(fault.to_string()));
        }
        if route.is_some_and(|route| attempt::is_unwelcome(route, head.status)) {
            return Ok(Some(format!("status_{}", head.status.as_u16())));
        }
        if !self.is_dialect || !held::is_stream(head) {
            return Ok(None);
        }
        let (mut preamble, mut bytes) = (Preamble::default(), 0);
        loop {
            let opening = match session.read_response_body().await? {
                None => preamble.finish(),
                Some(piece) => {
                    let opening = preamble.read(&piece);
                    bytes += piece.len();
                    pieces.push_back(piece);
                    opening
                }
            };
            match opening {
                Opening::Preamble if bytes <= held::BYTES_MAX => {}
                Opening::Failed(failure) => return Ok(Some(failure.as_str().to_owned())),
                _ => return Ok(None),
            }
        }
    }

    /// Gives the beginning to the request, if it waits for it or may do better with it.
    fn conclude(
        &self,
        upstream: &Upstream,
        shared: &Shared,
        beginning: Result<Beginning, Stumble>,
        give: Giver,
    ) {
        let mut stage = shared.stage.lock();
        let give = |beginning: Result<Box<Begun>>| {
            // The other end is gone only if the request is.
            let _ = give.send(beginning);
        };
        *stage = match std::mem::replace(&mut *stage, Stage::Planned) {
            Stage::UnderWay(mut trip) => match beginning {
                Ok(beginning) if beginning.fault.is_none() => {
                    give(Ok(beginning.begun));
                    shared.ready.notify_one();
                    Stage::Ready(trip)
                }
                failed => {
                    let reason = self.fail(upstream, &mut trip, &failed);
                    Stage::Over(
                        Hedged::Failed,
                        Some(Missed {
                            sent: trip.sent.clone(),
                            failure: Some(Failure {
                                reason,
                                time: trip.sent.at.elapsed(),
                            }),
                        }),
                    )
                }
            },
            other => {
                let begun = beginning.map(|beginning| beginning.begun);
                give(begun.map_err(|stumble| stumble.error));
                other
            }
        };
    }

    /// Takes down a failure that is the attempt's own affair. Says what it was in a word.
    fn fail(
        &self,
        upstream: &Upstream,
        trip: &mut Trip,
        failed: &Result<Beginning, Stumble>,
    ) -> String {
        self.hedges.count(Hedged::Failed);
        let now = clock::now();
        let endpoint = &trip.sent.endpoint;
        let mut judge = |verdict, reason: &dyn Display| {
            upstream.judge(endpoint, &mut trip.flight, verdict, reason, now);
        };
        let reason = match failed {
            Ok(Beginning { begun, fault }) => {
                upstream.metrics.bad_answer.inc();
                let fault = fault.clone().unwrap_or_default();
                match begun.session.response_header() {
                    Some(head) if attempt::verdict(head.status.as_u16()) != Verdict::Good => {
                        let source = Source {
                            upstream,
                            endpoint,
                            credential: trip.credential.as_ref(),
                        };
                        // What it is refused for says nothing to the request's own attempts.
                        let refusals = &mut Vec::new();
                        attempt::heed(&source, refusals, &mut trip.flight, head, now);
                    }
                    _ => judge(Verdict::Bad, &fault),
                }
                fault
            }
            Err(Stumble {
                error,
                is_connected,
            }) => {
                match is_connected {
                    true => upstream.metrics.failed.inc(),
                    false => upstream.metrics.connect_failed.inc(),
                }
                judge(Verdict::Bad, error);
                error.etype().as_str().to_owned()
            }
        };
        let label = &*endpoint.label;
        debug!(
            upstream = upstream.name,
            endpoint = label,
            reason,
            "second attempt failed"
        );
        reason
    }
}

impl Place {
    /// What the choice of an endpoint depends on.
    fn ask(&self, now: Duration) -> Ask<'_> {
        Ask {
            now,
            key: self.key,
            tried: &self.tried,
        }
    }

    /// Sends the request, and reads the head of its answer.
    async fn ask_over(
        &self,
        session: &mut HttpSession,
        head: &RequestHeader,
        peer: &HttpPeer,
    ) -> Result<()> {
        outgoing::send(session, peer, head, &self.pieces).await?;
        upstream::read_status(session).await.map(drop)
    }
}
