//! Requests that are odd as such.

use super::super::rule::{Rule, Target, Targets};
use super::{HEADERS, JSON, PARAMETERS};

pub(super) const RULES: &[Rule] = &[
    // A header that a server behind would write into its answer, or a second request.
    Rule::new(
        100_801,
        Targets::of(&[
            Target::Path,
            Target::ParameterName,
            Target::Page,
            Target::Host,
            Target::FileName,
        ])
        .and(PARAMETERS)
        .and(HEADERS)
        .and(JSON),
        &["\r", "\n"],
        r"[\r\n]\s*(?:set-cookie|location|content-(?:type|length|disposition|encoding|security-policy)|transfer-encoding|host|refresh|connection|access-control-[\w-]+|x-[\w-]+|link|www-authenticate|authorization|cookie|cache-control|expires|server|status|http/1\.[01])\s*:|[\r\n]\s*(?:get|post|put|delete|head|options|patch)\s+\S{1,512}\s+http/\d|\bhttp/1\.[01]\s+\d{3}\s|[\r\n]{2,4}\s*<(?:html|script|svg|img|!doctype)",
    ),
    Rule::new(
        100_802,
        Targets::of(&[Target::Path]),
        &[
            "\0", "\r", "\n", "\t", "\x08", "\x0b", "\x0c", "\x1b", "\x7f",
        ],
        r"[\x00-\x1f\x7f]",
    ),
    Rule::new(
        100_803,
        Targets::of(&[
            Target::ParameterName,
            Target::Parameter,
            Target::ParameterLink,
            Target::FileName,
            Target::Cookie,
        ]),
        &["\0"],
        r"\x00",
    ),
    Rule::new(
        100_804,
        Targets::of(&[Target::Method]),
        &["trace", "track", "connect", "debug"],
        r"^(?:trace|track|connect|debug)$",
    ),
    // RFC 3986 section 3.2.2, and the underscores that some names have.
    Rule::new(
        100_805,
        Targets::of(&[Target::Host]),
        &[
            "/", "\\", "@", "<", "'", "\"", "`", "$", "{", "(", ";", ",", "|", " ", "?", "#",
        ],
        r"[^a-z0-9._:\[\]%-]",
    ),
    // A body in another character set reads otherwise here than behind.
    Rule::new(
        100_806,
        Targets::of(&[Target::ContentType]),
        &["charset"],
        r#"charset\s*=\s*["']?\s*(?:utf-?(?:7|16|32)|ibm|cp\d|ucs|x-|iso-2022|hz|shift|euc|gb)"#,
    ),
    // Headers that become variables of a CGI program (httpoxy, CVE-2016-5385), and the
    // marks that scanners put on their requests.
    Rule::new(
        100_807,
        Targets::of(&[Target::HeaderName]),
        &[
            "proxy",
            "acunetix",
            "x-scanner",
            "x-wipp",
            "x-scan-memo",
            "x-nuclei",
            "x-nikto",
        ],
        r"^(?:proxy|acunetix-.*|x-scanner|x-wipp|x-scan-memo|x-nuclei.*|x-nikto.*)$",
    ),
    // Headers that name another path than that of the request line.
    Rule::new(
        100_808,
        Targets::of(&[Target::HeaderName]),
        &[
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-method-override",
        ],
        r"^(?:x-original-url|x-rewrite-url|x-http-method-override|x-method-override)$",
    ),
];
