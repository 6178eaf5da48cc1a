// Requests as data: which route they are counted under, what is sent, what must come back.

// Texts as people send them. A prompt is one of them, repeated to its size.
const TEXTS = {
  prose:
    "The penstock carries water under pressure from the reservoir to the turbines, and a gate " +
    "at its head decides how much of it. ",
  code:
    "fn gate(level: u32) -> Result<Flow, Closed> {\n    match level {\n" +
    "        0 => Err(Closed),\n" +
    '        n => Ok(Flow::new(n * 12)), // "metres", not <b>feet</b>\n    }\n}\n',
  table:
    "id;name;flow\n1;north gate;12.5\n2;south gate;0\n" +
    "SELECT name FROM gates WHERE flow > 0;\n",
  german:
    "Die Druckrohrleitung führt Wasser über das Gefälle zu den Turbinen, größer als üblich. ",
  chinese: "压力管道将水库的水引向水轮机，闸门决定流量。",
};

const BYTES = {};
for (const name of Object.keys(TEXTS)) {
  BYTES[name] = encodeURIComponent(TEXTS[name]).replace(/%[0-9A-F]{2}/g, "x").length;
}

export const KINDS_OF_TEXT = Object.keys(TEXTS);

// About `bytes` bytes of text in UTF-8, and never more than one repetition over.
export function prompt(bytes, kind = "prose") {
  return TEXTS[kind].repeat(Math.max(1, Math.round(bytes / BYTES[kind])));
}

// A chat completion; `first` makes it different from every other, so that nothing can be
// answered from memory.
export function chat({ model, first, text = "", tokens, stream = false, fields = {} }) {
  const body = {
    model,
    stream,
    max_tokens: tokens,
    messages: [
      { role: "system", content: "Answer briefly." },
      { role: "user", content: `${first} ${text}` },
    ],
    ...fields,
  };
  if (stream) {
    body.stream_options = { include_usage: true };
  }
  return {
    route: stream ? "stream" : "chat",
    path: "/v1/chat/completions",
    body: JSON.stringify(body),
    model,
    tokens,
    stream,
    expected: [200],
  };
}

// The text endpoint that came before chat, which older clients still use.
export function completion({ model, first, text = "", tokens }) {
  return {
    route: "completions",
    path: "/v1/completions",
    body: JSON.stringify({ model, max_tokens: tokens, prompt: `${first} ${text}` }),
    model,
    tokens,
    expected: [200],
  };
}

export function embeddings({ model, first, text = "", inputs = 1, dimensions = 256 }) {
  const input = [];
  for (let n = 0; n < inputs; n++) {
    input.push(`${first}, part ${n}: ${text}`);
  }
  return {
    route: "embeddings",
    path: "/v1/embeddings",
    body: JSON.stringify({ model, input, dimensions }),
    model,
    inputs,
    expected: [200],
  };
}

export function models() {
  return { route: "models", path: "/v1/models", model: "none", expected: [200] };
}

// Requests that a client got wrong, and what must be said to each.
export const MISTAKES = {
  "no such path": () => ({ path: "/v1/no-such-path", body: "{}", expected: [404] }),
  "broken JSON": () => ({
    path: "/v1/chat/completions",
    body: '{"model": "simulator-small", "messages": [',
    expected: [400],
  }),
  "no messages": (model) => ({
    path: "/v1/chat/completions",
    body: JSON.stringify({ model }),
    expected: [400],
  }),
};

export function mistake(kind, model) {
  return { route: "mistake", model: "none", mistake: kind, ...MISTAKES[kind](model) };
}
