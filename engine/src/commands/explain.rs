//! What a generation does with requests, told from what was built.

mod listeners;

use std::fmt::{self, Display, Write};

use penstock_config::route::{Drain, Hedge, HedgeAfter, Match, PathMatch};
use penstock_config::server::{EscapedSeparators, Paths, Priority};
use penstock_config::upstream::{self as config, Ejection, Protocol, Verify};
use penstock_plugins::chain::Entry;
use penstock_plugins::{Chain, Route, Target};

use crate::generation::Generation;
use crate::upstream::{Upstream, shares};

/// Tells of each route what it matches, which plugins run and when, and where requests
/// can go; then of each upstream where that is. A line for each thing.
pub fn explain(generation: &Generation) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{}", Explained(generation));
    text
}

struct Explained<'g>(&'g Generation);

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.0;
        listeners::explain(f, generation)?;
        paths(f, &generation.config.server.paths)?;
        for (route, written) in generation.routes.iter().zip(&generation.config.routes) {
            writeln!(f, "route `{}`", route.name())?;
            writeln!(f, "  matches {}", Matched(&written.matches))?;
            chain(f, route.chain())?;
            let drains = generation.drains(Some(route.index()));
            let shadows = generation.shadows(Some(route.index()));
            writeln!(f, "  body: {}", body(route, drains.is_some()))?;
            for (percent, target) in route.router().targets() {
                writeln!(f, "  {} to {}", Percent(percent), To(generation, target))?;
            }
            if written.priority != Priority::default() {
                writeln!(f, "  priority: {}", written.priority.as_str())?;
            }
            if let Some(affinity) = &written.sticky {
                writeln!(f, "  always the same for the same {affinity}")?;
            }
            for target in route.fallback() {
                writeln!(f, "  then to {}", To(generation, target))?;
            }
            if let Some(shadows) = shadows {
                let (share, to) = (shadows.settings.percent, To(generation, &shadows.target));
                writeln!(f, "  {share} % also to {to}, whose answer is thrown away")?;
            }
            attempts(f, route)?;
            if let Some(hedge) = &written.hedge {
                self::hedge(f, hedge)?;
            }
            if let Some(time) = route.deadline() {
                writeln!(f, "  deadline: an answer begins within {time}")?;
            }
            if let Some(drains) = drains {
                let Drain {
                    time,
                    bytes,
                    concurrent,
                } = drains.bounds();
                writeln!(
                    f,
                    "  clients that leave: the answer is read on for {time} and {bytes} at most, {concurrent} at a time"
                )?;
            }
        }
        writeln!(f, "requests that no route matches")?;
        chain(f, generation.routes.global())?;
        writeln!(f, "  answered with 404")?;
        let configured = generation.config.upstreams.values();
        for (upstream, configured) in generation.upstreams().iter().zip(configured) {
            self::upstream(f, upstream, configured)?;
        }
        Ok(())
    }
}

fn paths(f: &mut fmt::Formatter<'_>, paths: &Paths) -> fmt::Result {
    let slashes = match paths.merge_slashes {
        true => "several slashes are one",
        false => "several slashes stay",
    };
    let separators = match paths.escaped_separators {
        EscapedSeparators::SameRoute => {
            "parts of a segment where as slashes they match the same route"
        }
        EscapedSeparators::Refuse => "refused",
        EscapedSeparators::Unescape => "slashes",
        EscapedSeparators::Keep => "parts of a segment",
    };
    writeln!(f, "paths: {slashes}; %2F and %5C are {separators}")
}

fn chain(f: &mut fmt::Formatter<'_>, chain: &Chain) -> fmt::Result {
    if chain.entries().is_empty() {
        return writeln!(f, "  no plugins");
    }
    for (place, entry) in chain.entries().iter().enumerate() {
        let Entry {
            name,
            is_own,
            phases,
        } = entry;
        let phases: Vec<_> = phases.iter().map(|phase| phase.as_str()).collect();
        let phases = match phases.as_slice() {
            [] => "nothing".to_owned(),
            phases => phases.join(", "),
        };
        let own = if *is_own { " (of this route)" } else { "" };
        writeln!(f, "  plugin {}: {name}{own}, runs at: {phases}", place + 1)?;
    }
    Ok(())
}

fn body(route: &Route, drains: bool) -> &'static str {
    match (route.needs_body(), route.attempts()) {
        (true, _) => "read whole before it is sent",
        (false, 1) if drains => "kept since its client may leave",
        (false, 1) if route.shadow().is_some() => "streams through, and may be copied",
        (false, 1) => "streams through",
        (false, _) => "kept for another attempt",
    }
}

fn attempts(f: &mut fmt::Formatter<'_>, route: &Route) -> fmt::Result {
    writeln!(f, "  attempts: {}", route.attempts())?;
    if route.attempts() == 1 {
        return Ok(());
    }
    let retry = route.retry();
    write!(f, "  another after: a failed connection")?;
    if !retry.statuses.is_empty() {
        write!(f, ", status {}", any(&retry.statuses))?;
    }
    if let Some(limit) = retry.first_token {
        write!(f, ", no first token in {limit}")?;
    }
    writeln!(f)
}

fn hedge(f: &mut fmt::Formatter<'_>, hedge: &Hedge) -> fmt::Result {
    let Hedge { after, max_percent } = hedge;
    let of = match after {
        HedgeAfter::Time(_) => "",
        HedgeAfter::Percentile(_) => " of the recent times to first token",
    };
    writeln!(
        f,
        "  a second one beside the first: after {after}{of}, for at most {max_percent} % of the requests"
    )
}

fn upstream(
    f: &mut fmt::Formatter<'_>,
    upstream: &Upstream,
    configured: &config::Upstream,
) -> fmt::Result {
    writeln!(f, "upstream `{}`", upstream.name)?;
    writeln!(f, "  speaks {}", Spoken(configured))?;
    balance(f, configured)?;
    for (percent, member) in shares(&upstream.pool()) {
        let address = member.target.address().to_string();
        write!(f, "  {} to {address}", Percent(percent))?;
        if *member.target.label != *address {
            write!(f, " ({})", member.target.label)?;
        }
        if !member.near {
            f.write_str(" of what the own zone cannot take")?;
        }
        match member.requests_max {
            Some(most) => writeln!(f, ", at most {most} at a time")?,
            None => writeln!(f)?,
        }
    }
    let credentials = upstream.credentials.iter().flat_map(|all| all.shares());
    for (percent, credential) in credentials {
        writeln!(
            f,
            "  {} with credential `{}`: {}",
            Percent(percent),
            credential.name,
            credential.reference
        )?;
    }
    if let Some(host) = &configured.host {
        writeln!(f, "  host: {host}")?;
    }
    writeln!(f, "  retry budget: {} %", configured.retry_budget)?;
    let timeouts = &configured.timeouts;
    writeln!(
        f,
        "  timeouts: connect {}, read {}, write {}, idle {}",
        timeouts.connect, timeouts.read, timeouts.write, timeouts.idle
    )
}

fn balance(f: &mut fmt::Formatter<'_>, configured: &config::Upstream) -> fmt::Result {
    write!(f, "  balance: {}", configured.balance.as_str())?;
    if let Some(affinity) = &configured.affinity {
        write!(f, " by {affinity}")?;
    }
    if let Some(time) = configured.slow_start {
        write!(f, ", slow start in {time}")?;
    }
    match &configured.ejection {
        Ejection::Off => writeln!(f, "\n  ejection: off")?,
        Ejection::On(rules) => {
            write!(f, "\n  ejection: after {} failures", rules.failures)?;
            if let Some(rate) = &rules.error_rate {
                let (percent, requests, window) = (rate.percent, rate.requests, rate.window);
                write!(f, " or {percent} % of {requests} requests in {window}")?;
            }
            if let Some(latency) = &rules.latency {
                let (factor, floor) = (latency.factor, latency.floor);
                let (requests, window) = (latency.requests, latency.window);
                write!(
                    f,
                    " or {factor} times the others' latency, past {floor}, of {requests} requests in {window}"
                )?;
            }
            let (time, most, percent) = (rules.time, rules.max_time, rules.max_percent);
            writeln!(f, ", for {time} to {most}, at most {percent} % of them")?;
        }
    }
    match &configured.health_check {
        Some(check) => {
            let (path, interval, timeout) = (&check.path, check.interval, check.timeout);
            writeln!(
                f,
                "  health check: GET {path} every {interval}, within {timeout}"
            )
        }
        None => Ok(()),
    }
}

struct Percent(f64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        write!(f, "{rounded} %")
    }
}

struct To<'g>(&'g Generation, &'g Target);

impl Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let To(generation, target) = self;
        let upstream = generation.upstream(target.upstream);
        let name = upstream.map_or("nowhere", |upstream| &upstream.name);
        write!(f, "upstream `{name}`")?;
        match &target.model {
            Some(model) => write!(f, " as model {model}"),
            None => Ok(()),
        }
    }
}

struct Matched<'r>(&'r Match);

impl Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms = Vec::new();
        match &self.0.path {
            Some(PathMatch::Exact(path)) => terms.push(format!("path {path}")),
            Some(PathMatch::Prefix(prefix)) => terms.push(format!("path {prefix} and below")),
            Some(PathMatch::Glob(glob)) => terms.push(format!("path like {glob}")),
            None => {}
        }
        if !self.0.methods.is_empty() {
            terms.push(format!("method {}", any(&self.0.methods)));
        }
        for (name, glob) in &self.0.headers {
            terms.push(format!("header {name} like {glob}"));
        }
        if !self.0.models.is_empty() {
            terms.push(format!("model like {}", any(&self.0.models)));
        }
        if !self.0.countries.is_empty() {
            terms.push(format!("country {}", any(&self.0.countries)));
        }
        match terms.is_empty() {
            true => f.write_str("every request"),
            false => f.write_str(&terms.join(", ")),
        }
    }
}

fn any(values: &[impl Display]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    values.join(" or ")
}

struct Spoken<'u>(&'u config::Upstream);

impl Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.protocol {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
            Protocol::Auto => "HTTP/2 or HTTP/1.1",
        })?;
        let Some(tls) = &self.0.tls else {
            return f.write_str(" in cleartext");
        };
        f.write_str(match tls.verify {
            Verify::Full => " over TLS, certificate and name checked",
            Verify::Chain => " over TLS, certificate checked and its name not",
            Verify::None => " over TLS, nothing checked",
        })?;
        if let Some(name) = &tls.server_name {
            write!(f, ", asked for as {name}")?;
        }
        if let Some(ca) = &tls.ca {
            write!(f, ", authorities of {}", ca.display())?;
        }
        Ok(())
    }
}
