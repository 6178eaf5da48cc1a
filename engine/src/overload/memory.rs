//! How much memory the process may take, and takes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// Memory of the process.
pub(super) struct Memory {
    limit: u64,
    /// Kept open: when descriptors are short there is none for it.
    pages: File,
    page_size: u64,
}

/// What is taken, in bytes.
struct Taken {
    /// Of the address space.
    size: u64,
    /// Of memory.
    resident: u64,
    /// Of the address space, for data and stacks.
    data: u64,
    /// Of memory, without files.
    resident_data: u64,
}

impl Memory {
    /// With this limit, else the least that the system has. None if there is none, or if the
    /// system does not tell what is taken.
    pub(super) fn new(limit: Option<u64>) -> Option<Memory> {
        let pages = File::open("/proc/self/statm").ok()?;
        let page_size = rustix::param::page_size() as u64;
        let mut memory = Memory {
            limit: u64::MAX,
            pages,
            page_size,
        };
        let begins = memory.read().ok()?;
        memory.limit = match limit {
            Some(limit) => limit,
            None => limits(&begins).into_iter().flatten().min()?,
        };
        Some(memory)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are resident now; none if that cannot be found out.
    pub(super) fn resident(&self) -> Option<u64> {
        self.read().ok().map(|taken| taken.resident)
    }

    fn read(&self) -> io::Result<Taken> {
        let mut room = [0; 128];
        let len = self.pages.read_at(&mut room, 0)?;
        let text = room.get(..len).unwrap_or_default();
        let parsed = std::str::from_utf8(text).ok().and_then(parse);
        let [size, resident, shared, _, _, data] = parsed.ok_or(io::ErrorKind::InvalidData)?;
        let bytes = |pages: u64| pages.saturating_mul(self.page_size);
        Ok(Taken {
            size: bytes(size),
            resident: bytes(resident),
            data: bytes(data),
            resident_data: bytes(resident.saturating_sub(shared)),
        })
    }
}

/// The numbers of proc_pid_statm(5) but for the last.
fn parse(text: &str) -> Option<[u64; 6]> {
    let numbers = text.split_whitespace().map(str::parse);
    let numbers: Vec<u64> = numbers.take(6).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

/// All that bounds what may be resident, for a process that begins with so much.
fn limits(begins: &Taken) -> [Option<u64>; 4] {
    // What counts without being resident, stacks above all, is not there to be had.
    let of = |resource, counted: u64, resident| {
        let aside = counted.saturating_sub(resident);
        Some(getrlimit(resource).current?.saturating_sub(aside).max(1))
    };
    [
        of(Resource::As, begins.size, begins.resident),
        of(Resource::Data, begins.data, begins.resident_data),
        of_cgroups(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")),
        of_machine(),
    ]
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The least that a group of the process allows, in either version. In a container its own
/// group is as a rule the root of what is mounted.
fn of_cgroups(list: &Path, mounted: &Path) -> Option<u64> {
    let list = fs::read_to_string(list).ok()?;
    list.lines()
        .filter_map(|line| of_hierarchy(line, mounted))
        .min()
}

fn of_hierarchy(line: &str, mounted: &Path) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, file) = match (id, controllers) {
        ("0", "") => (mounted.to_owned(), "memory.max"),
        (_, controllers) if controllers.split(',').any(|name| name == "memory") => {
            (mounted.join("memory"), "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let group = root.join(path.trim_start_matches('/'));
    let groups = group
        .ancestors()
        .take_while(|group| group.starts_with(&root));
    // "max" is no number, and what version 1 has for it is more than any machine has.
    let limit = |group: &Path| {
        fs::read_to_string(group.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_found_out() {
        let memory = Memory::new(Some(1 << 30)).unwrap();
        assert_eq!(memory.limit(), 1 << 30);
        let resident = memory.resident().unwrap();
        assert!(resident > 1 << 20, "{resident}");
        assert_eq!(parse("12 3 4 5 0 7 0\n"), Some([12, 3, 4, 5, 0, 7]));
        assert_eq!(parse("12 3 x 5 0 7 0\n"), None);
        assert_eq!(parse("12 3 4"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn by_itself_the_limit_is_no_more_than_the_machine_has() {
        let limit = Memory::new(None).unwrap().limit();
        assert!(limit <= of_machine().unwrap());
    }

    #[test]
    fn the_least_of_all_groups_counts_in_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path();
        let list = mounted.join("list");
        for (group, file, limit) in [
            ("", "memory.max", "max"),
            ("pod", "memory.max", "1000"),
            ("pod/app", "memory.max", "max\n"),
            ("memory/old", "memory.limit_in_bytes", "500"),
            (
                "memory/old/app",
                "memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ] {
            fs::create_dir_all(mounted.join(group)).unwrap();
            fs::write(mounted.join(group).join(file), limit).unwrap();
        }
        let limit = |lines: &str| {
            fs::write(&list, lines).unwrap();
            of_cgroups(&list, mounted)
        };
        assert_eq!(limit("0::/pod/app\n"), Some(1000));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("5:cpu:/pod\n4:cpuset,memory:/old/app\n"), Some(500));
        assert_eq!(limit("0::/pod\n4:memory:/old\n"), Some(500));
        assert_eq!(limit("0::/elsewhere\nnonsense\n"), None);
    }
}
