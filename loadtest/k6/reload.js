// Does a change of the configuration harm anybody? Clients ask as fast as they are answered,
// some over connections that they keep, some over a new one for each request, while STREAMS
// clients read streams without a pause. loadtest/reload.py changes the proxy's configuration
// meanwhile, replaces its binary, and starts and ends this script.
//
// Each generation that reload.py writes tells its number in every part that a request goes
// through: the global chain and the route's chain set a header that is named after it, the
// route renames the model after it, and even and odd ones have upstreams of their own. All
// must agree in every answer. With GENERATIONS=off answers are judged as usual, and the
// script can run alone against any target.
//
// This is a closed model on purpose: what is asked is whether something breaks at full
// speed, not how long it takes.

import exec from "k6/execution";

import { ask, guarded } from "./lib/ask.js";
import { duration, plan } from "./lib/plan.js";
import { report } from "./lib/report.js";
import { chat, embeddings, prompt } from "./lib/requests.js";
import { number, settings } from "./lib/settings.js";

const set = settings({ duration: "30s", failedMax: 0, droppedMax: 0 });
const clients = {
  kept: number("KEPT", 16),
  fresh: number("FRESH", 8),
  tls: __ENV.TLS_TARGET ? number("TLS", 4) : 0,
  streams: number("STREAMS", 200),
};
const streamTokens = number("STREAM_TOKENS", 100, 1);
const keys = (__ENV.API_KEYS || set.apiKey).split(",");
const tells = __ENV.GENERATIONS !== "off";
const text = prompt(1024);

const scenarios = {};
for (const [name, vus] of Object.entries(clients).filter(([, count]) => count > 0)) {
  scenarios[name] = {
    executor: "constant-vus",
    exec: name,
    vus,
    duration: duration(set.seconds),
    gracefulStop: "60s",
  };
}

const all = plan(set, {
  scenarios,
  routes: ["chat", "stream", "embeddings"],
  values: { client: Object.keys(scenarios) },
});
// The run ends before DURATION: reload.py says how long it may take as a rule.
set.total = number("EXPECTED_SECONDS", set.seconds, 1);
// How long an answer takes at full speed says how fast the machine is, not whether a change
// did harm.
for (const metric of Object.keys(all.thresholds)) {
  if (metric.startsWith("http_req_duration")) {
    all.thresholds[metric] = [];
  }
}
export const options = { ...all, insecureSkipTLSVerify: true };

export const kept = guarded(set, () => send(set));

export const fresh = guarded(set, () => send(set, { connection: "close" }));

export const tls = guarded(set, () => {
  const closes = exec.vu.iterationInScenario % 4 === 3;
  send({ ...set, target: __ENV.TLS_TARGET }, closes ? { connection: "close" } : {});
});

export const streams = guarded(set, () => {
  const request = chat({ ...set, first: name(), text, tokens: streamTokens, stream: true });
  ask(keyed(set), request, { also: agreed, tags: { client: "streams" } });
});

export default kept;

function name() {
  const { idInTest, iterationInScenario } = exec.vu;
  return `${exec.scenario.name}, client ${idInTest}, request ${iterationInScenario}:`;
}

// Every client has a key of its own, as far as there are keys.
function keyed(settings) {
  return { ...settings, apiKey: keys[exec.vu.idInTest % keys.length] };
}

function send(settings, headers = {}) {
  const request =
    exec.vu.iterationInScenario % 5 === 4
      ? embeddings({ model: set.embeddingModel, first: name(), dimensions: 16 })
      : chat({ ...set, first: name(), text, tokens: 1 });
  const tags = { client: exec.scenario.name };
  ask(keyed(settings), request, { also: agreed, headers, tags });
}

// Whether all that tells of a generation tells of the same one.
function agreed({ headers, model }) {
  if (!tells) {
    return null;
  }
  const told = Object.keys(headers)
    .map((header) => /^X-(Chain|Route)-G(\d+)$/.exec(header))
    .filter((found) => found !== null);
  const fromModel = /^g(\d+)$/.exec(model || "");
  const parts = told.map(([, part]) => part).sort().join();
  const numbers = new Set([...told.map(([, , number]) => number), fromModel?.[1]]);
  const [number] = numbers;
  const upstream = Number(number) % 2 === 0 ? "even" : "odd";
  const isWhole = parts === "Chain,Route" && numbers.size === 1;
  return isWhole && headers["X-Upstream-Name"] === upstream ? null : "mixed generations";
}

export const handleSummary = report(
  set,
  "reload",
  "Does a change of the configuration harm anybody?",
);
