// What a run is told from outside, as values that are already right: a setting that cannot
// be read ends the run before anything is sent.
//
// loadtest/README.md lists every name with its unit and its default.

function text(name, otherwise) {
  const value = __ENV[name];
  return value === undefined || value === "" ? otherwise : value;
}

export function number(name, otherwise, least = 0) {
  const value = Number(text(name, otherwise));
  if (!Number.isFinite(value) || value < least) {
    throw new Error(`${name} must be a number of at least ${least}, not "${__ENV[name]}"`);
  }
  return value;
}

// "90s", "5m", "1h30m" in seconds.
export function seconds(name, otherwise) {
  const given = text(name, otherwise);
  const units = { ms: 0.001, s: 1, m: 60, h: 3600 };
  let total = 0;
  const rest = given.replace(/(\d+(?:\.\d+)?)(ms|s|m|h)/g, (_, count, unit) => {
    total += Number(count) * units[unit];
    return "";
  });
  if (rest !== "" || total <= 0) {
    throw new Error(`${name} must be a duration such as 90s or 1h30m, not "${given}"`);
  }
  return total;
}

// A script's own defaults, under those of the environment.
export function settings(script = {}) {
  const own = (name, otherwise) => (name in script ? script[name] : otherwise);
  return {
    target: text("TARGET", "http://127.0.0.1:8080").replace(/\/+$/, ""),
    admin: text("ADMIN_URL", ""),
    apiKey: text("API_KEY", ""),
    model: text("MODEL", "simulator-small"),
    embeddingModel: text("EMBEDDING_MODEL", "simulator-small"),
    rate: number("RATE", own("rate", 50), 0.01),
    seconds: seconds("DURATION", own("duration", "30s")),
    vus: Math.ceil(number("VUS", own("vus", 200), 1)),
    tokens: Math.ceil(number("TOKENS", own("tokens", 16), 1)),
    seed: Math.floor(number("SEED", 0)),
    // How the model server is set, and what may come on top of that.
    firstTokenMs: number("FIRST_TOKEN_MS", 120),
    paceMs: number("PACE_MS", 25),
    allowedMs: number("ALLOWED_MS", 250),
    // Shares of what may go wrong.
    failedMax: number("FAILED_MAX", own("failedMax", 0.001)),
    droppedMax: number("DROPPED_MAX", own("droppedMax", 0.01)),
    report: __ENV.REPORT,
  };
}

// The longest that an answer of so many tokens may take, in milliseconds.
export function longest(set, tokens) {
  return set.firstTokenMs + tokens * set.paceMs + set.allowedMs;
}
