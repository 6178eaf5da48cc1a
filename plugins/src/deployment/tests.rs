//! Paths with a deployment, without one, and in disguise.

use super::*;

/// The deployment's name, or `None` where the path is refused.
fn found(path: &str) -> Option<Option<String>> {
    let found = Deployment::of(path).ok()?;
    Some(found.map(|deployment| deployment.as_str().to_owned()))
}

#[test]
fn the_path_names_the_deployment() {
    for (path, name) in [
        ("/openai/deployments/gpt-4o/chat/completions", "gpt-4o"),
        ("/openai/deployments/gpt-4o/embeddings", "gpt-4o"),
        ("/openai/deployments/gpt-4o/", "gpt-4o"),
        ("/openai/deployments/gpt-4o", "gpt-4o"),
        ("/openai/deployments/gpt%2D4o/chat/completions", "gpt-4o"),
        ("/openai/deployments/%67pt-4o.5_x/x", "gpt-4o.5_x"),
        ("/openai/deployments/gpt-4o/%zz", "gpt-4o"),
    ] {
        assert_eq!(found(path), Some(Some(name.to_owned())), "{path}");
    }
}

#[test]
fn most_paths_name_none() {
    for path in [
        "/",
        "*",
        "",
        "/v1/chat/completions",
        "/v1/files/a%20b",
        "/100%",
        "/openai/deployments",
        "/openai/deployments/",
        "/openai/v1/chat/completions",
        "/v1/deployments/gpt-4o/chat/completions",
        "/azure/openai/deployments/gpt-4o/chat/completions",
        "/openai/deployments/gpt-4o/../..",
        "/OpenAI/models",
    ] {
        // What ends with dots is written as if it named one.
        let wanted = match path.ends_with("..") {
            true => None,
            false => Some(None),
        };
        assert_eq!(found(path), wanted, "{path}");
    }
}

#[test]
fn another_spelling_is_refused() {
    for path in [
        "/OpenAI/deployments/gpt-4o/chat/completions",
        "/openai/Deployments/gpt-4o/chat/completions",
        "//openai/deployments/gpt-4o/chat/completions",
        "/openai//deployments/gpt-4o/chat/completions",
        "/openai/deployments//gpt-4o/chat/completions",
        "/openai/./deployments/gpt-4o/chat/completions",
        "/x/../openai/deployments/gpt-4o/chat/completions",
        "/x/%2e%2E/openai/deployments/gpt-4o/chat/completions",
        "/openai/deployments/small/../gpt-4o/chat/completions",
        "/openai/deployments/small/%2e./gpt-4o/chat/completions",
        "/openai/deployments/./gpt-4o/chat/completions",
        "/openai/deployments/../deployments/gpt-4o/x",
        "/open%61i/deployments/gpt-4o/chat/completions",
        "/openai/%64eployments/gpt-4o/chat/completions",
        "/openai%2Fdeployments%2fgpt-4o/chat/completions",
        "\\openai\\deployments\\gpt-4o\\chat",
        "/openai/deployments/gpt-4o%2Fchat/completions",
        "/openai/deployments/gpt-4o\\..\\other/chat/completions",
        "/openai/deployments/small%2f..%2fgpt-4o/x",
        "/openai/deployments/gpt%252D4o/chat/completions",
        "/openai/deployments/gpt-4o%00/chat/completions",
        "/openai/deployments/gpt%E2%80%914o/chat/completions",
        "/openai/deployments/gpt-4o%zz/chat/completions",
        "/openai/deployments/gpt-4o%2/chat/completions",
        "/openai/deployments/gpt-4o%20/chat/completions",
    ] {
        assert_eq!(found(path), None, "{path}");
    }
}
