//! How many descriptors the process may have open, and has.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const FOLDER: &str = "/proc/self/fd";

/// How often they are counted one by one, where the kernel does not tell their number.
const COUNT_PAUSE: Duration = Duration::from_secs(1);

/// Descriptors of the process.
pub(super) struct Descriptors {
    limit: u64,
    counted: Mutex<Option<(Instant, u64)>>,
}

impl Descriptors {
    /// With this limit, if the system's is not less. None if there is neither.
    pub(super) fn new(limit: Option<u64>) -> Option<Descriptors> {
        let system = getrlimit(Resource::Nofile).current;
        let limit = [limit, system].into_iter().flatten().min()?;
        Some(Descriptors {
            limit,
            counted: Mutex::new(None),
        })
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// How many are open now; none if that cannot be found out.
    pub(super) fn open(&self) -> Option<u64> {
        // Since Linux 6.2 the folder's size is their number.
        let size = std::fs::metadata(FOLDER).ok()?.len();
        if size > 0 {
            return Some(size);
        }
        let mut counted = self.counted.lock();
        if let Some((at, count)) = *counted
            && at.elapsed() < COUNT_PAUSE
        {
            return Some(count);
        }
        let count = count(Path::new(FOLDER))?;
        *counted = Some((Instant::now(), count));
        Some(count)
    }
}

/// Counts them one by one. The one that it takes itself is among them.
fn count(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).ok()?;
    Some(entries.count() as u64)
}

/// Lets the process have as many descriptors open as it may: the soft limit is as a rule 1024,
/// for programs that use select(2). Gives the limit from now on.
///
/// # Errors
/// The system does not allow it.
pub fn raise_limit() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_open_descriptors_is_found_either_way() {
        let descriptors = Descriptors::new(None).unwrap();
        let one_by_one = count(Path::new(FOLDER)).unwrap();
        let told = descriptors.open().unwrap();
        // Other tests open and close some meanwhile.
        assert!(told.abs_diff(one_by_one) < 500, "{told}, {one_by_one}");
        assert!(told >= 3 && told <= descriptors.limit());
    }

    #[test]
    fn what_is_written_can_only_lower_the_limit() {
        let system = Descriptors::new(None).unwrap().limit();
        assert_eq!(Descriptors::new(Some(64)).unwrap().limit(), 64);
        let above = Descriptors::new(Some(u64::MAX)).unwrap();
        assert_eq!(above.limit(), system);
    }
}
