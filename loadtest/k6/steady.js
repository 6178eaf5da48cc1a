// Does it hold at a given rate? RATE requests per second arrive for DURATION whatever the
// answers take (an open model: a slow proxy is not asked less often), half of them
// streamed. Only failed requests fail the run: how long an answer takes is the model
// server's affair, and the machine's.
//
//   penstock                       # in one terminal: the proxy with its simulator
//   k6 run -e RATE=200 -e DURATION=5m loadtest/k6/steady.js
//
// Environment (-e NAME=value): BASE_URL [http://127.0.0.1:8080], RATE [50],
// DURATION [10s], VUS [200] (requests that may be under way at once; arrivals past it
// are dropped and counted), MODEL [simulator-small].

import http from "k6/http";
import { check } from "k6";
import exec from "k6/execution";

const base = __ENV.BASE_URL || "http://127.0.0.1:8080";
const vus = Number(__ENV.VUS || 200);

export const options = {
  scenarios: {
    steady: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 50),
      timeUnit: "1s",
      duration: __ENV.DURATION || "10s",
      preAllocatedVUs: vus,
      maxVUs: vus,
    },
  },
  thresholds: {
    http_req_failed: ["rate<0.001"],
    checks: ["rate>0.999"],
  },
};

const parameters = { headers: { "content-type": "application/json" } };

export default function () {
  const arrival = exec.scenario.iterationInTest;
  const stream = arrival % 2 === 1;
  const body = JSON.stringify({
    model: __ENV.MODEL || "simulator-small",
    stream,
    messages: [{ role: "user", content: `request ${arrival}` }],
  });
  const answer = http.post(`${base}/v1/chat/completions`, body, parameters);
  check(answer, {
    "it is answered to its end": (a) =>
      a.status === 200 && (!stream || a.body.trimEnd().endsWith("data: [DONE]")),
  });
}
