// The page: everything in one file, nothing fetched, no script.

import { barsOverTime, escaped, histogram, linesOverTime, percentiles, ranking } from "./charts.js";
import { bytes, ms, rate, share, whole } from "./figures.js";
import { PERCENTILES } from "./plan.js";
import { saw, verdict } from "./text.js";

const STYLE = `
:root { color-scheme: light dark; --page: #f7f7f5; --card: #ffffff; --ink: #1c1e21; --soft: #5f6670;
  --rule: #e2e3e0; --one: #2563b8; --two: #c2570c; --three: #0f7b6c; --four: #7c4dbe;
  --five: #a3476b; --six: #7a6a14;
  --low: #8fb8ea; --mid: #3f7fd0; --high: #153f7d; --good: #1a7f45; --bad: #c62f35; }
@media (prefers-color-scheme: dark) { :root { --page: #15171a; --card: #1d2024; --ink: #e8e9ea;
  --soft: #9aa2ac;
  --rule: #32363c; --one: #6aa5f5; --two: #f0935a; --three: #4fc0ad; --four: #b493ee;
  --five: #e38bab; --six: #cdb851;
  --low: #34618f; --mid: #5f9ae0; --high: #c3dcfb; --good: #5ac98a; --bad: #f2777b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 32px 0 10px; }
p { margin: 4px 0; color: var(--soft); overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; gap: 12px 24px; align-items: flex-start;
  justify-content: space-between; }
.verdict { padding: 6px 14px; border-radius: 6px; font-weight: 600; color: var(--card);
  background: var(--good); }
.verdict.failed { background: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 22px 0 12px; }
.tiles div, figure, .table { background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; }
.tiles div { padding: 12px 14px; }
.tiles b { display: block; font-size: 22px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
  gap: 12px; }
figure { margin: 0; padding: 14px 16px 8px; min-width: 0; }
figcaption { font-weight: 600; }
figcaption small { display: block; font-weight: 400; color: var(--soft); font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 8px 0 4px; font-size: 13px;
  color: var(--soft); }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 6px; }
.legend em { font-style: normal; opacity: 0.8; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.tick { fill: var(--soft); font-size: 12px; } rect.good { fill: var(--one); }
rect.bad { fill: var(--bad); }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 14px; text-align: right; white-space: nowrap;
  border-top: 1px solid var(--rule); }
tr:first-child > * { border-top: 0; }
th { font-weight: 400; color: var(--soft); font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
tbody th { color: var(--ink); font-size: 15px; }
th.left { text-align: left; } td.ok { color: var(--good); font-weight: 600; }
td.no, b.no { color: var(--bad); font-weight: 600; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
code { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
@media (max-width: 600px) { .tick { font-size: 16px; } main { padding: 20px 12px 32px; } }
.ranking { margin: 6px 0; } .ranking th { color: var(--ink); width: 1%; }
.ranking td { width: 1%; padding: 6px 8px; border: 0; }
.ranking th { border: 0; padding-left: 0; } .ranking td.bar { width: auto; }
.bar b { display: block; height: 14px; min-width: 2px; border-radius: 2px; background: var(--bad); }
`;

const COLORS = ["one", "two", "three", "four", "five", "six"];

export function page(found) {
  const { name, question, set, at } = found;
  const failed = found.failed > 0 ? " failed" : "";
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(name)}: ${escaped(question)}</title><style>${STYLE}</style></head><body><main>
<header><div><h1>${escaped(question)}</h1>
<p>${escaped(name)}.js against ${escaped(set.target)}, ${escaped(at.slice(0, 19).replace("T", " "))} UTC</p></div>
<div class="verdict${failed}">${escaped(verdict(found))}</div></header>
${tiles(found)}
<div class="charts">${charts(found)}</div>
${Object.entries(found.rows).map(([tag, rows]) => byTag(tag, rows, found.ran)).join("")}
${measured(found)}
${judged(found)}
${settingsOf(set)}
</main></body></html>
`;
}

function tiles(found) {
  const { requests, ran, right, dropped, tokens, sizes } = found;
  const all = [
    [whole(requests), `requests in ${ran.toFixed(1)} s`],
    [`${rate(requests / ran)}/s`, "requests a second"],
    [share(right), "answered as they must be", right < 1],
    [whole(dropped), "arrivals dropped", dropped > 0],
  ];
  if (tokens > 0) {
    all.push([`${rate(tokens / ran)}/s`, "completion tokens a second"]);
  }
  if (sizes?.count > 0) {
    all.push([bytes(sizes.med), `median body, up to ${bytes(sizes.max)}`]);
  }
  const shown = all.map(([value, label, isBad]) => {
    const figure = `<b${isBad ? ' class="no"' : ""}>${escaped(value)}</b>`;
    return `<div>${figure}<span>${escaped(label)}</span></div>`;
  });
  return `<div class="tiles">${shown.join("")}</div>`;
}

function charts(found) {
  const { slices, rows, errors, trends } = found;
  if (found.requests === 0) {
    return "";
  }
  const all = [
    barsOverTime(
      "Requests a second",
      `by when they were sent, in slices of ${slices.length.toPrecision(3)} s`,
      slices.total,
      slices.all.map(({ rate: value }) => value),
      slices.all.map(({ wrong }) => wrong),
    ),
    linesOverTime(
      "Time to the end of an answer",
      "all routes together, by when the request was sent",
      slices.total,
      [
        ["p50", "med", "low"],
        ["p95", "p(95)", "mid"],
        ["p99", "p(99)", "high"],
      ].map(([label, key, color]) => ({
        name: label,
        color,
        points: slices.all.map(({ times }) => (times ? times[key] : null)),
      })),
    ),
    histogram("How many answers took how long", "all routes together", found.histogram),
    percentiles(
      "Time to the end of an answer, by route",
      "pNN: this share of the answers took no longer",
      rows.route.map(curve),
    ),
  ];
  const streams = trends.filter(({ name }) => ["first_token", "token_pace"].includes(name));
  if (streams.length > 0) {
    all.push(
      percentiles(
        "Time to the first token, and from token to token",
        "the pace is the mean over each stream",
        streams.map(curve),
      ),
    );
  }
  if (errors.length > 0) {
    const total = errors.reduce((sum, [, wrong]) => sum + wrong, 0);
    const lines = errors.map(([kind, wrong]) => [kind, wrong, `${whole(wrong)} (${share(wrong / total)})`]);
    all.push(ranking("What was wrong", "answers by kind of error", lines));
  }
  return all.join("\n");
}

function curve({ name, times: values }, n) {
  return {
    name: name.replace("_", " "),
    note: `p50 ${ms(values.med)}, p99 ${ms(values["p(99)"])}`,
    color: COLORS[n % COLORS.length],
    values: PERCENTILES.map((p) => [p, values[`p(${p})`]]),
  };
}

function table(heads, lines) {
  const head = heads.map((cell) => `<th scope="col">${escaped(cell)}</th>`).join("");
  return `<div class="table"><table><thead><tr>${head}</tr></thead><tbody>${lines.join("")}</tbody></table></div>`;
}

const cells = (values) => values.map((value) => `<td>${escaped(value)}</td>`).join("");

const coded = (name) => `<th scope="row"><code>${escaped(name)}</code></th>`;

function times(values, shown) {
  return ["min", "med", "p(90)", "p(99)", "p(99.9)", "max"].map((key) => shown(values[key]));
}

function byTag(tag, rows, ran) {
  const lines = rows.map(
    ({ name, times: values, wrong }) =>
      `<tr><th scope="row">${escaped(name)}</th>` +
      cells([whole(values.count), rate(values.count / ran)]) +
      `<td${wrong > 0 ? ' class="no"' : ""}>${whole(wrong)}</td>${cells(times(values, ms))}</tr>`,
  );
  const heads = [tag, "requests", "a second", "wrong", "fastest", "p50", "p90", "p99", "p99.9", "slowest"];
  return `<h2>By ${escaped(tag)}</h2>${table(heads, lines)}`;
}

function measured({ trends, rates, counters }) {
  const parts = [];
  if (trends.length > 0) {
    const lines = trends.map(({ name, times: values, contains }) => {
      const shown = times(values, contains === "time" ? ms : whole);
      return `<tr>${coded(name)}${cells([whole(values.count), ...shown])}</tr>`;
    });
    parts.push(table(["measure", "count", "least", "p50", "p90", "p99", "p99.9", "most"], lines));
  }
  const single = [
    ...rates.map(([name, values]) => [name, share(values.rate)]),
    ...counters.map(([name, values]) => [name, whole(values.count)]),
  ];
  if (single.length > 0) {
    const lines = single.map(([name, value]) => `<tr>${coded(name)}${cells([value])}</tr>`);
    parts.push(table(["count or share", "value"], lines));
  }
  return parts.length > 0 ? `<h2>This script's own measures</h2>${parts.join("<p></p>")}` : "";
}

// Those that do not hold come first.
function judged({ thresholds }) {
  const sorted = [...thresholds].sort((a, b) => Number(a.ok) - Number(b.ok));
  const code = (text) => `<td class="text"><code>${escaped(text)}</code></td>`;
  const lines = sorted.map((threshold) => {
    const { metric, condition, ok } = threshold;
    const said = `<td class="${ok ? "ok" : "no"}">${ok ? "holds" : "does not hold"}</td>`;
    return `<tr>${code(metric)}${code(condition)}${cells([saw(threshold)])}${said}</tr>`;
  });
  return `<h2>Thresholds</h2>${table(["metric", "must be", "was", "verdict"], lines).replace(
    '<th scope="col">must be',
    '<th scope="col" class="left">must be',
  )}`;
}

// The settings that the figures depend on; never the key.
function settingsOf(set) {
  const shown = [
    ["RATE", `${set.rate} a second`],
    ["DURATION", `${set.seconds} s`],
    ["VUS", set.vus],
    ["MODEL", set.model],
    ["TOKENS", set.tokens],
    ["FIRST_TOKEN_MS", set.firstTokenMs],
    ["PACE_MS", set.paceMs],
    ["ALLOWED_MS", set.allowedMs],
    ["FAILED_MAX", set.failedMax],
    ["DROPPED_MAX", set.droppedMax],
    ["API_KEY", set.apiKey ? "given" : "none"],
  ];
  const lines = shown.map(([name, value]) => `<tr>${coded(name)}${cells([value])}</tr>`);
  return `<h2>Settings</h2>${table(["name", "value"], lines)}`;
}
