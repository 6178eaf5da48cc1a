// What k6 counted, as the two reports need it.

import { ERROR_KINDS, SLICES, TIMES } from "./plan.js";

export function digest(set, data) {
  const metrics = data.metrics;
  const values = (name) => metrics[name]?.values;
  const count = (name) => values(name)?.count || 0;
  const ran = data.state.testRunDurationMs / 1000;
  return {
    ran,
    requests: count("http_reqs"),
    right: values("answers_right")?.rate ?? 0,
    dropped: count("dropped_iterations"),
    tokens: count("tokens_received"),
    connections: values("http_req_connecting"),
    sizes: values("request_bytes"),
    thresholds: thresholds(metrics),
    errors: ERROR_KINDS.map((kind) => [kind, count(`answer_errors{kind:${kind}}`)])
      .filter(([, wrong]) => wrong > 0)
      .sort(([, a], [, b]) => b - a),
    histogram: histogram(count),
    slices: slices(set, ran, values, count),
    rows: rows(set, metrics, values, count),
    trends: trends(metrics),
    rates: others(metrics, "rate"),
    counters: others(metrics, "counter"),
  };
}

function thresholds(metrics) {
  return Object.keys(metrics)
    .sort()
    .flatMap((metric) =>
      Object.entries(metrics[metric].thresholds || {}).map(([condition, { ok }]) => ({
        metric,
        condition,
        ok,
        seen: seen(metrics[metric].values, condition),
        contains: metrics[metric].contains,
      })),
    )
    // The abort on a plainly broken target is a part of the one beside it.
    .filter(({ metric, condition }) => metric !== "answers_right" || condition !== "rate>0.5");
}

// The value that a condition is about.
function seen(values, condition) {
  return values[condition.split(/[<>=!]/)[0].trim()];
}

// Pairs of an upper bound in milliseconds and a count, without the empty ends.
function histogram(count) {
  const all = TIMES.map((most) => [most, count(`answers_by_time{most:${most}}`)]);
  const first = all.findIndex(([, answers]) => answers > 0);
  return first < 0 ? [] : all.slice(Math.max(0, first - 1), findLast(all) + 2);
}

function findLast(all) {
  return all.reduce((last, [, answers], n) => (answers > 0 ? n : last), 0);
}

// Slices that the run reached: an aborted run ends early.
function slices(set, ran, values, count) {
  const length = set.total / SLICES;
  const all = [];
  for (let n = 0; n < SLICES && n * length < ran; n++) {
    const left = ran - n * length;
    const spent = n === SLICES - 1 ? left : Math.min(length, left);
    const times = values(`http_req_duration{slice:${n}}`);
    all.push({
      rate: count(`http_reqs{slice:${n}}`) / spent,
      wrong: count(`answer_errors{slice:${n}}`) / spent,
      times: times?.count > 0 ? times : null,
    });
  }
  return { length, total: length * all.length, all };
}

// Requests by each tag that was asked for, in the order asked: { route: [...], phase: [...] }.
function rows(set, metrics, values, count) {
  const found = {};
  for (const [tag, all] of Object.entries(set.shown)) {
    found[tag] = all
      .filter((value) => count(`http_req_duration{${tag}:${value}}`) > 0)
      .map((value) => ({
        name: value,
        times: values(`http_req_duration{${tag}:${value}}`),
        wrong: count(`answer_errors{${tag}:${value}}`),
      }));
  }
  return found;
}

const KNOWN = new Set([
  "answers_right",
  "answer_errors",
  "answers_by_time",
  "request_bytes",
  "tokens_received",
  "checks",
  "iterations",
  "iteration_duration",
  "dropped_iterations",
  "group_duration",
  "data_received",
  "data_sent",
  "vus",
  "vus_max",
]);

function isOwn(name) {
  return !KNOWN.has(name) && !name.startsWith("http_req") && !name.includes("{");
}

// Measures that a script added of its own.
function trends(metrics) {
  return Object.entries(metrics)
    .filter(([name, { type, values }]) => type === "trend" && isOwn(name) && values.count > 0)
    .map(([name, { values, contains }]) => ({ name, times: values, contains }));
}

function others(metrics, type) {
  return Object.entries(metrics)
    .filter(([name, metric]) => metric.type === type && isOwn(name))
    .map(([name, { values }]) => [name, values]);
}
