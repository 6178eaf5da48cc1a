//! Heads of answers that say their length twice.

use super::{Random, splits};
use crate::strict::{AnswerFault, AnswerHead};

/// The verdict on an answer that arrives in pieces that end there.
fn checked(answer: &[u8], ends: &[usize]) -> Result<(), AnswerFault> {
    let mut head = AnswerHead::default();
    let mut from = 0;
    for &end in ends {
        head.check(&answer[from..end])?;
        from = end;
    }
    Ok(())
}

#[test]
fn a_length_beside_a_coding_is_found_wherever_it_is() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let good = Ok(());
    let bad = Err(AnswerFault::Framing);
    let mut random = Random(7);
    for (answer, wanted) in [
        (format!("HTTP/1.1 200 OK\r\n{both}\r\n0\r\n\r\n"), bad),
        (format!("\r\nHTTP/1.1 200 OK\r\n{both}\r\n"), bad),
        (format!("{early}HTTP/1.1 200 OK\r\n{both}\r\n"), bad),
        (format!("HTTP/1.1 100 A\r\n{both}\r\n"), bad),
        (format!("HTTP/1.0 404\n{}\n", both.replace('\r', "")), bad),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding \t: chunked\r\nA: b\r\nCONTENT-LENGTH : 5\r\n\r\n".to_owned(),
            bad,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned(), good),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 5\r\nContent-Length-X: 5\r\n\r\n".to_owned(),
            good,
        ),
        // A line that goes on has no name.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\nX: y\r\n Content-Length: 5\r\n\r\n".to_owned(),
            good,
        ),
        // One in an early head, the other in the answer's own.
        (
            "HTTP/1.1 103 A\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            good,
        ),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{both}\r\n"), good),
        (format!("HTTP/1.1 101 A\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 A\r\n{both}\r\n"), good),
    ] {
        let answer = answer.as_bytes();
        let bytewise: Vec<_> = (1..=answer.len()).collect();
        assert_eq!(checked(answer, &bytewise), wanted, "{}", answer.escape_ascii());
        for _ in 0..20 {
            let ends = splits(&mut random, answer.len());
            let found = checked(answer, &ends);
            assert_eq!(found, wanted, "{} in pieces that end at {ends:?}", answer.escape_ascii());
        }
    }
}
