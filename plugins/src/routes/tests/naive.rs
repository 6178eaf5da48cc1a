//! Any table gives what trying its routes in turn would.

use http::request;
use penstock_config::route::{Match, PathMatch};
use penstock_config::unit::Glob;

use super::{Found, Route, head, table};

/// Tries a route, and knows nothing of the table's ways.
fn takes(matches: &Match, head: &request::Parts, model: Option<&str>) -> bool {
    let path = head.uri.path();
    let path = match &matches.path {
        None => true,
        Some(PathMatch::Exact(exact)) => path == exact,
        Some(PathMatch::Prefix(prefix)) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        Some(PathMatch::Glob(glob)) => glob.matches_path(path),
    };
    let methods = &matches.methods;
    let method = methods.is_empty() || methods.iter().any(|m| *m.as_ref() == head.method);
    let headers = matches.headers.iter().all(|(name, glob)| {
        let value = head.headers.get(name.as_str());
        value.is_some_and(|value| glob.matches_text(value.to_str().unwrap()))
    });
    let named = |glob: &Glob| model.is_some_and(|model| glob.matches_text(model));
    let models = matches.models.is_empty() || matches.models.iter().any(named);
    path && method && headers && models
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (crate::split::mix(self.0) % most as u64) as usize
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }
}

const PATHS: [&str; 10] = [
    "",
    r#""path":{"exact":"/v1/chat"}"#,
    r#""path":{"exact":"/v1"}"#,
    r#""path":{"prefix":"/v1"}"#,
    r#""path":{"prefix":"/v1/"}"#,
    r#""path":{"prefix":"/v1/chat"}"#,
    r#""path":{"prefix":"/"}"#,
    r#""path":{"glob":"/v1/*"}"#,
    r#""path":{"glob":"/**/chat"}"#,
    r#""path":{"glob":"*"}"#,
];
const MODELS: [&str; 12] = [
    "a", "ab", "abc", "a*", "ab*", "abc**", "*", "**", "?", "*c", "a*c", "ä*",
];
const METHODS: [&str; 3] = ["", r#""methods":["POST"]"#, r#""methods":["GET","POST"]"#];
const HEADERS: [&str; 3] = ["", r#""headers":{"x-a":"b*"}"#, r#""headers":{"x-a":"*"}"#];

fn any_match(dice: &mut Dice) -> String {
    let models: Vec<_> = (0..dice.below(4))
        .map(|_| format!("{:?}", dice.of(&MODELS)))
        .collect();
    let models = format!(r#""models":[{}]"#, models.join(","));
    let mut terms = vec![dice.of(&PATHS).to_owned(), models];
    // Most routes of a file differ in path or model and in nothing else.
    if dice.below(3) == 0 {
        terms.push(dice.of(&METHODS).to_owned());
        terms.push(dice.of(&HEADERS).to_owned());
    }
    terms.retain(|term| !term.is_empty());
    terms.join(",")
}

#[test]
fn any_table_gives_what_trying_each_route_in_turn_would() {
    let mut dice = Dice(7);
    let (mut found, mut asked_for_model) = (0, 0);
    for _ in 0..300 {
        let count = 1 + dice.below(30);
        let matches: Vec<String> = (0..count).map(|_| any_match(&mut dice)).collect();
        let table = table(&matches);
        let read = |text: &String| serde_json::from_str(&format!("{{{text}}}")).unwrap();
        let naive: Vec<Match> = matches.iter().map(read).collect();
        for _ in 0..60 {
            let path = dice.of(&["/", "/v1", "/v1/chat", "/v1/chat/x", "/v10", "/x/chat", "*"]);
            let headers: &[_] = [&[][..], &[("x-a", "bc")], &[("x-a", "d")]][dice.below(3)];
            let head = head(dice.of(&["GET", "POST"]), path, headers);
            let models = [
                None,
                Some(""),
                Some("a"),
                Some("ab"),
                Some("abc"),
                Some("xc"),
                Some("äx"),
            ];
            let place = |model| naive.iter().position(|m| takes(m, &head, model));
            for model in models {
                let taken = table.find_with_model(&head, None, model).map(Route::index);
                assert_eq!(taken, place(model), "{model:?} of {head:?} in {matches:?}");
                found += usize::from(taken.is_some());
            }
            match table.find(&head, None) {
                Found::Route(route) => {
                    let all = models
                        .iter()
                        .all(|model| place(*model) == Some(route.index()));
                    assert!(all, "{head:?} needs a model in {matches:?}");
                }
                Found::None => assert!(models.iter().all(|model| place(*model).is_none())),
                Found::NeedsModel => asked_for_model += 1,
            }
        }
    }
    assert!(
        found > 50_000 && asked_for_model > 5_000,
        "{found}, {asked_for_model}"
    );
}
