// Does it hold at a given rate? RATE requests a second arrive for DURATION, half of them
// streamed.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

const set = settings({ rate: 50, duration: "30s" });
const text = prompt(1024);

export const options = plan(set, {
  scenarios: { steady: constant(set) },
  routes: ["chat", "stream"],
});

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const stream = arrival % 2 === 1;
  ask(set, chat({ ...set, first: `steady, request ${arrival}:`, text, stream }));
});

export const handleSummary = report(set, "steady", "Does it hold at a given rate?");
