// Do streams arrive whole under load? VUS clients stream chat completions for DURATION.
// Every event must be JSON, the last one `[DONE]`, and one of them must say why the
// answer ended.
//
//   penstock                       # in one terminal: the proxy with its simulator
//   k6 run loadtest/k6/stream.js   # in another
//
// k6 hands over an answer when it is complete, so `http_req_waiting` is the time to the
// first byte of the stream, and `http_req_receiving` the time from there to its end.
//
// Environment (-e NAME=value): BASE_URL [http://127.0.0.1:8080], VUS [10],
// DURATION [10s], MODEL [simulator-small].

import http from "k6/http";
import { check } from "k6";

const base = __ENV.BASE_URL || "http://127.0.0.1:8080";

export const options = {
  vus: Number(__ENV.VUS || 10),
  duration: __ENV.DURATION || "10s",
  thresholds: { checks: ["rate==1"], http_req_failed: ["rate==0"] },
};

const parameters = { headers: { "content-type": "application/json" } };

// The payloads of a stream of server-sent events.
function events(body) {
  return body
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
}

function parses(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export default function () {
  const body = JSON.stringify({
    model: __ENV.MODEL || "simulator-small",
    stream: true,
    messages: [{ role: "user", content: `client ${__VU}, request ${__ITER}` }],
  });
  const answer = http.post(`${base}/v1/chat/completions`, body, parameters);
  const isOk = check(answer, {
    "status is 200": (a) => a.status === 200,
    "it is an event stream": (a) =>
      (a.headers["Content-Type"] || "").startsWith("text/event-stream"),
  });
  if (!isOk) {
    return;
  }
  const received = events(answer.body);
  const chunks = received.slice(0, -1);
  check(received, {
    "the last event is [DONE]": (all) => all[all.length - 1] === "[DONE]",
    "every other event is JSON": () => chunks.length > 1 && chunks.every(parses),
    "an event says why it ended": () =>
      chunks.some((chunk) => parses(chunk) && JSON.parse(chunk).choices[0]?.finish_reason),
  });
}
