//! What a reload would change is told before it happens.

use std::path::Path;

use penstock::transport::Transport;

use crate::harness::certificates::Authority;
use crate::harness::process::{ProxyProcess, Said, command, output};
use crate::harness::{all_to, config, replace, simulator};

on_both!(
    two_files_are_compared,
    the_running_configuration_is_asked_for,
    what_files_hold_now_is_compared,
    keys_are_told_by_name,
    what_cannot_be_compared_is_trouble,
);

const ADMIN: &str = "admin: \"127.0.0.1:0\"";

async fn diff(arguments: &[&str]) -> Said {
    output(command(&[&["diff"], arguments].concat())).await
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn split(weights: (u32, u32)) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"127.0.0.1:1\"] }}\n  b: {{ endpoints: [\"127.0.0.1:2\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a, weight: {} }}, {{ upstream: b, weight: {} }}] }}\n",
        weights.0, weights.1
    )
}

async fn two_files_are_compared(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let old = write(
        folder.path(),
        "old.yaml",
        &config(transport, "", &split((70, 30))),
    );
    let new = write(
        folder.path(),
        "new.yaml",
        &config(transport, "", &split((50, 50))),
    );
    let said = diff(&["-c", &new, "--against", &old]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(said.out, "route `all`: weights of a/b 70/30 → 50/50\n");
    let said = diff(&["-c", &old, "--against", &old]).await;
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "nothing would change\n")
    );
}

async fn the_running_configuration_is_asked_for(transport: Transport) {
    let proxy_text = split((70, 30));
    let mut proxy = ProxyProcess::start(transport, ADMIN, &proxy_text).await;
    let admin = proxy.admin().await.to_string();
    let folder = tempfile::tempdir().unwrap();
    let running = std::fs::read_to_string(proxy.file()).unwrap();
    let same = write(
        folder.path(),
        "same.yaml",
        &format!("# other words\n{running}"),
    );
    let said = diff(&["-c", &same, "--admin", &admin]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);

    let text = running
        .replace("weight: 70", "weight: 50")
        .replace("weight: 30", "weight: 50")
        .replace("127.0.0.1:2", "127.0.0.1:3");
    let new = write(folder.path(), "new.yaml", &text);
    let said = diff(&["-c", &new, "--admin", &admin]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(
        said.out.lines().collect::<Vec<_>>(),
        [
            "upstream `b`: endpoint `127.0.0.1:2` removed",
            "upstream `b`: endpoint `127.0.0.1:3` added",
            "route `all`: weights of a/b 70/30 → 50/50",
        ]
    );
    // What was told before is what the reload tells after.
    replace(&proxy.file(), &text);
    let reloaded = output(command(&["reload", "--admin", &admin])).await;
    assert_eq!(reloaded.code, Some(0), "{}", reloaded.err);
    assert!(
        reloaded
            .out
            .starts_with("generation 2 is in force: 1 upstream changed, 1 route changed\n"),
        "{}",
        reloaded.out
    );
    for line in said.out.lines() {
        assert!(reloaded.out.contains(line), "{line}: {}", reloaded.out);
    }
    let line = proxy.process.line("configuration reloaded").await;
    assert!(line.contains("weights of a/b 70/30 → 50/50"), "{line}");

    let other = text.replace("workers: 2", "workers: 3");
    assert_ne!(other, text);
    let new = write(folder.path(), "new.yaml", &other);
    let said = diff(&["-c", &new, "--admin", &admin]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.out.contains("server.workers 2 → 3 (needs a restart)"),
        "{}",
        said.out
    );
    assert!(said.out.contains("would be refused"), "{}", said.out);
}

async fn what_files_hold_now_is_compared(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("old.test").write(folder.path());
    let server = format!("{ADMIN}\n{}", crate::reload::tls_listener(folder.path()));
    let mut proxy = ProxyProcess::start(transport, &server, &all_to(upstream.address())).await;
    let admin = proxy.admin().await.to_string();
    let file = proxy.file();
    let file = file.to_str().unwrap();
    let said = diff(&["-c", file, "--admin", &admin]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);

    let issued = authority.issue("new.test");
    issued.write(folder.path());
    let said = diff(&["-c", file, "--admin", &admin]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.out.contains("certificate of old.test, expires "),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("certificate of new.test, expires "),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("key.pem: its content changed"),
        "{}",
        said.out
    );
    let page = proxy.page("/generations").await;
    let state: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(state["files"].as_array().unwrap().len(), 2, "{state}");
    assert_eq!(state["files"][0]["changed"], true, "{state}");
    assert_eq!(state["file"]["state"], "same", "{state}");
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(!page.text().contains(secret), "the key itself is shown");

    // A configuration that no longer names the files does not care what they hold.
    let text = std::fs::read_to_string(file).unwrap();
    let elsewhere = text.replace(folder.path().to_str().unwrap(), "/elsewhere");
    let new = write(folder.path(), "new.yaml", &elsewhere);
    let said = diff(&["-c", &new, "--admin", &admin]).await;
    assert!(!said.out.contains("its content changed"), "{}", said.out);

    let reloaded = output(command(&["reload", "--admin", &admin])).await;
    assert!(
        reloaded.out.contains("contents of files changed"),
        "{}",
        reloaded.out
    );
    assert!(
        reloaded.out.contains("certificate of new.test"),
        "{}",
        reloaded.out
    );
    let said = diff(&["-c", file, "--admin", &admin]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

async fn keys_are_told_by_name(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.yaml");
    let key = |digit: &str, rest: &str| {
        format!(
            "- {{ hash: 'sha256:{}', consumer: {rest} }}\n",
            digit.repeat(64)
        )
    };
    std::fs::write(&keys, key("a", "search") + &key("b", "trial, id: k-trial")).unwrap();
    let chain = format!(
        "chain:\n  - authenticate: {{ keys: {{ file: \"{}\" }} }}\n{}",
        keys.display(),
        all_to(upstream.address())
    );
    let mut proxy = ProxyProcess::start(transport, ADMIN, &chain).await;
    let admin = proxy.admin().await.to_string();
    let file = proxy.file();
    std::fs::write(&keys, key("a", "search, roles: [r]") + &key("c", "fresh")).unwrap();
    let said = diff(&["-c", file.to_str().unwrap(), "--admin", &admin]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    for line in [
        "key `k-trial` removed",
        "key `search-aaaaaaaaaaaa` changed",
        "key `fresh-cccccccccccc` added",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    assert!(
        !said.out.contains(&"a".repeat(13)),
        "a whole hash: {}",
        said.out
    );
    let reloaded = output(command(&["reload", "--admin", &admin])).await;
    assert!(
        reloaded.out.contains("key `k-trial` removed"),
        "{}",
        reloaded.out
    );
    let rolled_back = output(command(&["rollback", "--admin", &admin])).await;
    assert!(
        rolled_back.out.contains("key `k-trial` added"),
        "{}",
        rolled_back.out
    );
}

async fn what_cannot_be_compared_is_trouble(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let good = write(
        folder.path(),
        "good.yaml",
        &config(transport, "", &split((1, 1))),
    );
    let bad = write(folder.path(), "bad.yaml", "routes: 7\n");
    let nobody = crate::harness::Refusing::new();
    let nobody = nobody.address().to_string();
    for arguments in [
        ["-c", &bad, "--against", &good],
        ["-c", &good, "--against", &bad],
        ["-c", "/nowhere.yaml", "--against", &good],
        ["-c", &good, "--admin", &nobody],
    ] {
        let said = diff(&arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.out);
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
    let said = diff(&["-c", &good]).await;
    assert_eq!(
        said.code,
        Some(2),
        "its admin listener is off: {}",
        said.out
    );
}
