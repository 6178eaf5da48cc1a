//! Reaching files that are not offered.

use super::super::rule::{Rule, Target, Targets};
use super::{HEADERS, JSON, PARAMETERS, VALUES};

const PATH: Targets = Targets::of(&[Target::Path]);

pub(super) const RULES: &[Rule] = &[
    // Clients resolve dots before they send a path (RFC 3986 section 5.2.4).
    Rule::new(
        100_101,
        PATH,
        &[".."],
        r"(?:^|[/\\])\.{2,}[;\x00 ]*(?:[/\\]|$)|(?:^|[/\\])\.{2,};",
    ),
    // One step up may be how a document names its neighbour; two are a climb.
    Rule::new(
        100_102,
        PARAMETERS.and(HEADERS),
        &["../", "..\\", "..;"],
        r"(?:\.{2,}[;\x00]?[/\\]+){2}|(?:^|[/\\=:])\.{2,}[/\\]+(?:etc|proc|windows|winnt|root|var|usr|sys|web-inf|wp-config|\.env|\.git|\.ssh|\.aws)\b",
    ),
    // Tools for code name files of a project relative to one another.
    Rule::new(
        100_103,
        JSON,
        &["../", "..\\"],
        r"(?:\.{2,}[/\\]+){3}|(?:^|[/\\=:])\.{2,}[/\\]+(?:etc|proc|windows|winnt|root|var|sys|web-inf|\.env|\.ssh|\.aws)\b",
    ),
    Rule::new(
        100_104,
        Targets::of(&[Target::FileName]),
        &["../", "..\\", "/etc/", "/var/", "/root/", "/proc/", ":\\"],
        r"\.{2,}[/\\]|^/(?:etc|var|root|proc)/|^[a-z]:\\windows",
    ),
    Rule::new(
        100_105,
        VALUES,
        &[
            "etc/",
            "etc\\",
            "/proc/",
            "boot.ini",
            "win.ini",
            "system32",
            "/.ssh/",
            "id_rsa",
            "/.aws/",
            "/.kube/",
            "/run/secrets",
            "bash_history",
            "web.config",
            "web-inf",
            "/.docker/",
            "serviceaccount",
        ],
        r"(?:^|[/\\])etc(?:[/\\]|\.[/\\])+(?:passwd|shadow|gshadow|group|sudoers|hosts|hostname|issue|crontab|fstab|ssh[/\\]|nginx[/\\]|apache2?[/\\]|httpd[/\\]|kubernetes[/\\]|ssl[/\\]private|mysql[/\\]|rc\.)|/proc/+(?:self|version|cmdline|environ|mounts|net|\d+)\b|\bboot\.ini\b|\bwin\.ini\b|[/\\](?:windows|winnt)[/\\]+system32|/\.ssh/|(?:^|/)id_rsa\b|/\.aws/(?:credentials|config)|/\.kube/config|/run/secrets/kubernetes|\.bash_history\b|(?:^|[/\\])web\.config$|(?:^|[/\\])web-inf[/\\]|/\.docker/config|/secrets/kubernetes\.io",
    ),
    Rule::new(
        100_106,
        VALUES,
        &[
            "php://",
            "phar://",
            "expect://",
            "zip://",
            "zlib://",
            "glob://",
            "ogg://",
            "rar://",
            "data://",
        ],
        r"\b(?:php://(?:filter|input|stdin|memory|temp|fd)|(?:phar|expect|zip|compress\.zlib|zlib|glob|ogg|rar)://|data://text)",
    ),
];
