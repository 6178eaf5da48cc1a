//! `/v1/models`.

use bytes::Bytes;
use serde::Serialize;

use crate::openai::error::ApiError;
use crate::settings::Settings;

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

/// All models. What a listed model's `created` says does not depend on the clock.
pub(crate) fn list(settings: &Settings) -> Bytes {
    let data = settings.models.iter().map(|id| model(id)).collect();
    // Strings and numbers: writing them as JSON does not fail.
    serde_json::to_vec(&List {
        object: "list",
        data,
    })
    .unwrap_or_default()
    .into()
}

/// One model by its id.
pub(crate) fn one(settings: &Settings, id: &str) -> Result<Bytes, ApiError> {
    let found = settings.models.iter().find(|model| *model == id);
    let id = found.ok_or_else(|| ApiError::model_not_found(id))?;
    Ok(serde_json::to_vec(&model(id)).unwrap_or_default().into())
}

fn model(id: &str) -> Model<'_> {
    Model {
        id,
        object: "model",
        created: 1_700_000_000,
        owned_by: "penstock",
    }
}
