// Where does it bend? The rate of requests grows from a tenth of RATE to RATE in four
// fifths of DURATION, then stays there. The charts over time show at which rate answers
// begin to take longer, to fail, or to find no client free.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { plan, ramping } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, prompt } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

const set = settings({ rate: 200, duration: "1m", vus: 500 });
const text = prompt(1024);
const stages = [
  [0.8, set.rate],
  [0.2, set.rate],
];

export const options = plan(set, {
  scenarios: { ramp: ramping(set, set.rate / 10, stages) },
  routes: ["chat", "stream"],
});

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const stream = arrival % 2 === 1;
  ask(set, chat({ ...set, first: `ramp, request ${arrival}:`, text, stream }));
});

export const handleSummary = report(set, "ramp", "Where does it bend?");
