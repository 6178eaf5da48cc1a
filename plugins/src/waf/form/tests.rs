//! Parameters and cookies.

use super::*;

fn shown(text: &str) -> Vec<(Target, String)> {
    let mut seen = Vec::new();
    each(text.as_bytes(), |parameter| {
        let text = String::from_utf8_lossy(parameter.text).into_owned();
        seen.push((parameter.target, text));
        true
    });
    seen
}

#[test]
fn names_and_values_are_shown_but_no_prompts() {
    use Target::{Parameter, ParameterLink, ParameterName};
    let seen = shown("a=1=2&&prompt=P&image_url=u&flag&redirect_uri=r");
    let wanted = [
        (ParameterName, "a"),
        (Parameter, "1=2"),
        (ParameterName, "prompt"),
        (ParameterName, "image_url"),
        (ParameterLink, "u"),
        (ParameterName, ""),
        (Parameter, "flag"),
        (ParameterName, "redirect_uri"),
        (Parameter, "r"),
    ];
    let wanted = wanted.map(|(target, text)| (target, text.to_owned()));
    assert_eq!(seen, wanted);
    assert!(shown("").is_empty());
}

#[test]
fn cookies_are_parted() {
    let header = b"a=1; b=x=y;c; ";
    let pairs: Vec<_> = cookies(header).collect();
    let wanted: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b"x=y"), (b"", b"c"), (b"", b"")];
    assert_eq!(pairs, wanted);
}
