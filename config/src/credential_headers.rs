//! Headers in which clients of model APIs present who they are.

use http::HeaderName;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};

const ANTHROPIC: HeaderName = HeaderName::from_static("x-api-key");
const AZURE: HeaderName = HeaderName::from_static("api-key");
const GOOGLE: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Those that the APIs read, OpenAI's and most others the first.
pub const OF_APIS: [HeaderName; 4] = [AUTHORIZATION, ANTHROPIC, AZURE, GOOGLE];

/// The same, and what a proxy on the way reads (RFC 9110 section 11.7.2).
pub const ALL: [HeaderName; 5] = [AUTHORIZATION, ANTHROPIC, AZURE, GOOGLE, PROXY_AUTHORIZATION];
