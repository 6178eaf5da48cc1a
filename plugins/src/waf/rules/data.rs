//! Structures that a program takes for more than data.

use super::super::rule::{Rule, Target, Targets};
use super::{PARAMETERS, VALUES};

const NAMES: Targets = Targets::of(&[Target::ParameterName, Target::JsonKey]);

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        100_901,
        NAMES.and(PARAMETERS),
        &[
            "__proto__",
            "prototype",
            "__definegetter__",
            "__definesetter__",
            "__lookupgetter__",
        ],
        r"(?:^|[.\[{\x22'\s])__(?:proto|define[gs]etter|lookup[gs]etter)__(?:[.\]\[}\x22':\s]|$)|constructor['\x22\]]{0,2}[.\[]['\x22]?prototype",
    ),
    // Operators of MongoDB and its like where a value should stand.
    Rule::new(
        100_902,
        NAMES,
        &["$"],
        r"(?:^|[.\[])\$(?:ne|eq|gt|gte|lt|lte|in|nin|or|and|nor|not|regex|where|exists|expr|jsonschema|elemmatch|function|accumulator|type|mod|all|size|text|options|comment|lookup|match|project)(?:\]|$)",
    ),
    Rule::new(
        100_903,
        VALUES,
        &[
            "$where", "$ne", "$gt", "$regex", "$func", "this.", "db.", "';return", "||'",
            "$exists", "$expr",
        ],
        r#"["']?\$(?:where|ne|gte?|lte?|regex|nin|exists|expr|function)["']?\s*:|['"]\s*(?:\|\||&&|;)\s*(?:this\.\w+|return\b|db\.\w+|'?[01]'?\s*==?\s*'?[01]|function\s*\()|\bdb\.\w+\.(?:find|insert|update|remove|drop|aggregate|mapreduce|deletemany)\s*\("#,
    ),
    // Filters of LDAP.
    Rule::new(
        100_904,
        VALUES,
        &[")(", "*)", "))", ") ("],
        r"\*\s*\)\s*\(\s*(?:[|&!]|\w+\s*[~<>]?=)|\)\s*\(\s*[|&!]\s*\(?\s*(?:[|&!]\s*\(|\w+\s*[~<>]?=)|\)\s*\(\s*(?:uid|cn|sn|ou|dc|mail|objectclass|userpassword|samaccountname|password)\s*[~<>]?=",
    ),
    // Entities of XML and inclusions.
    Rule::new(
        100_905,
        VALUES.and(Targets::of(&[Target::Xml])),
        &["<!doctype", "<!entity", "xinclude", "xi:include"],
        r"<!entity\b|<!doctype\s[^>\[]{0,512}(?:\[|\bsystem\b|\bpublic\b\s*[\x22'][^\x22']{0,256}[\x22']\s*[\x22'](?:file|php|expect|gopher|ftp):)|<xi:include\b|http://www\.w3\.org/2001/xinclude",
    ),
    // Objects of Java, PHP, .NET, Python, Ruby and Node that run code when read.
    Rule::new(
        100_906,
        VALUES,
        &[
            "ro0ab",
            "aced0005",
            "o:",
            "c:",
            "aaeaaad/////",
            "gasv",
            "gaswv",
            "_$$nd_func$$_",
            "!!python/",
            "!!java",
            "!ruby/",
            "!!javax",
            "ysoserial",
            "$type",
            "!php/",
        ],
        r#"^\s*(?:rO0AB[A-Za-z0-9+/_-]{4}|aced0005[0-9a-f]{4}|AAEAAAD/////)|(?:^|[;{"'\s=])[oc]:\+?\d{1,4}:["'][\w\\]{1,128}["']:\d{1,4}:\{|_\$\$nd_func\$\$_|!!python/(?:object|name|module)|!!java\.|!!javax\.|!ruby/(?:object|hash|struct)|\bysoserial\b|["']\$type["']\s*:\s*["']system\.|^gASV[\w+/=-]{8,}|!php/object"#,
    ),
    // Queries over XML.
    Rule::new(
        100_907,
        VALUES,
        &[
            "/*[", "//*", "::node", "::*", "count(/", "name(/", "]|", "text()",
        ],
        r#"['"]\s*\]\s*(?:\||/)|\b(?:count|name|string-length|substring)\s*\(\s*/+[\w*]|/(?:child|descendant|parent|ancestor|following)[\w-]*::(?:node\(\)|\*)|//\*\[|['"]\s*\|\s*//\w+"#,
    ),
];
