// Charts as SVG text: no library, nothing fetched, colours from the page's variables so
// that they follow its light and dark.

import { ms, rate } from "./figures.js";

const WIDTH = 720;
const HEIGHT = 260;
const LEFT = 64;
const RIGHT = 16;
const TOP = 16;
const BOTTOM = 34;

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

export const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => ENTITIES[sign]);

const tag = (name, attributes, inside = "") => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  return `<${name}${written.join("")}>${inside}</${name}>`;
};

const at = (value) => value.toFixed(1);

// Round steps of 1, 2 or 5 from 0 to at least `most`.
function ticks(most, wanted = 4) {
  if (!(most > 0)) {
    return [0, 1];
  }
  const rough = most / wanted;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const all = [];
  for (let n = 0; n <= Math.ceil(most / step - 1e-9); n++) {
    all.push(n * step);
  }
  return all;
}

// 1, 2, 5, 10, 20 … around a range: its ends, and those to label.
function logTicks(least, most) {
  const all = [];
  const last = Math.ceil(Math.log10(most));
  for (let power = Math.floor(Math.log10(least)); power <= last; power++) {
    all.push(...[1, 2, 5].map((factor) => factor * Math.pow(10, power)));
  }
  const from = all.filter((tick) => tick <= least).length - 1;
  const to = all.findIndex((tick) => tick >= most);
  const inside = all.slice(Math.max(0, from), to < 0 ? all.length : to + 1);
  const isPower = (tick) => tick.toExponential().startsWith("1e");
  const labelled = inside.length > 7 ? inside.filter(isPower) : inside;
  return { from: inside[0], to: inside[inside.length - 1], labelled };
}

function frame(title, marks, { yTicks, y, yLabel, xTicks }) {
  const grid = yTicks
    .map((tick) => {
      const height = at(y(tick));
      const line = { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: height, y2: height };
      const label = { class: "tick", x: LEFT - 8, y: height, dy: "0.32em", "text-anchor": "end" };
      return tag("line", line) + tag("text", label, escaped(yLabel(tick)));
    })
    .join("");
  const below = xTicks
    .map(([x, label]) => {
      const anchor = x > WIDTH - RIGHT - 20 ? "end" : x < LEFT + 12 ? "start" : "middle";
      const place = { class: "tick", x: at(x), y: HEIGHT - BOTTOM + 18, "text-anchor": anchor };
      return tag("text", place, escaped(label));
    })
    .join("");
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title };
  return tag("svg", box, grid + below + marks);
}

function legend(series) {
  if (series.length === 0) {
    return "";
  }
  const items = series.map(({ name, color, note }) => {
    const sign = `<i style="background:var(--${color})"></i>`;
    return `<span>${sign}${escaped(name)}${note ? ` <em>${escaped(note)}</em>` : ""}</span>`;
  });
  return `<div class="legend">${items.join("")}</div>`;
}

function figure(title, note, series, inside) {
  const caption = `${escaped(title)}<small>${escaped(note)}</small>`;
  return `<figure><figcaption>${caption}</figcaption>${legend(series)}${inside}</figure>`;
}

function scale(from, to, low, high) {
  return (value) => low + ((value - from) / (to - from)) * (high - low);
}

// Text beside a mark that a pointer rests on.
const hint = (text) => tag("title", {}, escaped(text));

function timeTicks(total, x) {
  const unit = total > 7200 ? [3600, "h"] : total > 300 ? [60, "min"] : [1, "s"];
  const most = total / unit[0];
  return ticks(most, 6)
    .filter((tick) => tick <= most + 1e-9)
    .map((tick) => [x(tick * unit[0]), `${Number(tick.toFixed(2))} ${unit[1]}`]);
}

// Bars over time: `values` a second in each slice, with those of `bad` among them.
export function barsOverTime(title, note, total, values, bad) {
  const top = ticks(Math.max(...values, 0));
  const y = scale(0, top[top.length - 1], HEIGHT - BOTTOM, TOP);
  const x = scale(0, total, LEFT, WIDTH - RIGHT);
  const width = (WIDTH - RIGHT - LEFT) / values.length;
  const bar = (n, value, name, from) => {
    if (value <= 0) {
      return "";
    }
    const place = { x: at(LEFT + n * width + 1), y: at(y(from + value)), width: at(width - 2) };
    const height = at(Math.max(1, y(0) - y(value)));
    const label = `${rate(value)}/s ${name === "bad" ? "wrong" : "right"}`;
    return tag("rect", { class: name, ...place, height }, hint(label));
  };
  const marks = values
    .map((value, n) => bar(n, value - bad[n], "good", bad[n]) + bar(n, bad[n], "bad", 0))
    .join("");
  const series = [
    { name: "answered as it must be", color: "one" },
    { name: "wrong", color: "bad" },
  ];
  const options = { yTicks: top, y, yLabel: plain, xTicks: timeTicks(total, x) };
  return figure(title, note, series, frame(title, marks, options));
}

// How many answers took how long: pairs of an upper bound in milliseconds and a count.
export function histogram(title, note, bars) {
  const total = bars.reduce((sum, [, answers]) => sum + answers, 0);
  const top = ticks(Math.max(...bars.map(([, answers]) => answers)));
  const y = scale(0, top[top.length - 1], HEIGHT - BOTTOM, TOP);
  const width = (WIDTH - RIGHT - LEFT) / bars.length;
  const marks = bars
    .map(([most, answers], n) => {
      const place = { x: at(LEFT + n * width + 2), y: at(y(answers)), width: at(width - 4) };
      const share = at((100 * answers) / total);
      const label = `${answers} answers (${share} %), ${upTo(most)}`;
      return tag("rect", { class: "good", ...place, height: at(y(0) - y(answers)) }, hint(label));
    })
    .join("");
  const xTicks = bars.map(([most], n) => [LEFT + (n + 0.5) * width, upTo(most)]);
  return figure(title, note, [], frame(title, marks, { yTicks: top, y, yLabel: plain, xTicks }));
}

// Lines over time; a point that is null leaves a gap.
export function linesOverTime(title, note, total, series) {
  const all = series.flatMap(({ points }) => points).filter((point) => point !== null);
  const top = ticks(Math.max(...all, 0));
  const y = scale(0, top[top.length - 1], HEIGHT - BOTTOM, TOP);
  const x = scale(0, total, LEFT, WIDTH - RIGHT);
  const count = series[0].points.length;
  const marks = series
    .map(({ points, color, name }) => {
      const middle = (n) => x(((n + 0.5) / count) * total);
      const place = (point, n) => [middle(n), y(point), `${name}: ${ms(point)}`];
      return path(points.map((point, n) => (point === null ? null : place(point, n))), color);
    })
    .join("");
  const options = { yTicks: top, y, yLabel: tickMs, xTicks: timeTicks(total, x) };
  return figure(title, note, series, frame(title, marks, options));
}

function path(points, color) {
  let line = "";
  let dots = "";
  let isPen = false;
  for (const point of points) {
    if (point === null) {
      isPen = false;
      continue;
    }
    const [x, y, label] = point;
    line += `${isPen ? "L" : "M"}${at(x)} ${at(y)}`;
    dots += tag("circle", { cx: at(x), cy: at(y), r: 2.5, fill: `var(--${color})` }, hint(label));
    isPen = true;
  }
  return tag("path", { class: "line", d: line, stroke: `var(--${color})` }) + dots;
}

// Percentiles, which is how a distribution shows its tail: the outer ones are drawn wider
// apart (a logit scale), times on a logarithmic one. `series` have `values`, pairs of a
// percentile and milliseconds.
export function percentiles(title, note, series) {
  const times = series.flatMap(({ values }) => values.map(([, value]) => Math.max(value, 0.01)));
  const { from, to, labelled: yTicks } = logTicks(Math.min(...times), Math.max(...times));
  const first = Math.log10(from);
  const last = Math.log10(to);
  const height = scale(first, last > first ? last : first + 1, HEIGHT - BOTTOM, TOP);
  const y = (value) => height(Math.log10(Math.max(value, 0.01)));
  const logit = (percentile) => Math.log(percentile / (100 - percentile));
  const shown = series[0].values.map(([percentile]) => percentile);
  const x = scale(logit(shown[0]), logit(shown[shown.length - 1]), LEFT + 10, WIDTH - RIGHT - 10);
  const marks = series
    .map(({ name, color, values }) => {
      const place = ([p, value]) => [x(logit(p)), y(value), `${name}, p${p}: ${ms(value)}`];
      return path(values.map(place), color);
    })
    .join("");
  const xTicks = shown.map((percentile) => [x(logit(percentile)), `p${percentile}`]);
  return figure(title, note, series, frame(title, marks, { yTicks, y, yLabel: tickMs, xTicks }));
}

const plain = (value) => Number(value.toPrecision(3));

const upTo = (most) => (most === Infinity ? "more" : `≤ ${tickMs(most)}`);

function tickMs(value) {
  return value >= 1000 ? `${value / 1000} s` : `${Number(value.toPrecision(2))} ms`;
}

// Shares of a whole, longest first.
export function ranking(title, note, rows) {
  const most = Math.max(...rows.map(([, value]) => value), 1);
  const lines = rows
    .map(
      ([name, value, label]) =>
        `<tr><th scope="row">${escaped(name)}</th>` +
        `<td class="bar"><b style="width:${at((value / most) * 100)}%"></b></td>` +
        `<td>${escaped(label)}</td></tr>`,
    )
    .join("");
  return figure(title, note, [], `<table class="ranking">${lines}</table>`);
}
