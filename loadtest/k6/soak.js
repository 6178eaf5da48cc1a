// Does anything wear out? A modest RATE for a long DURATION. The percentiles are judged for
// each quarter of the run alone, so that a slow decay cannot hide in the average. Where
// ADMIN_URL is given, the proxy must hold no request body any more at the end, and only one
// generation of its configuration.

import http from "k6/http";
import exec from "k6/execution";
import { sleep } from "k6";

import { ask, guarded, wrong } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { random } from "./lib/random.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { longest, settings } from "./lib/settings.js";

const set = settings({ rate: 20, duration: "1h" });
const quarters = ["first", "second", "third", "last"];
const most = longest(set, set.tokens);

export const options = plan(set, {
  scenarios: { soak: constant(set) },
  routes: ["chat", "stream"],
  values: { quarter: quarters },
  thresholds: Object.fromEntries(
    quarters.map((quarter) => [`http_req_duration{quarter:${quarter}}`, [`p(99)<${most}`]]),
  ),
});

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const draw = random(set.seed, arrival);
  const part = Math.floor((4 * exec.instance.currentTestRunDuration) / 1000 / set.seconds);
  const text = prompt(256 + draw() * 8192);
  const request = chat({ ...set, first: `soak, request ${arrival}:`, text, stream: draw() < 0.5 });
  ask(set, request, { tags: { quarter: quarters[Math.min(3, part)] } });
});

// Gauges that must be back at their least when nothing is under way any more.
const IDLE = { penstock_request_bodies_kept_bytes: 0, penstock_generations_alive: 1 };
const SETTLE_SECONDS = 5;

export function teardown() {
  if (set.admin === "") {
    return;
  }
  let left = leftovers();
  for (let n = 0; left.length > 0 && n < SETTLE_SECONDS; n++) {
    sleep(1);
    left = leftovers();
  }
  for (const what of left) {
    console.error(`at the end: ${what}`);
    wrong(set, "wrong answer");
  }
}

function leftovers() {
  const answer = http.get(`${set.admin}/metrics`, { tags: { name: "metrics" } });
  if (answer.status !== 200) {
    return [`the metrics cannot be read: status ${answer.status}`];
  }
  return Object.entries(IDLE)
    .map(([name, least]) => [name, least, gauge(answer.body, name)])
    .filter(([, least, value]) => value !== least)
    .map(([name, least, value]) => `${name} is ${value}, not ${least}`);
}

function gauge(text, name) {
  const found = new RegExp(`^${name} (\\S+)$`, "m").exec(text);
  return found === null ? undefined : Number(found[1]);
}

export const handleSummary = report(set, "soak", "Does anything wear out?");
