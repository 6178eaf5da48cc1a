//! Issuers of tokens: where their mistakes are found.

/// The file has these mistakes and no others: line, column, part of the message.
#[track_caller]
fn expect(issuers: &str, expected: &[(usize, usize, &str)]) {
    let text = format!("chain:\n- authenticate:\n    jwt:\n{issuers}");
    let report = crate::parse(&text).expect_err(&text);
    let found = report.mistakes();
    let fit = found.len() == expected.len()
        && found.iter().zip(expected).all(|(mistake, wanted)| {
            (mistake.line, mistake.column) == (wanted.0, wanted.1)
                && mistake.to_string().contains(wanted.2)
        });
    assert!(fit, "in\n{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn every_mistake_has_its_place() {
    expect(
        "    - issuer: a
      audiences: []
      algorithms: [RS256, none]
      keys: { jwks_url: 'http://id.example.com/' }
      leeway: 1h
      claims: { roles: realm_access.roles, models: /a//b }
      required_claims: { scope: [] }
",
        &[
            (5, 18, "the list is empty"),
            (6, 27, "`none` is not one of the choices"),
            (7, 25, "write `https://`"),
            (8, 15, "write at most 5m"),
            (9, 24, "write `/realm_access/roles`"),
            (9, 52, "one of its parts is empty"),
            (10, 33, "the list is empty"),
        ],
    );
}

#[test]
fn keys_that_do_not_fit_are_found_at_their_issuer() {
    expect(
        "    - issuer: a
      audiences: any
      algorithms: [HS256]
      keys: { pem: key.pem }
    - issuer: b
      audiences: any
      algorithms: [RS256]
      keys: { pem: key.pem, jwks: keys.json }
    - issuer: c
      audiences: any
      algorithms: [HS256]
      keys: { secret: hunter2 }
",
        &[
            (4, 7, "`HS256` needs a `secret`"),
            (11, 13, "exactly one of `pem`"),
            (15, 23, "a secret must not be in this file"),
        ],
    );
}

#[test]
fn an_issuer_stands_once() {
    let one = "    - { issuer: a, audiences: any, algorithms: [RS256], keys: { pem: a } }\n";
    expect(
        &one.repeat(2),
        &[(5, 17, "the issuer `a` stands here twice: first on line 4")],
    );
    let many: String = (0..33)
        .map(|n| one.replace("issuer: a", &format!("issuer: a{n}")))
        .collect();
    expect(&many, &[(4, 7, "33 issuers are too many")]);
}
