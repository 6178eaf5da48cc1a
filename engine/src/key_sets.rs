//! Fetches the key sets of token issuers.
//!
//! No request ever waits for a fetch: tokens are judged by the keys that are there. What
//! is due, and when it is tried again, [`KeySet`] knows; here it is only done. Everything
//! about it is bounded: the time, the size of the answer, and where it may come from. A
//! redirect is not followed, since what follows it would be chosen by whoever answers.

mod fetch;

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use penstock_plugins::jwt::KeySet;
use tracing::{debug, info, warn};

use crate::clock;
use crate::live::Live;

/// How often it is looked whether something is due: how long an unknown key waits for
/// its fetch to begin.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until every key set has its keys, but not for long: a server whose issuer does
/// not answer serves those whom it knows otherwise.
pub fn wait(live: &Live, longest: Duration) {
    let deadline = Instant::now() + longest;
    let is_ready = || {
        let sets = live.shared().alive::<KeySet>();
        sets.iter().all(|set| set.is_ready())
    };
    while !is_ready() && Instant::now() < deadline {
        thread::sleep(LOOK / 5);
    }
}

/// Fetches what is due until the server is gone. Runs in a set of local tasks.
pub(crate) async fn look(live: Weak<Live>) {
    while let Some(server) = live.upgrade() {
        for set in server.shared().alive::<KeySet>() {
            if set.is_due(clock::now()) {
                tokio::task::spawn_local(refresh(set, Weak::clone(&live)));
            }
        }
        drop(server);
        tokio::time::sleep(LOOK).await;
    }
}

/// Fetches one set and says what came of it. Meanwhile the server may end.
async fn refresh(set: Arc<KeySet>, live: Weak<Live>) {
    let Some((url, ca)) = set.source() else {
        return;
    };
    let answer = fetch::fetch(url, ca).await;
    let now = clock::now();
    let verdict = match answer {
        Ok(body) => match set.fetched(&body, now) {
            Ok(()) => {
                let status = set.status().unwrap_or_default();
                match status.skipped {
                    0 => debug!(%url, keys = status.keys, "key set fetched"),
                    skipped => info!(
                        %url,
                        keys = status.keys,
                        skipped,
                        "key set fetched; some of its keys are of no use here"
                    ),
                }
                "fetched"
            }
            Err(fault) => {
                warn!(%url, "the answer is no usable key set: {fault}");
                "unusable"
            }
        },
        Err(error) => {
            set.failed(now);
            warn!(%url, "the key set could not be fetched: {error}");
            "failed"
        }
    };
    if let Some(live) = live.upgrade() {
        let fetched_at = set.status().and_then(|status| status.fetched_at);
        live.telemetry()
            .count_key_set_fetch(url.as_str(), verdict, fetched_at);
    }
}
