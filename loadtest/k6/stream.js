// When does the first token come, and how evenly do the others follow?
//
// k6 hands over an answer when it is complete, and the head of a stream says nothing of its
// first token: servers send it at once. So each arrival asks twice: for a stream of one
// token, which ends when its first token is there, and for one of TOKENS tokens. The second
// takes longer than the first by TOKENS - 1 times the pace. Gaps between two tokens in the
// middle of a stream cannot be seen this way, only their mean; `cargo run --release
// -p penstock-simulator --example streams` reads token by token.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

const set = settings({ rate: 20, duration: "30s", tokens: 32 });
const text = prompt(1024);
const paceMax = set.paceMs + set.allowedMs / Math.max(1, set.tokens - 1);

export const options = plan(set, {
  scenarios: { stream: constant(set) },
  routes: ["stream", "first token"],
  thresholds: {
    first_token: [`p(99)<${set.firstTokenMs + set.allowedMs}`],
    token_pace: [`p(99)<${paceMax.toFixed(1)}`],
    stream_head: [],
  },
});

export default guarded(set, () => {
  const first = `stream, request ${exec.scenario.iterationInTest}:`;
  const one = chat({ ...set, first, text, stream: true, tokens: 1 });
  const probe = ask(set, { ...one, route: "first token" });
  if (probe.problem === null) {
    const request = chat({ ...set, first, text, stream: true });
    ask(set, { ...request, firstTokenMs: probe.timings.duration });
  }
});

export const handleSummary = report(
  set,
  "stream",
  "When does the first token come, and how evenly do the others follow?",
);
