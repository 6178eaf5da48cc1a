// Sends a request, judges the answer, and counts both.
//
// k6 hands over an answer when it is complete (it has no client for server-sent events), so
// the arrival of a single token cannot be seen. What can be measured without bending the
// truth is said at each metric below.

import http from "k6/http";
import exec from "k6/execution";
import { Counter, Rate, Trend } from "k6/metrics";

import { SLICES, TIMES } from "./plan.js";

// Whether answers were what they must be: status, shape, end.
export const right = new Rate("answers_right");
// What was wrong with those that were not, by `kind`.
export const errors = new Counter("answer_errors");
// Answers, right or wrong, by the time that they took: a histogram.
const byTime = new Counter("answers_by_time");
// Milliseconds to the end of streams of one token: the time to the first token, and the end
// of the stream, which follows at once.
export const firstToken = new Trend("first_token", true);
// Milliseconds from one token to the next, on average over a stream.
export const pace = new Trend("token_pace", true);
// Milliseconds from the request to the head of a stream. Servers send it at once or with the
// first token; so it is no measure of the first token.
export const head = new Trend("stream_head", true);
// Completion tokens that arrived, by `usage`.
export const tokens = new Counter("tokens_received");
const bodyBytes = new Trend("request_bytes");

const ANSWER_TIMEOUT = "120s";

// The part of the run that this moment belongs to. k6 tells no time in `teardown`, which
// belongs to the end.
function slice(set) {
  try {
    const share = exec.instance.currentTestRunDuration / 1000 / set.total;
    return String(Math.min(SLICES - 1, Math.floor(share * SLICES)));
  } catch {
    return String(SLICES - 1);
  }
}

// Returns what matters of the answer: `problem` is the kind of what is wrong with it, or
// null; `usage` and `model` are what it says of itself. `also` judges an answer that has no
// problem otherwise, and returns the kind of one or null.
export function ask(set, request, { tags = {}, headers = {}, also = () => null } = {}) {
  const all = { route: request.route, model: request.model, slice: slice(set), ...tags };
  const method = request.body ? "POST" : "GET";
  const received = http.request(method, set.target + request.path, request.body, {
    headers: {
      ...(request.body && { "content-type": "application/json" }),
      ...(set.apiKey && { authorization: `Bearer ${set.apiKey}` }),
      ...headers,
    },
    // One name for all addresses of a route keeps the number of series bounded.
    tags: { ...all, name: request.route },
    timeout: ANSWER_TIMEOUT,
    responseCallback: http.expectedStatuses(...request.expected),
  });
  if (request.body) {
    bodyBytes.add(inUtf8(request.body), all);
  }
  const { status, timings, body, error_code: code } = received;
  const answer = { status, headers: received.headers, timings, body, code };
  answer.problem = problem(request, answer) ?? also(answer);
  count(request, answer, all);
  return answer;
}

// The length of a text in UTF-8. Its characters are all in the basic plane.
function inUtf8(text) {
  if (!/[^\x00-\x7f]/.test(text)) {
    return text.length;
  }
  let bytes = 0;
  for (let n = 0; n < text.length; n++) {
    const code = text.charCodeAt(n);
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
  }
  return bytes;
}

// For what a script finds wrong beyond single answers.
export function wrong(set, kind, tags = {}) {
  const all = { slice: slice(set), ...tags };
  right.add(false, all);
  errors.add(1, { ...all, kind });
}

// Runs an iteration such that a mistake in the script fails the run, which k6 alone would
// only log, and again for each iteration.
export function guarded(set, iteration) {
  let isTold = false;
  return (data) => {
    try {
      iteration(data);
    } catch (mistake) {
      if (!isTold) {
        console.error(mistake.stack || mistake);
      }
      isTold = true;
      wrong(set, "script");
    }
  };
}

function count(request, answer, tags) {
  const most = TIMES.find((bound) => answer.timings.duration <= bound);
  byTime.add(1, { most: String(most) });
  right.add(answer.problem === null, tags);
  if (answer.problem !== null) {
    errors.add(1, { ...tags, kind: answer.problem });
    return;
  }
  if (request.stream) {
    head.add(answer.timings.waiting, tags);
  }
  const usage = answer.usage;
  if (!usage || !(usage.completion_tokens > 0)) {
    return;
  }
  tokens.add(usage.completion_tokens, tags);
  if (request.stream && usage.completion_tokens === 1) {
    firstToken.add(answer.timings.duration, tags);
  } else if (request.stream && request.firstTokenMs !== undefined) {
    const rest = answer.timings.duration - request.firstTokenMs;
    pace.add(Math.max(0, rest / (usage.completion_tokens - 1)), tags);
  }
}

// The kind of what is wrong with an answer, one of ERROR_KINDS, or null.
function problem(request, answer) {
  const kind = transportProblem(answer);
  if (kind !== null) {
    return kind;
  }
  if (!request.expected.includes(answer.status)) {
    return answer.status === 429 ? "status 429" : `status ${Math.floor(answer.status / 100)}xx`;
  }
  if (answer.status >= 400) {
    return isError(answer) ? null : "malformed";
  }
  if (request.stream) {
    return streamProblem(request, answer);
  }
  return wholeProblem(request, answer);
}

// k6's codes: https://grafana.com/docs/k6/latest/javascript-api/error-codes/. A connection
// that ends within a body is 1000 or 1220, with the bytes that came until then.
function transportProblem({ code, body }) {
  if (!code || (code >= 1400 && code < 1600)) {
    return null;
  }
  if (code === 1050) {
    return "timeout";
  }
  if (body?.length > 0) {
    return "cut";
  }
  return code === 1000 || code === 1220 || code >= 1600 ? "connection lost" : "no connection";
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// An error as OpenAI's clients read it.
function isError(answer) {
  const body = parsed(answer.body);
  return typeof body?.error?.message === "string" && body.error.message.length > 0;
}

function wholeProblem(request, answer) {
  const body = parsed(answer.body);
  if (body === undefined) {
    return "malformed";
  }
  answer.usage = body.usage;
  answer.model = body.model;
  const shape = SHAPES[request.route];
  return shape === undefined || shape(body, request) ? null : "wrong answer";
}

const SHAPES = {
  chat: (body) => body.choices?.[0]?.message?.content?.length > 0 && addsUp(body.usage),
  completions: (body) => body.choices?.[0]?.text?.length > 0 && addsUp(body.usage),
  embeddings: (body, request) =>
    body.data?.length === request.inputs && body.data[0].embedding.length > 0,
  models: (body) => body.data?.length > 0,
};

function addsUp(usage) {
  return (
    usage?.prompt_tokens > 0 &&
    usage.total_tokens === usage.prompt_tokens + usage.completion_tokens
  );
}

// Every event must be JSON, one must say why the answer ended, and the last one is [DONE].
function streamProblem(request, answer) {
  const type = answer.headers["Content-Type"] || "";
  if (!type.startsWith("text/event-stream") || typeof answer.body !== "string") {
    return "wrong answer";
  }
  const events = answer.body.split("\n\n").filter((event) => event.startsWith("data: "));
  if (events.pop() !== "data: [DONE]") {
    return "cut";
  }
  const chunks = events.map((event) => parsed(event.slice("data: ".length)));
  if (chunks.includes(undefined)) {
    return "malformed";
  }
  const models = new Set(chunks.map((chunk) => chunk.model));
  answer.model = chunks[0]?.model;
  answer.usage = chunks.map((chunk) => chunk.usage).find((usage) => usage);
  const isEnded = chunks.some((chunk) => chunk.choices?.[0]?.finish_reason);
  return isEnded && models.size === 1 ? null : "wrong answer";
}
