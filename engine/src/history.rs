//! What became of the last reloads and rollbacks.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use penstock_config::Diff;
use serde_json::{Value, json};

use crate::clock;
use crate::generation::Generation;

/// How many are remembered.
pub const RECORDS_MAX: usize = 16;

/// Changes that are remembered of one of them.
const CHANGES_MAX: usize = 100;

/// Longest reason that is remembered, in bytes.
const REASON_BYTES_MAX: usize = 64 * 1024;

/// The last reloads and rollbacks, and since when the generation in force serves.
pub struct History {
    since: SystemTime,
    /// The generation that a rollback returns to.
    pub before: Option<u64>,
    records: VecDeque<Record>,
}

/// One reload or rollback.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was asked for.
    pub action: Action,
    /// When it was over.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What changed, or why nothing did.
    pub result: Result<Applied, Refused>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To read the configuration again.
    Reload,
    /// To go back to the generation before.
    Rollback,
}

/// Another generation serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Which one.
    pub generation: u64,
    /// How many parts changed, in a line.
    pub summary: String,
    /// What changed, a line each: the first of them.
    pub changes: Vec<String>,
    /// How many changes there are beyond these.
    pub more: usize,
}

/// Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind of reason, as the metrics count it.
    pub kind: &'static str,
    /// The reason, with every mistake located.
    pub why: String,
}

impl Action {
    /// As the page shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Rollback => "rollback",
        }
    }
}

impl Applied {
    /// What changes when `new` takes the place of `old`.
    pub fn new(old: &Generation, new: &Generation) -> Applied {
        let diff = Diff::new(&old.config, &new.config);
        let files = old.files.changes(&new.files);
        let mut summary = diff.summary();
        match (diff.is_empty(), files.len()) {
            (_, 0) => {}
            (true, _) => summary = "contents of files changed".to_owned(),
            (false, _) => summary.push_str(", contents of files changed"),
        }
        let more = (diff.changes().len() + files.len()).saturating_sub(CHANGES_MAX);
        let changes = diff.changes().iter().map(ToString::to_string).chain(files);
        Applied {
            generation: new.id,
            summary,
            changes: changes.take(CHANGES_MAX).collect(),
            more,
        }
    }

    /// The first `most` changes in one line.
    pub fn line(&self, most: usize) -> String {
        let shown: Vec<_> = self.changes.iter().take(most).map(String::as_str).collect();
        let mut line = shown.join("; ");
        let rest = self.changes.len() - shown.len() + self.more;
        if rest > 0 {
            line.push_str(&format!("; and {rest} more"));
        }
        line
    }
}

impl Refused {
    /// A refusal with its reason, which is cut if it is very long.
    pub fn new(kind: &'static str, mut why: String) -> Refused {
        if why.len() > REASON_BYTES_MAX {
            let mut fits = (0..=REASON_BYTES_MAX).rev();
            let end = fits.find(|end| why.is_char_boundary(*end));
            why.truncate(end.unwrap_or_default());
            why.push('…');
        }
        Refused { kind, why }
    }
}

impl History {
    /// A history that begins now.
    pub fn new() -> History {
        History {
            since: SystemTime::now(),
            before: None,
            records: VecDeque::with_capacity(RECORDS_MAX),
        }
    }

    /// Adds a record in the place of the oldest.
    pub fn add(&mut self, record: Record) {
        if record.result.is_ok() {
            self.since = record.at;
        }
        self.records.truncate(RECORDS_MAX - 1);
        self.records.push_front(record);
    }

    /// Since when the generation in force serves.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The records, the newest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    /// As the page shows it.
    pub fn to_json(&self) -> Value {
        let mut record = json!({
            "action": self.action.as_str(),
            "at": clock::rfc3339(self.at),
            "took_ms": self.took.as_secs_f64() * 1e3,
        });
        let (verdict, more) = match &self.result {
            Ok(applied) => (
                "applied",
                json!({
                    "generation": applied.generation,
                    "summary": applied.summary,
                    "changes": applied.changes,
                    "more_changes": applied.more,
                }),
            ),
            Err(refused) => (
                "refused",
                json!({ "kind": refused.kind, "reason": refused.why }),
            ),
        };
        if let (Value::Object(record), Value::Object(more)) = (&mut record, more) {
            record.insert("verdict".to_owned(), verdict.into());
            record.extend(more);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(result: Result<Applied, Refused>) -> Record {
        Record {
            action: Action::Reload,
            at: SystemTime::UNIX_EPOCH,
            took: Duration::from_micros(1500),
            result,
        }
    }

    #[test]
    fn the_newest_are_remembered() {
        let mut history = History::new();
        let began = history.since();
        for n in 0..40 {
            history.add(record(Err(Refused::new("mistakes", n.to_string()))));
        }
        let kept: Vec<_> = history.records().map(|r| r.to_json()).collect();
        assert_eq!(kept.len(), RECORDS_MAX);
        assert_eq!(kept[0]["reason"], "39");
        assert_eq!(kept[0]["took_ms"], 1.5);
        assert_eq!(history.since(), began, "a refusal changes nothing");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let refused = Refused::new("mistakes", "é".repeat(REASON_BYTES_MAX));
        assert!(refused.why.len() <= REASON_BYTES_MAX + 3);
        let applied = Applied {
            generation: 2,
            summary: "5 routes changed".into(),
            changes: (0..5).map(|n| n.to_string()).collect(),
            more: 7,
        };
        assert_eq!(applied.line(3), "0; 1; 2; and 9 more");
        assert_eq!(applied.line(9), "0; 1; 2; 3; 4; and 7 more");
    }
}
