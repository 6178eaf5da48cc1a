//! Heads of answers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::strict::{AnswerFault, AnswerLimits, check_answer};

const LIMITS: AnswerLimits = AnswerLimits {
    head: 1024,
    fields: 8,
};

fn checked(status: u16, version: Version, fields: &[(&str, &str)]) -> Result<(), AnswerFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    check_answer(&LIMITS, version, status, &headers)
}

#[test]
fn plain_answers_are_good() {
    for (status, fields) in [
        (200, &[][..]),
        (200, &[("content-length", "5"), ("x", "a\tb \u{e9}")]),
        (200, &[("transfer-encoding", "Chunked")]),
        (204, &[("content-length", "0")]),
        (304, &[("content-length", "5")]),
        (103, &[("link", "</a>")]),
        (101, &[("upgrade", "websocket"), ("connection", "upgrade")]),
        (599, &[]),
    ] {
        assert_eq!(
            checked(status, Version::HTTP_11, fields),
            Ok(()),
            "{status} {fields:?}"
        );
    }
    assert_eq!(
        checked(200, Version::HTTP_2, &[("content-length", "5")]),
        Ok(())
    );
    assert_eq!(checked(200, Version::HTTP_10, &[]), Ok(()));
}

#[test]
fn others_are_not() {
    let (length, coding) = (AnswerFault::ContentLength, AnswerFault::TransferEncoding);
    let many = [("a", "b"); 9];
    let long = [("a", "b".repeat(1024))];
    let long = long.each_ref().map(|(name, value)| (*name, value.as_str()));
    for (status, fields, fault) in [
        (600, &[][..], AnswerFault::Status),
        (999, &[], AnswerFault::Status),
        (200, &[("content-length", "+5")], length),
        (200, &[("content-length", "")], length),
        (200, &[("content-length", "5, 5")], length),
        (
            200,
            &[("content-length", "5"), ("content-length", "5")],
            length,
        ),
        (204, &[("content-length", "5")], length),
        (103, &[("content-length", "5")], length),
        (200, &[("transfer-encoding", "gzip")], coding),
        (200, &[("transfer-encoding", "gzip, chunked")], coding),
        (
            200,
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            coding,
        ),
        (204, &[("transfer-encoding", "chunked")], coding),
        (200, &many, AnswerFault::FieldCount),
        (200, &long, AnswerFault::HeadLength),
    ] {
        let found = checked(status, Version::HTTP_11, fields);
        assert_eq!(found, Err(fault), "{status} {fields:?}");
    }
    let chunked = [("transfer-encoding", "chunked")];
    assert_eq!(checked(200, Version::HTTP_10, &chunked), Err(coding));
}
