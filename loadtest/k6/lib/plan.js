// What k6 is to run, and what makes a run fail.
//
// k6 gives a summary only the metrics that it was told to keep, as thresholds; one without
// a condition keeps a metric and judges nothing. That is how the page gets its time series
// (the run is cut into slices, each request is tagged with its own) and its rows by route.

import { longest } from "./settings.js";

export const SLICES = 24;

export const ERROR_KINDS = [
  "no connection",
  "connection lost",
  "cut",
  "timeout",
  "malformed",
  "wrong answer",
  "status 2xx",
  "status 3xx",
  "status 4xx",
  "status 429",
  "status 5xx",
  "mixed generations",
  "limit",
  "cache",
  "script",
];

// The percentiles that the page draws, beside those that thresholds ask for.
export const PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9];

// Upper bounds of the bars of the histogram of times, in milliseconds.
export const TIMES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, Infinity];

// An abort costs a long run its report of the rest; so only what is plainly broken aborts.
const BROKEN = { threshold: "rate>0.5", abortOnFail: true, delayAbortEval: "15s" };

// The options of a script. `scenarios` are k6's; `routes`, `values` (of other tags, by tag)
// and `thresholds` are what this script wants shown and judged. Sets `set.total`, which
// `ask` needs, and `set.arrivals` and `set.shown`, which the report needs.
export function plan(set, { scenarios, routes, values = {}, thresholds = {} }) {
  set.total = Math.max(...Object.values(scenarios).map(lengthOf));
  set.arrivals = Object.values(scenarios).reduce((sum, scenario) => sum + arrivalsOf(scenario), 0);
  set.shown = { route: routes, ...values };
  return {
    scenarios,
    // Connections are shared among the requests of one client, as SDKs do.
    noVUConnectionReuse: false,
    summaryTrendStats: ["avg", "min", "med", "max", "count", ...PERCENTILES.map((p) => `p(${p})`)],
    thresholds: merged(kept(set.shown), judged(set, routes), thresholds),
  };
}

function kept(shown) {
  const all = { request_bytes: [], tokens_received: [] };
  for (let n = 0; n < SLICES; n++) {
    all[`http_reqs{slice:${n}}`] = [];
    all[`http_req_duration{slice:${n}}`] = [];
    all[`answer_errors{slice:${n}}`] = [];
  }
  for (const [tag, values] of Object.entries(shown)) {
    for (const value of values) {
      all[`http_reqs{${tag}:${value}}`] = [];
      all[`http_req_duration{${tag}:${value}}`] = [];
      all[`answer_errors{${tag}:${value}}`] = [];
    }
  }
  for (const kind of ERROR_KINDS) {
    all[`answer_errors{kind:${kind}}`] = [];
  }
  for (const most of TIMES) {
    all[`answers_by_time{most:${most}}`] = [];
  }
  return all;
}

// What every script demands, relative to how the model server is set.
function judged(set, routes) {
  const tokens = { chat: set.tokens, stream: set.tokens, completions: set.tokens, embeddings: 0 };
  const limits = {
    answers_right: [`rate>=${1 - set.failedMax}`, BROKEN],
    http_req_failed: [`rate<=${set.failedMax}`],
    // No answer at all is no success either.
    http_reqs: ["count>0"],
    dropped_iterations: [`count<=${Math.floor(set.droppedMax * set.arrivals)}`],
  };
  for (const route of routes.filter((name) => name in tokens)) {
    limits[`http_req_duration{route:${route}}`] = [`p(99)<${longest(set, tokens[route])}`];
  }
  if (routes.includes("models")) {
    limits["http_req_duration{route:models}"] = [`p(99)<${set.allowedMs}`];
  }
  return limits;
}

function merged(...parts) {
  const all = {};
  for (const [metric, conditions] of parts.flatMap((part) => Object.entries(part))) {
    all[metric] = (all[metric] || []).concat(conditions);
  }
  return all;
}

// Arrivals at a constant rate, whatever the answers take: an open model, in which a slow
// server is not asked less often. Arrivals that find no client free are dropped and counted.
export function constant(set, more = {}) {
  return {
    executor: "constant-arrival-rate",
    ...perSecond(set.rate),
    duration: duration(set.seconds),
    ...clients(set),
    ...more,
  };
}

// Arrivals whose rate goes from stage to stage: pairs of a share of the duration and the
// rate at its end.
export function ramping(set, start, stages, more = {}) {
  return {
    executor: "ramping-arrival-rate",
    startRate: Math.max(1, Math.round(start * 60)),
    timeUnit: "1m",
    stages: stages.map(([share, rate]) => ({
      duration: duration(share * set.seconds),
      target: Math.max(1, Math.round(rate * 60)),
    })),
    ...clients(set),
    ...more,
  };
}

// k6 wants whole numbers: 0.5 a second is 30 a minute.
function perSecond(rate) {
  return Number.isInteger(rate)
    ? { rate, timeUnit: "1s" }
    : { rate: Math.max(1, Math.round(rate * 60)), timeUnit: "1m" };
}

function clients(set) {
  return { preAllocatedVUs: set.vus, maxVUs: set.vus, gracefulStop: "30s" };
}

export function duration(seconds) {
  return `${Math.max(1, Math.round(seconds * 1000))}ms`;
}

function milliseconds(text) {
  return Number(text.replace(/ms$/, ""));
}

// Seconds from the start of the run to the end of a scenario.
function lengthOf(scenario) {
  const parts = scenario.stages ? scenario.stages.map((s) => s.duration) : [scenario.duration];
  const start = scenario.startTime ? milliseconds(scenario.startTime) : 0;
  return parts.reduce((sum, part) => sum + milliseconds(part), start) / 1000;
}

// How many iterations an open model wants to begin; a closed one wants none.
function arrivalsOf(scenario) {
  const unit = scenario.timeUnit === "1m" ? 60 : 1;
  if (scenario.executor === "constant-arrival-rate") {
    return (scenario.rate / unit) * (milliseconds(scenario.duration) / 1000);
  }
  if (scenario.executor !== "ramping-arrival-rate") {
    return 0;
  }
  let rate = scenario.startRate / unit;
  let sum = 0;
  for (const stage of scenario.stages) {
    const next = stage.target / unit;
    sum += ((rate + next) / 2) * (milliseconds(stage.duration) / 1000);
    rate = next;
  }
  return sum;
}
