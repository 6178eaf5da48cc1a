// Are repeated questions answered from memory, and only those? PROMPTS questions are asked
// again and again, some far more often than others (Zipf's law), streamed and not. Every
// answer must say what the cache did (`x-cache`), those from memory how old they are
// (`age`), and HIT_MIN of them must come from memory, within ALLOWED_MS. Before that, single
// requests show what a cache may not do: mix up meanings, models (MODEL and MODEL_OTHER),
// streams with whole answers, or, where API_KEY_OTHER is given, tenants. Against a target
// without a cache this fails.

import exec from "k6/execution";
import { Rate, Trend } from "k6/metrics";

import { ask, guarded, wrong } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { random, zipf } from "./lib/random.js";
import { report } from "./lib/report.js";
import { chat } from "./lib/requests.js";
import { number, settings } from "./lib/settings.js";

const set = settings({ rate: 50, duration: "30s" });
const prompts = Math.ceil(number("PROMPTS", 20, 1));
const hitMin = number("HIT_MIN", 0.5);
const other = __ENV.MODEL_OTHER || "simulator-large";
const bypasses = 0.05;
const hits = new Rate("cache_hits");
const hitDuration = new Trend("hit_duration", true);
const missDuration = new Trend("miss_duration", true);

export const options = plan(set, {
  scenarios: { cache: constant(set) },
  routes: ["chat", "stream"],
  thresholds: {
    cache_hits: [`rate>=${hitMin}`],
    hit_duration: [`p(99)<${set.allowedMs}`],
  },
});

// The run's own name in every prompt: what an earlier run left in the cache is of no use.
export function setup() {
  const run = `cache, run ${Date.now()}`;
  guarded(set, () => shows(run))();
  return { run };
}

// One after the other, in a fixed order.
function shows(run) {
  const first = `${run}, shown`;
  const whole = chat({ ...set, first });
  const original = expect("miss", whole, "the first of its kind");
  const again = expect("hit", whole, "the same request");
  const reordered = { ...whole, body: JSON.stringify(reversed(JSON.parse(whole.body)), null, 2) };
  const alike = expect("hit", reordered, "the same with other order and spacing");
  if (again.body !== original.body || alike.body !== original.body) {
    console.error("an answer from memory differs from the original");
    wrong(set, "cache");
  }
  expect("miss", chat({ ...set, first: `${first} ` }), "one more space in the prompt");
  expect("miss", chat({ ...set, first, fields: { temperature: 0.3 } }), "another temperature");
  expect("miss", chat({ ...set, first, model: other }), "another model");
  const stream = chat({ ...set, first, stream: true });
  const live = ask(set, stream);
  if (expect("hit", stream, "the same stream").body !== live.body) {
    console.error("a stream from memory differs from the original");
    wrong(set, "cache");
  }
  expect("bypass", whole, "a client that wants no cache", { "cache-control": "no-store" });
  if (__ENV.API_KEY_OTHER) {
    const headers = { authorization: `Bearer ${__ENV.API_KEY_OTHER}` };
    expect("miss", whole, "another tenant", headers);
  }
}

function expect(verdict, request, what, headers = {}) {
  const also = (answer) => {
    const said = answer.headers["X-Cache"];
    if (said === verdict) {
      return null;
    }
    console.error(`${what}: x-cache is ${said}, not ${verdict}`);
    return "cache";
  };
  return ask(set, request, { headers, also });
}

function reversed(object) {
  return Object.fromEntries(Object.entries(object).reverse());
}

export default guarded(set, ({ run }) => {
  const arrival = exec.scenario.iterationInTest;
  const draw = random(set.seed, arrival);
  const first = `${run}, prompt ${zipf(draw, prompts)}`;
  const request = chat({ ...set, first, stream: draw() < 0.5 });
  const isBypass = draw() < bypasses;
  const headers = isBypass ? { "cache-control": "no-store" } : {};
  const also = (answer) => (isExpected(answer.headers, isBypass) ? null : "cache");
  const answer = ask(set, request, { headers, also });
  if (answer.status === 200 && !isBypass) {
    const isHit = answer.headers["X-Cache"] === "hit";
    hits.add(isHit);
    (isHit ? hitDuration : missDuration).add(answer.timings.duration);
  }
});

function isExpected(headers, isBypass) {
  const said = headers["X-Cache"];
  if (isBypass) {
    return said === "bypass";
  }
  return said === "miss" || (said === "hit" && /^\d+$/.test(headers.Age || ""));
}

export const handleSummary = report(
  set,
  "cache",
  "Are repeated questions answered from memory, and only those?",
);
