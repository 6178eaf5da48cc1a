// What does a rush do, and what stays of it? RATE requests a second, then within a moment
// SPIKE times as many for a fifth of DURATION, then RATE again. While the rush lasts,
// answers may take up to SPIKE_ALLOWED_MS longer; before and afterwards they may not, and
// none may fail at any time.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { plan, ramping } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { longest, number, settings } from "./lib/settings.js";

const set = settings({ rate: 20, duration: "1m", vus: 500 });
const text = prompt(1024);
const times = number("SPIKE", 10, 1);
const usual = longest(set, set.tokens);
// The routes' own bounds are for the whole run, the rush included.
set.allowedMs += number("SPIKE_ALLOWED_MS", 1000);

// Shares of DURATION. What began in the rush is counted with it, also when it ends later.
const RUSH = [0.3, 0.5];
const SETTLED = 0.6;

const stages = [
  [RUSH[0], set.rate],
  [0.01, times * set.rate],
  [RUSH[1] - RUSH[0] - 0.02, times * set.rate],
  [0.01, set.rate],
  [1 - RUSH[1], set.rate],
];

export const options = plan(set, {
  scenarios: { spike: ramping(set, set.rate, stages) },
  routes: ["chat", "stream"],
  values: { phase: ["before", "rush", "settling", "after"] },
  thresholds: {
    "http_req_duration{phase:before}": [`p(99)<${usual}`],
    "http_req_duration{phase:after}": [`p(99)<${usual}`],
  },
});

function phase() {
  const share = exec.instance.currentTestRunDuration / 1000 / set.seconds;
  if (share < RUSH[0]) {
    return "before";
  }
  if (share < RUSH[1]) {
    return "rush";
  }
  return share < SETTLED ? "settling" : "after";
}

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const stream = arrival % 2 === 1;
  const request = chat({ ...set, first: `spike, request ${arrival}:`, text, stream });
  ask(set, request, { tags: { phase: phase() } });
});

export const handleSummary = report(set, "spike", "What does a rush do, and what stays of it?");
