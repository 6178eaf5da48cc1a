//! Making a server fetch what only it can reach.

use super::super::rule::{Rule, Target, Targets};
use super::{JSON, PARAMETERS};

const LINKS: Targets = Targets::of(&[Target::ParameterLink, Target::JsonLink, Target::JsonMedia]);

pub(super) const RULES: &[Rule] = &[
    // Where clouds hand their credentials to whoever asks from inside, in each notation
    // that an address parser takes.
    Rule::new(
        100_701,
        LINKS.and(PARAMETERS).and(JSON),
        &[
            "169.254.",
            "metadata",
            "100.100.100.200",
            "fd00:ec2",
            "instance-data",
            "meta-data",
            "2852039166",
            "a9fea9fe",
            "a9fe:a9fe",
            "0251.",
            "0xa9",
            "192.0.0.192",
            "168.63.129.16",
            "computemetadata",
            "025177524776",
        ],
        r"//(?:[^/?#\s]{0,128}@)?(?:\[?(?:::ffff:|64:ff9b::)?169\.254\.(?:169\.25[0-9]|170\.\d+|\d+\.\d+)|100\.100\.100\.200|192\.0\.0\.192|168\.63\.129\.16|\[fd00:ec2::[0-9a-f]*\]|metadata(?:\.google\.internal|\.azure\.internal|\.tencentyun\.com|\.packet\.net|\.internal)?(?:[/:?#]|$)|instance-data|2852039166|025177524776|0xa9fea9fe|0xa9\.|0251\.|\[::ffff:a9fe:a9fe\])|169[.-]254[.-]169[.-]254\.(?:nip|sslip|xip)\.io|/latest/(?:meta-data|user-data|dynamic|api/token)|/computemetadata/v1|/metadata/(?:instance|identity)/?\?|^(?:https?:)?(?://)?169\.254\.169\.254\b|^metadata\.google\.internal\b",
    ),
    Rule::new(
        100_702,
        LINKS,
        &[
            "file:",
            "gopher:",
            "dict:",
            "ldap",
            "tftp:",
            "sftp:",
            "jar:",
            "netdoc:",
            "smb:",
            "rmi:",
            "dns:",
            "php:",
            "ftp:",
            "view-source:",
            "phar:",
            "unix:",
        ],
        r"^[\s\x00-\x20'\x22(]*(?:url:)?(?:file|gopher|dict|ldaps?|tftp|sftp|ftp|jar|netdoc|smb|rmi|dns|php|phar|view-source|unix|(?:https?\+)?unix):",
    ),
    Rule::new(
        100_703,
        LINKS,
        &["//", "localhost", "127.", "\\\\", "@"],
        r"(?:^|//|\\\\|@)(?:[^/?#\s\\]{0,128}@)?(?:localhost|[\w.-]*\.localhost|localtest\.me|lvh\.me|127(?:\.\d+){0,3}|0+177\.[\d.]+|0x7f[0-9a-fx.]*|0|0\.0\.0\.0|2130706433|017700000001|3232235\d{3}|\[(?:0*:){2,7}0*1?\]|\[::(?:ffff:)?(?:127\.\d+\.\d+\.\d+|7f[0-9a-f]{2}:[0-9a-f]{1,4}|0\.0\.0\.0)\])(?:\.)?(?:[/:?#\\]|$)|127[.-]0[.-]0[.-]1\.(?:nip|sslip|xip)\.io",
    ),
    // Names that only a cluster's resolver knows.
    Rule::new(
        100_704,
        LINKS,
        &[
            ".svc",
            ".cluster.local",
            "kubernetes",
            "host.docker.internal",
            "gateway.docker.internal",
            "docker.sock",
            "consul",
            "rancher",
        ],
        r"//(?:[^/?#\s]{0,128}@)?(?:[\w.-]+\.svc(?:\.cluster\.local)?(?:[/:?#]|$)|kubernetes(?:\.default[\w.]*)?(?:[/:?#]|$)|[\w.-]+\.cluster\.local|(?:host|gateway)\.docker\.internal|rancher-metadata|[\w.-]+\.service\.consul)|docker\.sock",
    ),
];
