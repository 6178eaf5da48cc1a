//! Names are looked up again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Weak;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Names;
use crate::generation::Generation;
use crate::live::Live;

/// How often it is looked whether a name is due.
const LOOK: Duration = Duration::from_millis(250);

/// When a name is tried again that could not be looked up.
const AGAIN: Duration = Duration::from_secs(5);

/// Names that are being looked up.
type UnderWay = Rc<RefCell<BTreeSet<String>>>;

/// Looks up what is due in the generation in force until the server is gone. Runs in a set
/// of local tasks.
pub(crate) async fn look(live: Weak<Live>) {
    let under_way = UnderWay::default();
    let mut asked: Option<(u64, Rc<Names>)> = None;
    while let Some(server) = live.upgrade() {
        let generation = server.load();
        let due = due(&generation);
        if !due.is_empty() {
            // A reload reads `/etc/resolv.conf` and `/etc/hosts` again.
            let names = match asked.take() {
                Some((id, names)) if id == generation.id => names,
                _ => Rc::new(Names::new(&generation.config.server.dns)),
            };
            asked = Some((generation.id, Rc::clone(&names)));
            for host in due {
                if under_way.borrow_mut().insert(host.clone()) {
                    let (names, under_way) = (Rc::clone(&names), Rc::clone(&under_way));
                    let live = Weak::clone(&live);
                    tokio::task::spawn_local(async move {
                        renew(&host, &names, &live).await;
                        under_way.borrow_mut().remove(&host);
                    });
                }
            }
        }
        drop((server, generation));
        tokio::time::sleep(LOOK).await;
    }
}

fn due(generation: &Generation) -> BTreeSet<String> {
    let now = Instant::now();
    let upstreams = generation.upstreams().iter();
    upstreams.flat_map(|upstream| upstream.due(now)).collect()
}

/// Looks up one name and tells everyone who uses it, if the server has not ended by then.
async fn renew(host: &str, names: &Names, live: &Weak<Live>) {
    let found = names.look_up(host).await;
    let Some(live) = live.upgrade() else { return };
    let generation = live.load();
    let mut result = "same";
    match found {
        Ok(answer) => {
            for upstream in generation.readdress(host, &answer, live.transport(), live.shared()) {
                result = "changed";
                let addresses = answer.addresses.len();
                info!(
                    host,
                    upstream, addresses, "the name has other addresses now"
                );
            }
        }
        Err(error) => {
            result = "failed";
            let again = Instant::now() + AGAIN;
            let upstreams = generation.upstreams().iter();
            // It is said once, and not again before the name has been known again.
            let news = upstreams.filter(|upstream| upstream.keep_addresses(host, again));
            if news.count() > 0 {
                warn!(host, %error, "the name cannot be looked up; its addresses stay as they were");
            }
        }
    }
    live.telemetry().name_lookups(result).inc();
}
