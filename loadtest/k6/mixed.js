// Does a realistic day pass? The rate follows a day of office hours, DURATION long, with
// RATE at its peaks: night, morning, midday, afternoon, evening. Most requests are streamed
// chats; their prompts are log-normally distributed, half of them under 1.5 KiB, one in a
// hundred over 60 KiB, none over 128 KiB, in several languages and in code. There are whole
// answers, embeddings, lists of models and older completions; clients that make mistakes;
// and clients that leave before their answer is complete.
//
// MODELS names the models with their weights, as in `small=6,large=1`.

import exec from "k6/execution";
import http from "k6/http";
import { Counter } from "k6/metrics";

import { ask, guarded } from "./lib/ask.js";
import { plan, ramping } from "./lib/plan.js";
import { logNormal, pick, random } from "./lib/random.js";
import { report } from "./lib/report.js";
import { KINDS_OF_TEXT, MISTAKES, prompt } from "./lib/requests.js";
import { chat, completion, embeddings, mistake, models } from "./lib/requests.js";
import { settings } from "./lib/settings.js";

const set = settings({ rate: 100, duration: "5m", vus: 500 });
const left = new Counter("clients_that_left");

const PROMPT = { median: 1500, sigma: 1.6, least: 200, most: 128 * 1024 };
// Bytes of a chat request around its prompt.
const AROUND = 260;

// Shares of DURATION and of the peak's rate at their ends.
const DAY = [
  [0.1, 0.1],
  [0.15, 1],
  [0.15, 0.9],
  [0.1, 0.6],
  [0.15, 1],
  [0.1, 0.8],
  [0.15, 0.3],
  [0.1, 0.1],
];

const WANTS = [
  ["stream", 60],
  ["chat", 22],
  ["embeddings", 9],
  ["models", 3],
  ["completions", 2],
  ["mistake", 2],
  ["leave", 2],
];

const stages = DAY.map(([share, height]) => [share, height * set.rate]);

const byModel = weights(__ENV.MODELS || `${set.model}=6,simulator-large=2,gpt-4o-mini=2`);

export const options = plan(set, {
  scenarios: { day: ramping(set, 0.1 * set.rate, stages) },
  routes: ["stream", "chat", "embeddings", "models", "completions", "mistake"],
  values: { model: byModel.map(([model]) => model) },
});

function weights(text) {
  return text.split(",").map((pair) => {
    const [model, weight = "1"] = pair.split("=");
    if (!(Number(weight) > 0)) {
      throw new Error(`MODELS must be names with weights, as in small=6,large=1, not "${text}"`);
    }
    return [model.trim(), Number(weight)];
  });
}

export default guarded(set, () => {
  const arrival = exec.scenario.iterationInTest;
  const draw = random(set.seed, arrival);
  const want = pick(draw, WANTS);
  const model = pick(draw, byModel);
  const first = `mixed, request ${arrival}:`;
  const kind = KINDS_OF_TEXT[Math.floor(draw() * KINDS_OF_TEXT.length)];
  const bytes = logNormal(draw, PROMPT.median, PROMPT.sigma, PROMPT.least, PROMPT.most);
  const text = prompt(Math.max(1, bytes - AROUND), kind);
  // Some want few tokens, most all that they may have.
  const tokens = draw() < 0.2 ? Math.ceil(set.tokens / 4) : set.tokens;
  const inputs = 1 + Math.floor(draw() * 8);
  const short = text.slice(0, 2000);
  const requests = {
    stream: () => chat({ model, first, text, tokens, stream: true }),
    chat: () => chat({ model, first, text, tokens }),
    embeddings: () => embeddings({ model: set.embeddingModel, first, text: short, inputs }),
    models: () => models(),
    completions: () => completion({ model, first, text, tokens }),
    mistake: () => mistake(pick(draw, Object.keys(MISTAKES).map((name) => [name, 1])), model),
  };
  if (want === "leave") {
    leave(chat({ model, first, text, tokens, stream: true }), draw);
  } else {
    ask(set, requests[want]());
  }
});

// Asks, and goes before the answer is complete. No answer is no failure here.
function leave(request, draw) {
  const patience = Math.max(1, draw() * (set.firstTokenMs + (request.tokens / 2) * set.paceMs));
  const answer = http.post(set.target + request.path, request.body, {
    headers: {
      "content-type": "application/json",
      ...(set.apiKey && { authorization: `Bearer ${set.apiKey}` }),
    },
    tags: { route: "leave", name: "leave" },
    timeout: `${Math.ceil(patience)}ms`,
    responseCallback: null,
  });
  left.add(answer.error_code === 1050 ? 1 : 0);
}

export const handleSummary = report(set, "mixed", "Does a realistic day pass?");
