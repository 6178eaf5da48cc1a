//! What messages say, and what they do not.

use super::*;

fn env(name: &str) -> Secret {
    Secret::Env(name.to_owned())
}

#[test]
fn a_secret_is_read_without_its_line_break_and_never_shown() {
    let path = PathBuf::from("/run/key");
    let given = Given {
        files: [(path.clone(), b"s3cret\r\n".to_vec())].into(),
        environment: [("KEY".to_owned(), "s3cret\n\n".to_owned())].into(),
        ..Given::default()
    };
    let file = given.secret(&Secret::File(path)).unwrap();
    assert_eq!(file.expose(), b"s3cret");
    let variable = given.secret(&env("KEY")).unwrap();
    assert_eq!(variable.expose(), b"s3cret\n", "only one is dropped");
    assert!(!format!("{file:?}").contains("s3cret"));
}

#[test]
fn a_secret_that_is_not_there_is_told_by_its_reference() {
    let given = Given {
        files: [(PathBuf::from("/empty"), b"\n".to_vec())].into(),
        ..Given::default()
    };
    let error = |secret: Secret| given.secret(&secret).unwrap_err().to_string();
    assert_eq!(
        error(env("KEY")),
        "environment variable KEY cannot be read: it is not set"
    );
    assert_eq!(
        error(Secret::File("/empty".into())),
        "file /empty cannot be read: it is empty"
    );
    assert_eq!(
        error(Secret::File("/none".into())),
        "/none cannot be read: there is no such file"
    );
}

#[test]
fn the_mistakes_of_another_file_have_their_places() {
    let mistake = |line, message: &str| Mistake {
        line,
        column: 5,
        message: message.to_owned(),
        hint: (line == 1).then(|| "write `tenant`".to_owned()),
    };
    let error = BuildError {
        route: Some("chat".parse().unwrap()),
        cause: Cause::Plugin {
            index: 2,
            error: PluginError::File {
                path: "keys.yaml".into(),
                mistakes: vec![mistake(1, "unknown key"), mistake(9, "no name")],
            },
        },
    };
    assert_eq!(
        error.to_string(),
        "route `chat`: chain[2]:\n\
         keys.yaml:1:5: unknown key (write `tenant`)\n\
         keys.yaml:9:5: no name"
    );
    let report = penstock_config::parse("server: 1\nroutes: 2").unwrap_err();
    let PluginError::File { mistakes, .. } = PluginError::file("a.yaml", &report) else {
        panic!("a file's mistakes")
    };
    assert_eq!(mistakes, report.mistakes());
}
