// The end of a run: a summary as text on standard output, and one HTML page that needs
// nothing else. REPORT names the page's file, `off` writes none; SUMMARY_JSON names a file
// for the verdict of each threshold, for programs.

import { page } from "./page.js";
import { digest } from "./summary.js";
import { text } from "./text.js";

export function report(set, name, question) {
  return (data) => {
    const found = { name, question, set, at: new Date().toISOString(), ...digest(set, data) };
    found.failed = found.thresholds.filter(({ ok }) => !ok).length;
    const outputs = { stdout: text(found) };
    const file = set.report || `penstock-${name}.html`;
    if (file !== "off") {
      outputs[file] = page(found);
      outputs.stdout += `  page        ${file}\n\n`;
    }
    if (__ENV.SUMMARY_JSON) {
      const { requests, right, dropped, thresholds, errors, counters, ran } = found;
      outputs[__ENV.SUMMARY_JSON] = JSON.stringify({
        ...{ name, requests, right, dropped, thresholds, ran },
        errors: Object.fromEntries(errors),
        counters: Object.fromEntries(counters.map(([counter, values]) => [counter, values.count])),
      });
    }
    return outputs;
  };
}
