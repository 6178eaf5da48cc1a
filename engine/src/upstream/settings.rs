//! How endpoints are chosen, from what the configuration says of it.

use std::num::NonZeroU32;

use penstock_config::upstream::{Balance, Ejection, EjectionRules, Upstream};
use penstock_plugins::balance::{ErrorRate, Policy, Rules, Settings, Slowness};

pub(super) fn of(upstream: &Upstream) -> Settings {
    let ejection = match &upstream.ejection {
        Ejection::Off => None,
        Ejection::On(rules) => Some(rules),
    };
    Settings {
        policy: match upstream.balance {
            Balance::RoundRobin => Policy::RoundRobin,
            Balance::LeastBusy => Policy::LeastBusy,
            Balance::Latency => Policy::Latency,
            Balance::Hash => Policy::Hash,
        },
        rules: ejection.map(rules),
        ejected_percent_max: ejection.map_or(0, |rules| rules.max_percent),
        slow_start: upstream
            .slow_start
            .map(|time| time.get())
            .unwrap_or_default(),
    }
}

fn rules(written: &EjectionRules) -> Rules {
    let error_rate = written.error_rate.as_ref().and_then(|rate| {
        Some(ErrorRate {
            percent: rate.percent,
            requests: NonZeroU32::new(rate.requests)?,
            window: rate.window.get(),
        })
    });
    let slowness = written.latency.as_ref().and_then(|latency| {
        Some(Slowness {
            factor: latency.factor,
            floor: latency.floor.get(),
            requests: NonZeroU32::new(latency.requests)?,
            window: latency.window.get(),
        })
    });
    Rules {
        failures: NonZeroU32::new(written.failures),
        error_rate,
        slowness,
        ejected: written.time.get(),
        ejected_max: written.max_time.get(),
    }
}
