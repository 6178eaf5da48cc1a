//! Which keys a reload names.

use super::changed_keys;
use crate::parse;
use crate::server::Server;

fn server(text: &str) -> Server {
    parse(text)
        .unwrap_or_else(|report| panic!("{}", report.render("test", text)))
        .server
}

#[test]
fn each_changed_key_is_named_and_no_other() {
    let old = "
server:
  listen:
    - address: 127.0.0.1:1
    - address: 127.0.0.1:2
      tls: { certificate: /a.pem, private_key: { env: KEY } }
  admin: off
";
    let cases: [(&str, &str, &[&str]); 7] = [
        ("", "", &[]),
        ("/a.pem", "/b.pem", &[]),
        (
            "{ env: KEY }",
            "{ env: KEY }, client_certificates: { ca: /ca.pem }",
            &[],
        ),
        (
            "      tls: { certificate: /a.pem, private_key: { env: KEY } }\n",
            "",
            &["server.listen[1].tls"],
        ),
        (
            "admin: off",
            "workers: 3",
            &["server.admin", "server.workers"],
        ),
        (
            "  admin: off",
            "    - address: 127.0.0.1:3\n  admin: off",
            &["server.listen[2]"],
        ),
        (
            "admin: off",
            "admin: off\n  limits: { request_body: 1MiB }\n  upgrade_socket: /s",
            &["server.limits.request_body", "server.upgrade_socket"],
        ),
    ];
    for (from, to, expected) in cases {
        let new = if from.is_empty() {
            old.to_owned()
        } else {
            old.replace(from, to)
        };
        let mut keys = changed_keys(&server(old), &server(&new));
        keys.sort();
        assert_eq!(keys, expected, "after `{from}` became `{to}`");
    }
}

#[test]
fn spelling_is_no_change() {
    let (old, new) = (
        "server: { drain_timeout: 60s }",
        "server: { drain_timeout: 1m, admin: 127.0.0.1:9901 }",
    );
    assert!(
        changed_keys(&server(old), &server(new)).is_empty(),
        "both mean the same"
    );
}
