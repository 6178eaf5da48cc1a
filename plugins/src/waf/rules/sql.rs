//! Changing a query of a database.

use super::super::rule::{Rule, Target, Targets};
use super::{HEADERS, JSON, PARAMETERS, VALUES};

const QUOTES: &[&str] = &["'", "\"", "`"];

pub(super) const RULES: &[Rule] = &[
    // The first quote of a text ends another text, and a condition follows. A filter that
    // is meant as one has had a quote before, which is closed.
    Rule::new(
        100_301,
        VALUES,
        QUOTES,
        r#"^[^'"`]*['"`]\s*\)*\s*(?:\b(?:or|and|xor|div)\b|\|\||&&)\s*(?:.{1,256}?(?:=|<|>)|(?:not\s*)?\(*\s*(?:[\w.@]+|['"`][^'"`]{0,64}['"`]?)\s*\)*\s*\b(?:like|is|in\s*\(|between|regexp|rlike|sounds)\b)|(?:\b(?:or|and|xor)\b|\|\||&&)[\s(]*(?:not[\s(]*)?(?:''|""|['"`]\w{0,32}['"`])\s*\)*\s*(?:=|<|>|!=|\blike\b)\s*\(*\s*['"`]"#,
    ),
    // The same of a number.
    Rule::new(
        100_302,
        VALUES,
        &["=", "<", ">", "like", "in(", "in (", "true"],
        r#"(?:^|[\s\d'")])(?:or|and|xor|having|where|\|\||&&)[\s(+]+(?:not\s+)?['"]?(?:\d{1,12}['"]?\s*(?:(?:=|<>|!=|like)\s*['"]?\d|in\s*\()|true\b\s*(?:--|#|/\*|$)|['"]?[a-z]['"]\s*=\s*['"][a-z])|^[\s\d'"()-]+(?:or|and|xor|\|\||&&)[\s(+]+\d{1,12}\s*[<>]\s*\d"#,
    ),
    Rule::new(
        100_303,
        VALUES,
        &["union"],
        r#"\bunion\b(?:[\s(]+(?:all|distinct|distinctrow))?[\s(]*\bselect\b[\s(]*(?:(?:all|distinct)\s+)?(?:null\b|[-+]?\d|\*|@@|['"`]|char\s*\(|concat|[\w.]+\s*(?:,|\(|\|\||--|#|\bfrom\b))"#,
    ),
    // A statement after the end of another.
    Rule::new(
        100_304,
        VALUES,
        &[";"],
        r#";\s*(?:drop\s+(?:table|database|schema|view|user|index|procedure|function)|delete\s+from|insert\s+into|update\s+[\w.`"\[\]]+\s+set|alter\s+(?:table|user|database|login|role)|create\s+(?:table|user|database|function|procedure|or\s+replace|login|role|alias)|truncate\s+(?:table\s+)?\w|exec(?:ute)?\s*(?:\(|\s+(?:immediate|xp_|sp_|master|@|'))|declare\s+@|shutdown\b|grant\s+\w+(?:\s*,\s*\w+)*\s+(?:on|to)\b|waitfor\s+delay|select\s+(?:pg_sleep|sleep|[\w*.,@ ]{1,64}\bfrom\b)|copy\s+\w+\s+(?:from|to)\b|begin\s+(?:declare|dbms_))"#,
    ),
    // Functions that take time, for those that see no answer.
    Rule::new(
        100_305,
        VALUES,
        &[
            "sleep",
            "benchmark",
            "waitfor",
            "dbms_",
            "randomblob",
            "delay",
        ],
        r#"(?:^|[^\w.])(?:sleep\s*\(\s*\d+(?:\.\d+)?\s*\)\s*(?:--|#|/\*|'|"|=|and\b|or\b|\)|;|,|\+|$)|pg_sleep(?:_for)?\s*\(|benchmark\s*\(\s*\d+\s*,|dbms_pipe\.receive_message\s*\(|dbms_(?:lock|session)\.sleep\s*\(|randomblob\s*\(\s*\d{6,}|waitfor\s+(?:delay|time)\s*['"(])"#,
    ),
    // Where databases keep what they know of themselves, and ways out of them.
    Rule::new(
        100_306,
        VALUES,
        &[
            "extractvalue",
            "updatexml",
            "load_file",
            "outfile",
            "dumpfile",
            "xp_",
            "sp_",
            "information_schema",
            "sqlite_master",
            "pg_catalog",
            "pg_shadow",
            "pg_read_file",
            "utl_http",
            "utl_inaddr",
            "all_tables",
            "sysobjects",
            "syscolumns",
            "sysdatabases",
            "mysql.user",
            "@@version",
            "@@datadir",
            "@@hostname",
            "current_user",
            "group_concat",
            "string_agg",
            "xmltype",
            "dbms_xml",
            "ctxsys",
            "openrowset",
            "opendatasource",
            "analyse",
            "msysaccessobjects",
            "lo_import",
        ],
        r#"\b(?:extractvalue|updatexml)\s*\(|\bload_file\s*\(|\binto\s+(?:out|dump)file\b|\bxp_(?:cmdshell|dirtree|regread|fileexist|subdirs)\b|\bsp_(?:executesql|oacreate|makewebtask|password|configure)\b|\binformation_schema\s*\.\s*(?:tables|columns|schemata|routines|processlist|user_privileges)|\b(?:from|join)\s+(?:sqlite_master|pg_catalog|pg_shadow|pg_user|mysql\.user|all_tables|user_tables|sysobjects|syscolumns|sysdatabases|sys\.\w+|msysaccessobjects|dual\b)|\bpg_read_file\s*\(|\blo_import\s*\(|\butl_(?:http|inaddr|file)\s*\.|(?:select|['"(,=|+]|and|or)\s*@@(?:version|datadir|hostname|basedir|servername)|['"]\s*(?:\|\||\+|,)\s*current_user|\b(?:group_concat|string_agg)\s*\(\s*(?:distinct\s+)?[\w.@]+(?:,|\)|\s)|\bxmltype\s*\(\s*chr|\bctxsys\.drithsx|\bopen(?:rowset|datasource)\s*\(|\bprocedure\s+analyse\s*\("#,
    ),
    // The first quote, and a comment that swallows what follows. With a space before it
    // a dash may be prose, so that then nothing may follow.
    Rule::new(
        100_307,
        VALUES,
        QUOTES,
        r#"^[^'"`]*['"`]\)*(?:;?\s*--[\s+-]*$|;?--|\s*(?:;\s*)?(?:#\s*$|/\*)|\s*;\s*(?:--|#|\x00)|#\s)"#,
    ),
    // A query within another. In JSON an ordinary field may hold SQL that is data.
    Rule::new(
        100_308,
        PARAMETERS.and(HEADERS).and(Targets::of(&[Target::Path])),
        &["select"],
        r#"(?:[(=<>|+,'"]|\b(?:and|or|in|exists|any|all|not|where|when|then)\b)\s*\(?\s*\(\s*select\b.{1,256}\bfrom\b|(?:\(|\b(?:and|or)\s+)\s*select\s+(?:count\s*\(|substr|mid\s*\(|ascii\s*\(|length\s*\(|user\s*\(|database\s*\(|version\s*\(|case\s+when|char\s*\(|@@)|^\s*select\s+(?:\*|[\w.,\s]{1,64})\s+from\s+\w+"#,
    ),
    Rule::new(
        100_309,
        VALUES,
        &[
            "select", "case", "substr", "ascii", "chr(", "char(", "concat", "if(",
        ],
        r#"['"`)]\s*(?:\|\||\+|,|\^|%|-)\s*\(?\s*(?:select\b|case\s+when\b|cha?r\s*\(|concat(?:_ws)?\s*\(|if\s*\(|ascii\s*\(|substr)|\b(?:and|or|xor|where)[\s(]+(?:ascii|ord|hex|substr(?:ing)?|mid|left|length)\s*\(\s*\(?\s*(?:substr|select|database|user|version|schema|current_|@@|\w+\s*,\s*\d)|['"`)]\s*(?:rlike|regexp|like|in|between|mod|div|xor)\s*\(\s*(?:select|case|if)\b|\bif\s*\(\s*\(?[^()]{1,64}[=<>][^()]{0,64},\s*(?:sleep|benchmark|\d|\(?select)|\bcha?r\s*\(\s*\d+\s*\)\s*(?:\+|\|\|)\s*cha?r\s*\("#,
    ),
    Rule::new(
        100_310,
        PARAMETERS.and(HEADERS),
        &["order by", "order+by", "group by", "having", "limit"],
        r#"(?:\d|['"`)])\s*\)*\s+order\s+by\s+\d+\s*(?:--|#|/\*|,|$)|\bgroup\s+by\s+[\w.,\s]{1,64}\bhaving\b|['"`)]\s*(?:limit|having)\s+\d"#,
    ),
    Rule::new(
        100_311,
        VALUES,
        &["0x", "cast", "convert", "exec"],
        r"\b(?:cast|convert)\s*\(\s*(?:int\s*,\s*\(?\s*(?:@@|select|db_name|user)|0x[0-9a-f]{6,}|\(\s*select)|\bexec(?:ute)?\s*\(\s*(?:@|char\s*\(|0x)|\bexec\s+(?:master\b|xp_|sp_)",
    ),
    // The probe for the number of columns, in a field that may hold whole queries.
    Rule::new(
        100_312,
        JSON,
        &["order by"],
        r#"(?:^\s*-?\d+|['"`])\s*\)*\s*order\s+by\s+\d+\s*(?:--|#|/\*)"#,
    ),
    // What a service that answers questions about data may be asked in a field of its
    // own: an operator can see where it happens.
    Rule::new(
        100_390,
        Targets::of(&[Target::Json]),
        &["select", "insert", "delete", "update"],
        r"\bselect\b.{1,256}\bfrom\b|\binsert\s+into\b|\bdelete\s+from\b|\bupdate\s+\w+\s+set\b",
    )
    .noted(),
];
