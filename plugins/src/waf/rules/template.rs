//! Expressions that a template, a logger or a framework evaluates.

use super::super::rule::{Rule, Target, Targets};
use super::{LOGGED, VALUES};

const EXPRESSIONS: Targets = Targets::of(&[
    Target::ParameterName,
    Target::ContentType,
    Target::Page,
    Target::JsonKey,
])
.and(VALUES);

pub(super) const RULES: &[Rule] = &[
    // Log4j's lookups (CVE-2021-44228) and the ways to spell them apart. A variable of
    // an editor, as in `${env:HOME}`, alone is none.
    Rule::new(
        100_601,
        LOGGED.and(Targets::of(&[Target::HeaderName])),
        &["${"],
        r"\$\{\s*(?:jndi|j\s*\$\{|\$\{|lower\s*:|upper\s*:|::-|date\s*:|main\s*:|bundle\s*:|ctx\s*:|sys\s*:|java\s*:|k8s\s*:|docker\s*:|spring\s*:|web\s*:|log4j\s*:|script\s*:|dns\s*:|url\s*:|base64decoder\s*:)|\$\{[^{}]{0,64}\$\{[^{}]{0,64}:[^{}]{0,64}\}|\$\{env:[^{}]{0,64}:-",
    ),
    // The probes that ask whether anything is evaluated.
    Rule::new(
        100_602,
        EXPRESSIONS,
        &["{{", "${", "#{", "<%=", "*{", "@(", "{%", "#set", "[["],
        r#"\{\{[-=:]?\s*['"]?\d+['"]?\s*[*+/-]\s*['"]?\d+['"]?\s*-?\}\}|[$#*@]\{\{?\s*['"]?\d+['"]?\s*[*+/-]\s*['"]?\d+['"]?\s*\}|<%=?\s*[\d'"(]?[^%]{0,128}[*+(.][^%]{0,128}%>|@\(\s*\d+\s*[*+]\s*\d+\s*\)|\[\[\s*\$?\{?\s*\d+\s*\*\s*\d+|#set\s*\(\s*\$\w+\s*=|\{%-?\s*(?:import|include|for|set|if|debug|load|extends)\b[^%]{0,256}%\}"#,
    ),
    Rule::new(
        100_603,
        EXPRESSIONS,
        &[
            "__",
            "|attr",
            "config.",
            "request.",
            "lipsum",
            "cycler",
            "joiner",
            "self.",
            "_self",
            "constructor",
            "freemarker",
            "range.",
            "settings.",
        ],
        r#"__(?:class|mro|subclasses|globals|builtins|bases|import)__|\|\s*attr\s*\(|\{\{.{0,256}(?:\bconfig\b(?:\.|\s*\}|\[)|\brequest\.|\blipsum\b|\bcycler\b|\bjoiner\b|\bself\.|\b_self\b|\bconstructor\b|\bsettings\.\w*key)|\bfreemarker\.template\.utility\b"#,
    ),
    // OGNL, Spring's expressions and their ways to the virtual machine.
    Rule::new(
        100_604,
        EXPRESSIONS,
        &[
            "%{",
            "${",
            "#{",
            "#_memberaccess",
            "@java",
            "ognl",
            "t(java",
            "classloader",
            "#context",
            "xwork",
            "springframework",
            "redirect:",
            "redirectaction:",
            "#cmd",
            "t(org",
            "javax.",
        ],
        r"[%$#]\{[^}]{0,256}(?:#_?\w+\s*=|#context|#application|#session|#parameters|@java\.|@ognl|new\s+java|\bt\s*\(\s*java|\.exec\s*\(|getclass\s*\(|\.class\b|runtime|applicationscope|pagecontext)|#_memberaccess|@(?:java\.lang|org\.apache|ognl)\.|\bognl\.ognlcontext|\bt\s*\(\s*(?:java\.|org\.)|\bclass\s*[.\[]['\x22]?\s*(?:module\W{1,3})?classloader\b|com\.opensymphony\.xwork2|^redirect(?:action)?:\s*[$%#]\{|org\.springframework\.\w+\.\w+|\bjavax\.(?:script|naming|management)\.",
    ),
];
