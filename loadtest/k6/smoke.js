// Does it work at all? A few requests of every kind, and of every mistake that a client
// makes: all must be answered as they must be, and none may be dropped.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { constant, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { MISTAKES, chat, completion, embeddings, mistake, models } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

const set = settings({ rate: 10, duration: "10s", vus: 20, failedMax: 0, droppedMax: 0 });
const routes = ["chat", "stream", "completions", "embeddings", "models", "mistake"];
const { model, embeddingModel, tokens } = set;

const kinds = [
  (first) => chat({ model, first, tokens }),
  (first) => chat({ model, first, tokens, stream: true }),
  (first) => completion({ model, first, tokens }),
  (first) => embeddings({ model: embeddingModel, first, inputs: 2 }),
  () => models(),
  ...Object.keys(MISTAKES).map((kind) => () => mistake(kind, model)),
];

export const options = plan(set, { scenarios: { smoke: constant(set) }, routes });

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  ask(set, kinds[arrival % kinds.length](`smoke, request ${arrival}`));
});

export const handleSummary = report(set, "smoke", "Does it work at all?");
