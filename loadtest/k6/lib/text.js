// The summary on standard output.

import { bytes, ms, rate, share, whole } from "./figures.js";

export function text(found) {
  const lines = [
    "",
    `${found.name}: ${found.question}`,
    "",
    line("target", found.set.target),
    line("ran", `${found.ran.toFixed(1)} s`),
    line("requests", `${whole(found.requests)}, ${rate(found.requests / found.ran)} a second`),
    line("right", share(found.right)),
    line("dropped", `${whole(found.dropped)} arrivals found no client free`),
  ];
  if (found.tokens > 0) {
    lines.push(line("tokens", `${whole(found.tokens)}, ${rate(found.tokens / found.ran)} a second`));
  }
  if (found.sizes?.count > 0) {
    const { med, max } = found.sizes;
    lines.push(line("bodies", `${bytes(med)} (median) to ${bytes(max)}`));
  }
  for (const [kind, wrong] of found.errors) {
    lines.push(line("wrong", `${whole(wrong)} ${kind}`));
  }
  for (const [tag, rows] of Object.entries(found.rows)) {
    lines.push("", `  ${heading(tag)}`, ...rows.map(row));
  }
  if (found.trends.length > 0) {
    lines.push("", `  ${heading("measured")}`);
    lines.push(...found.trends.map((trend) => row({ ...trend, wrong: null })));
  }
  for (const [name, values] of found.rates) {
    lines.push(line(name, share(values.rate)));
  }
  for (const [name, values] of found.counters) {
    lines.push(line(name, whole(values.count)));
  }
  lines.push("");
  for (const threshold of found.thresholds) {
    const { ok, metric, condition } = threshold;
    lines.push(`  ${ok ? "ok    " : "FAILED"}  ${metric} ${condition} (${saw(threshold)})`);
  }
  lines.push("", `  ${verdict(found)}`, "", "");
  return lines.join("\n");
}

const line = (name, value) => `  ${name.padEnd(11)} ${value}`;

const COLUMNS = ["count", "wrong", "p50", "p90", "p99", "max"];

const heading = (first) => first.padEnd(16) + COLUMNS.map((name) => name.padStart(10)).join("");

function row({ name, times, wrong, contains = "time" }) {
  const shown = contains === "time" ? ms : whole;
  const cells = [whole(times.count), wrong === null ? "" : whole(wrong)];
  cells.push(...["med", "p(90)", "p(99)", "max"].map((key) => shown(times[key])));
  return `  ${name.padEnd(16)}${cells.map((cell) => cell.padStart(10)).join("")}`;
}

// The value that a threshold was judged by.
export function saw({ seen, contains, condition }) {
  if (seen === undefined) {
    return "";
  }
  if (contains === "time") {
    return ms(seen);
  }
  return condition.startsWith("rate") ? share(seen) : whole(seen);
}

export function verdict({ failed, thresholds }) {
  return failed === 0
    ? `passed: all ${thresholds.length} thresholds hold`
    : `FAILED: ${failed} of ${thresholds.length} thresholds do not hold`;
}
