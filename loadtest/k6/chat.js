// Are whole answers right under load? VUS clients ask for chat completions, one after
// the other, for DURATION; status, shape and usage of every answer are checked.
//
//   penstock                      # in one terminal: the proxy with its simulator
//   k6 run loadtest/k6/chat.js    # in another
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

export default function () {
  const body = JSON.stringify({
    model: __ENV.MODEL || "simulator-small",
    // Different for each request, so that nothing can be answered from memory.
    messages: [{ role: "user", content: `client ${__VU}, request ${__ITER}` }],
  });
  const answer = http.post(`${base}/v1/chat/completions`, body, parameters);
  const isOk = check(answer, { "status is 200": (a) => a.status === 200 });
  if (!isOk) {
    return;
  }
  const { choices, usage } = answer.json();
  check(answer, {
    "there is a message": () => choices[0].message.content.length > 0,
    "usage counts prompt and completion": () =>
      usage.prompt_tokens > 0 &&
      usage.total_tokens === usage.prompt_tokens + usage.completion_tokens,
  });
}
