// Do clients feel what becomes of one of several servers? RATE requests a second arrive, half
// of them streamed, and every answer is told as it was: when it ended, how long it took, who
// gave it, under which identifier, and what was wrong with it. loadtest/fleet.py starts and ends
// this script, kills, stalls and slows a server meanwhile, and judges: alone this script
// only shows.

import exec from "k6/execution";
import { Trend } from "k6/metrics";

import { ask, guarded } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

// What is an error here depends on what was done to whom, and when.
const set = settings({ rate: 100, duration: "40s", vus: 500, failedMax: 1, droppedMax: 0 });
const text = prompt(1024);
// Milliseconds that an answer took.
const told = new Trend("fleet_answer", true);

export const options = plan(set, {
  scenarios: { fleet: constant(set) },
  routes: ["chat", "stream"],
});

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const stream = arrival % 2 === 1;
  const request = chat({ ...set, first: `fleet, request ${arrival}:`, text, stream });
  const id = `fleet-${arrival}`;
  const answer = ask(set, request, { headers: { "x-request-id": id } });
  const { problem, headers, timings } = answer;
  told.add(timings.duration, {
    id,
    form: stream ? "stream" : "whole",
    upstream: headers["X-Upstream-Name"] || "nobody",
    // A stream that broke off and says so.
    problem: problem === "cut" && endsWithError(answer) ? "broken" : problem || "none",
  });
});

function endsWithError({ body }) {
  const last = typeof body === "string" ? body.trimEnd().split("\n\n").pop() : "";
  return last.startsWith('data: {"error":');
}

export const handleSummary = report(
  set,
  "fleet",
  "Do clients feel what becomes of one of several servers?",
);
