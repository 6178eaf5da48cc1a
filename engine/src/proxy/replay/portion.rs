//! Parts of an answer, as Pingora hands them over.

use pingora_core::protocols::http::HttpTask;
use pingora_error::Error;

/// What counts of a part of an answer that nobody gets.
pub(super) struct Portion {
    pub(super) bytes: u64,
    pub(super) is_last: bool,
}

impl Portion {
    pub(super) fn of(tasks: &[HttpTask]) -> Portion {
        Portion {
            bytes: tasks.iter().map(body_bytes).sum(),
            is_last: tasks.iter().any(HttpTask::is_end),
        }
    }
}

/// Takes out how the upstream failed, if it did.
pub(super) fn take_failure(tasks: &mut Vec<HttpTask>) -> Option<Box<Error>> {
    let place = tasks.iter().position(is_failure)?;
    match tasks.swap_remove(place) {
        HttpTask::Failed(error) => Some(error),
        _ => None,
    }
}

pub(super) fn is_failure(task: &HttpTask) -> bool {
    matches!(task, HttpTask::Failed(_))
}

/// It is a piece of an ordinary body that is not empty.
pub(super) fn has_bytes(task: &HttpTask) -> bool {
    matches!(task, HttpTask::Body(Some(piece), _) if !piece.is_empty())
}

fn body_bytes(task: &HttpTask) -> u64 {
    match task {
        HttpTask::Body(Some(piece), _) | HttpTask::UpgradedBody(Some(piece), _) => {
            piece.len() as u64
        }
        _ => 0,
    }
}
