//! Putting script into a page that somebody else sees.

use super::super::rule::{Rule, Target, Targets};
use super::VALUES;

const PAGE: Targets =
    Targets::of(&[Target::Page, Target::ParameterName, Target::JsonMedia]).and(VALUES);

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        100_501,
        PAGE,
        &["<script", "</script", "<xss", "< script"],
        r"<\s*/?\s*script\b|<xss\b",
    ),
    Rule::new(
        100_502,
        PAGE,
        &["<"],
        r#"<[a-z!/?][^>]{0,512}?[\s/"'`]on[a-z]{3,24}\s*="#,
    ),
    // The end of an attribute, and a handler after it.
    Rule::new(
        100_503,
        PAGE,
        &["'", "\"", "`"],
        r#"["'`]\s*/?\s*(?:[\w-]{1,32}\s+)?on(?:abort|animation\w{3,9}|auxclick|before\w{4,16}|blur|canplay|change|click|contextmenu|copy|cut|dblclick|drag\w{0,5}|drop|error|focus\w{0,3}|hashchange|input|invalid|key(?:down|press|up)|load\w{0,8}|message|mouse\w{2,6}|page(?:hide|show)|paste|play\w{0,3}|pointer\w{2,10}|popstate|reset|resize|scroll\w{0,3}|search|select\w{0,11}|show|start|submit|toggle|touch\w{3,6}|transition\w{3,6}|unload|wheel)\s*="#,
    ),
    Rule::new(
        100_504,
        PAGE,
        &["script"],
        r#"\b(?:j\s*a\s*v\s*a|v\s*b)\s*s\s*c\s*r\s*i\s*p\s*t\s*:(?:[^\s]{0,256}[(`=\[]|\s*(?:alert|eval|confirm|prompt|document|window|fetch|location|void|import|top|self|this)\b)"#,
    ),
    Rule::new(
        100_505,
        PAGE,
        &["data:"],
        r"\bdata:\s*(?:text/html|image/svg\+xml|application/xhtml\+xml|text/xml)[^,]{0,64},\s*(?:[^\s]{0,64}(?:<|%3c)|PHN2Zy|PHNjcmlwd|PGh0bWw|PCFET0NUWVBF)",
    ),
    Rule::new(
        100_506,
        PAGE,
        &["<"],
        r#"<\s*(?:iframe|frame|frameset|object|embed|applet|base|meta|link|form|isindex|marquee|portal|template|noscript|textarea|style)\b[^>]{0,256}(?:\b(?:src|srcdoc|href|data|action|formaction|http-equiv|rel|behavior|code|expression)\s*=|@import|expression\s*\()|<(?:svg|math)[\s/][^>]{0,256}?(?:href|on\w+)\s*=|<\s*style\b[^>]{0,256}>[^<]{0,256}(?:@import|expression\s*\(|url\s*\()|<\s*(?:iframe|object|embed|applet)\b[\s/>]"#,
    ),
    Rule::new(
        100_507,
        PAGE,
        &[
            "document.",
            "document[",
            "window.",
            "window[",
            "fromcharcode",
            "localstorage",
            "alert",
            "confirm",
            "prompt",
        ],
        r#"\bdocument\s*(?:\.|\[\s*['"])\s*(?:cookie|domain|write|writeln|location|body)\b|\bwindow\s*(?:\.|\[\s*['"])\s*(?:location|name|open|alert)\b\s*['"\])(=.]|\bstring\s*\.\s*fromcharcode\s*\(|\blocalstorage\s*\.\s*getitem\s*\(|["'`;)}>/-]\s*[-+;,*/|&^%(]*\s*(?:alert|confirm|prompt)\s*(?:\(|`)"#,
    ),
];
