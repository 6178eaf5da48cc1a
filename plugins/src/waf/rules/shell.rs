//! Running commands and code.

use super::super::rule::{Rule, Target, Targets};
use super::{JSON, LOGGED, PARAMETERS, VALUES};

pub(super) const RULES: &[Rule] = &[
    // A separator, a command, and what shows that the command is meant as one: an
    // option, a path, a variable, an address, or the end.
    Rule::new(
        100_401,
        VALUES,
        &[";", "|", "&", "\n", "`", "$(", "<(", ">("],
        r#"(?:[;|&\n`]|\$\(|[<>]\()\s*(?:sudo\s+)?(?:/(?:usr/)?(?:local/)?s?bin/)?(?:(?:cat|ls|dir|tac|head|tail|less|more|nl|od|xxd|strings|rm|mv|cp|chmod|chown|touch|mkdir|nc|ncat|netcat|wget|curl|fetch|lynx|ping|ping6|nslookup|dig|host|telnet|ftp|tftp|ssh|scp|socat|bash|sh|zsh|ksh|dash|ash|csh|python[23]?|perl|ruby|php|node|lua|awk|gawk|sed|grep|find|xargs|powershell|pwsh|cmd|certutil|bitsadmin|mshta|rundll32|regsvr32|wmic|net|reg|schtasks|type|echo|printf|base64|openssl|kill|killall|crontab|tee|env|export|ps|systemctl|service|docker|kubectl|mount|dd|tar|zip|unzip|git|sleep|timeout|expr|eval|exec|source|ifconfig|ip|netstat|route|uname|id|whoami|w|who|last|hostname|useradd|adduser|passwd|gcc|make)(?:\.exe)?\s+(?:[-/~.$<>"'`\\*%]|\w+[:/@=]|\d+(?:\.\d+){3}|\d+\s*(?:$|[;|&`)#\n])|\w+\.(?:com|net|org|io|sh|py|pl|rb|php|txt|conf|log|exe|ps1|internal|local)\b|user\b|addr\b|a\s*$)|(?:curl|wget|ping6?|nslookup|dig|nc|ncat|ssh|scp|telnet|ftp)\s+(?:-\S{1,64}\s+)*[\w-]+\.[\w.-]+|(?:exec|eval|source)\s+(?:ba|z|k|da)?sh\b|(?:whoami|uname|ifconfig|ipconfig|systeminfo|netstat|tasklist|printenv|hostname|getent)(?:\.exe)?\s*(?:$|[;|&`)#\n]))"#,
    ),
    // Names that are words as well, and in a `user-agent` languages.
    Rule::new(
        100_402,
        Targets::of(&[
            Target::Path,
            Target::FileName,
            Target::Header,
            Target::Cookie,
        ])
        .and(PARAMETERS)
        .and(JSON),
        &[";", "|", "&", "\n", "`", "$("],
        r#"(?:[\d'"\])]|^|\.\w{2,4})\s*(?:;|\|\|?|&&?)\s*(?:id|ls|pwd|env|ps|dir)\s*(?:$|['"])|(?:^|[^;|&\s])(?:;|\|)(?:id|ls|pwd|env|ps)$|`(?:id|ls|pwd|env)`|\$\((?:id|ls|pwd|env)\)|\$\(\s*(?:echo|cat|ls|printf|curl|wget|ping|nslookup|sleep|expr|sh|bash|env|touch|rm)\s[^)]{1,256}\)|[;|&\n]\s*(?:/(?:usr/)?s?bin/)?(?:id|ls|ps|pwd|env|set|dir|ver|reboot|halt|poweroff|shutdown)\s*[;|&`)#\n]"#,
    ),
    Rule::words(
        100_403,
        VALUES,
        &[
            "${ifs}",
            "$ifs$",
            "/dev/tcp/",
            "/dev/udp/",
            "bash -i",
            "nc -e",
            "ncat -e",
            "nc.traditional",
            "/bin/sh -c",
            "/bin/bash -c",
            "/bin/sh -i",
            "cmd.exe /c",
            "cmd /c ",
            "powershell -e",
            "powershell.exe -e",
            "powershell -nop",
            "powershell iex",
            "mkfifo /tmp",
            "python -c 'import",
            "python3 -c 'import",
            "perl -e 'use socket",
            "ruby -rsocket",
            "php -r '$sock",
            "invoke-expression",
            "invoke-webrequest",
            "downloadstring(",
        ],
    ),
    // Shellshock (CVE-2014-6271): a function in what becomes a variable.
    Rule::new(
        100_404,
        LOGGED,
        &["() {", "(){", "()\t{"],
        r"\(\)\s*\{\s*(?:[:_a-z]|\}|\s)[^}]{0,32}\}?\s*;",
    ),
    Rule::new(
        100_405,
        VALUES,
        &["curl", "wget", "fetch", "base64", "iwr"],
        r"\b(?:curl|wget|fetch|iwr)\b[^|;&]{1,256}(?:\|\s*|;\s*|&&\s*)(?:sudo\s+)?(?:ba|z|da)?sh\b|\bbase64\s+(?:-d|--decode)\s*\|\s*\w*sh\b|\bwget\s+(?:-[\w]+\s+)*(?:https?|ftp)://",
    ),
    Rule::new(
        100_406,
        VALUES,
        &[
            "system(",
            "exec(",
            "passthru(",
            "popen(",
            "proc_open(",
            "eval(",
            "assert(",
            "getruntime",
            "os.system",
            "subprocess.",
            "child_process",
            "mainmodule",
            "processbuilder",
            "__import__",
            "phpinfo(",
            "base64_decode(",
            "java.lang",
            "file_get_contents(",
            "<?php",
            "<?=",
            "create_function",
            "constructor(",
        ],
        r#"(?:^|[^\w.$])(?:shell_exec|passthru|proc_open|pcntl_exec|phpinfo|create_function)\s*\(|(?:^|[^\w.])(?:system|exec|popen|assert)\s*\(\s*(?:['"$(]|chr|base64)|\beval\s*\(\s*(?:base64_decode|atob|compile|unescape|string\.fromcharcode|\$_|request|require|gzinflate|rot13|str_rot13)|\bgetruntime\s*\(\s*\)\s*\.\s*exec|\bos\s*\.\s*(?:system|popen|execv?p?)\s*\(|\bsubprocess\s*\.\s*(?:popen|call|run|check_output|getoutput)\s*\(|\brequire\s*\(\s*['"]child_process|\bmainmodule\s*\.\s*(?:require|constructor)|\bnew\s+(?:java\.lang\.)?processbuilder\b|__import__\s*\(\s*['"]|\bjava\.lang\.(?:runtime|processbuilder|class|system)\b|\bfile_get_contents\s*\(\s*['"]|<\?(?:php\b|=\s*[`$(@\w])|\.constructor\s*\(\s*['"`]"#,
    ),
    // Directives that a server carries out before it answers.
    Rule::new(
        100_407,
        VALUES.and(Targets::of(&[Target::Xml])),
        &["<!--#", "<esi:"],
        r"<!--\s*#\s*(?:exec|include|echo|printenv|config|set|fsize)\b|<esi:(?:include|inline|vars|remove|debug|comment)\b",
    ),
];
