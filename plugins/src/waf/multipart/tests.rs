//! The parts of a form.

use super::*;

fn read(content_type: &str, body: &str) -> Vec<(String, Option<String>, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    parts(content_type.as_bytes(), body.as_bytes())
        .map(|part| (text(part.name), part.file.map(text), text(part.content)))
        .collect()
}

const BODY: &str = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\n\
    content-disposition:form-data; name=file; FileName=\"a b.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\nx\r\n--b--\r\n";

#[test]
fn parts_have_names_files_and_content() {
    let wanted = vec![
        ("model".to_owned(), None, "whisper-1".to_owned()),
        (
            "file".to_owned(),
            Some("a b.wav".to_owned()),
            "RIFF\r\n\r\nx".to_owned(),
        ),
    ];
    assert_eq!(read("multipart/form-data; boundary=b", BODY), wanted);
    assert_eq!(
        read("multipart/form-data; charset=x; Boundary=\"b\"", BODY),
        wanted
    );
}

#[test]
fn without_a_boundary_there_are_no_parts() {
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
    ] {
        assert_eq!(read(content_type, BODY), [], "{content_type}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    assert_eq!(
        read(
            &long,
            &BODY.replace("--b", &format!("--{}", "x".repeat(71)))
        ),
        []
    );
}

#[test]
fn a_body_that_is_cut_or_empty_does_no_harm() {
    for end in 0..BODY.len() {
        let cut = BODY.get(..end).unwrap();
        assert!(read("multipart/form-data; boundary=b", cut).len() <= 2);
    }
    let many = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(5_000);
    assert_eq!(read("x; boundary=b", &many).len(), PARTS_MAX);
}
