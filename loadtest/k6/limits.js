// Does a limit hold, and does it say so? Twice as many requests arrive as LIMIT allows in
// WINDOW, all with one key. Some must be refused, with 429 and all that a client needs to
// wait for the right time; the others must be answered; and no more may pass than the limit
// allows, streams and whole answers mixed. Against a target without a limit this fails.
//
// LIMIT counts what LIMIT_UNIT names: `requests`, or `tokens` (all those in `usage`).

import exec from "k6/execution";
import { sleep } from "k6";
import { Counter } from "k6/metrics";

import { ask, guarded, wrong } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat } from "./lib/requests.js";
import { number, seconds, settings } from "./lib/settings.js";

const unit = __ENV.LIMIT_UNIT || "requests";
if (!["requests", "tokens"].includes(unit)) {
  throw new Error(`LIMIT_UNIT must be requests or tokens, not "${unit}"`);
}
const limit = number("LIMIT", 100, 1);
const window = seconds("WINDOW", "10s");
// A request with its answer has about 8 tokens beside those that it asks for.
const cost = (tokens) => (unit === "requests" ? 1 : tokens + 8);
const twice = (tokens) => Math.max(1, Math.round((2 * limit) / window / cost(tokens)));
const set = settings({ rate: twice(16), duration: `${2 * window}s` });

// A window that slides, and a bucket that fills again, both let this much pass and no more.
const most = limit * (set.seconds / window + 1) + cost(set.tokens);
// A limit that lets far less pass than it says is no better.
const least = 0.7 * limit * Math.max(1, Math.floor(set.seconds / window));

const passed = new Counter("limit_passed");
const refused = new Counter("limit_refused");

export const options = plan(set, {
  scenarios: { limits: constant(set) },
  routes: ["chat", "stream"],
  thresholds: {
    limit_refused: ["count>0"],
    limit_passed: [`count<=${Math.floor(most)}`, `count>=${Math.floor(least)}`],
  },
});

function request(arrival) {
  const stream = arrival % 2 === 1;
  return { ...chat({ ...set, first: `limits, request ${arrival}`, stream }), expected: [200, 429] };
}

export default guarded(set, () => {
  const answer = ask(set, request(exec.scenario.iterationInTest), { also });
  if (answer.status === 429) {
    refused.add(1);
  } else if (answer.status === 200) {
    passed.add(unit === "requests" ? 1 : answer.usage?.total_tokens || 0);
  }
});

let isTold = false;

function also(answer) {
  const missing = headersMissing(answer);
  if (missing.length === 0) {
    return null;
  }
  if (!isTold) {
    console.error(`status ${answer.status} without ${missing.join(", ")}`);
  }
  isTold = true;
  return "limit";
}

// What OpenAI's clients read: https://platform.openai.com/docs/guides/rate-limits
function headersMissing({ status, headers }) {
  const found = (name) => headers[name] || "";
  const named = unit === "requests" ? "Requests" : "Tokens";
  const wanted = [
    [`X-Ratelimit-Limit-${named}`, (value) => Number(value) === limit],
    [`X-Ratelimit-Remaining-${named}`, (value) => isCount(value, limit)],
    [`X-Ratelimit-Reset-${named}`, (value) => /^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)],
  ];
  if (status === 429) {
    wanted.push(["Retry-After", (value) => isCount(value, Math.ceil(window))]);
  }
  return wanted
    .filter(([name, isRight]) => !isRight(found(name)))
    .map(([name]) => `${name} ("${found(name)}")`);
}

const isCount = (value, most) => /^\d+$/.test(value) && Number(value) <= most;

// Who waits as long as was said must be let in. Nobody else asks any more by now.
export function teardown() {
  for (let n = 0; n < 1000; n++) {
    const answer = ask(set, request(1_000_000 + n), { also });
    if (answer.problem !== null) {
      return;
    }
    if (answer.status === 429) {
      sleep(Number(answer.headers["Retry-After"]) + 0.1);
      ask(set, request(2_000_000), { also: ({ status }) => (status === 200 ? null : "status 429") });
      return;
    }
  }
}

export const handleSummary = report(set, "limits", "Does a limit hold, and does it say so?");
