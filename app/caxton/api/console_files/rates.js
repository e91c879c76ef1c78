// Owns how counters become rates per second, and the small curve of the last minute. Must never ask the node.

import { draw } from "./dom.js";

const KEPT = 30, SMOOTH = 4, WIDTH = 90, HEIGHT = 18;

/**
 * Counters that only grow, of `{ node, name, counters }`. Those of one name on two nodes are two accounts: behind balancers
 * each look may be at another. A counter that is less than before belongs to somebody new: it begins again.
 */
export class Rates {
  #seen = new Map();

  /** Takes a look at one; gives per-second rates by counter, null before the second look, and the `history` of `counter`. */
  look({ node, name, counters }, counter) {
    const at = performance.now() / 1000, key = JSON.stringify([name, node]);
    let { samples, history } = this.#seen.get(key) || { samples: [], history: [] };
    if (samples.some(one => one.counters[counter] > (counters[counter] || 0))) { samples = []; history = []; }
    const last = samples.at(-1), first = samples.at(-SMOOTH) || samples[0];
    const per = (from, which) => Math.max(0, ((counters[which] || 0) - (from.counters[which] || 0)) / (at - from.at));
    if (last) history = [...history, per(last, counter)].slice(-KEPT);
    this.#seen.set(key, { samples: [...samples, { at, counters }].slice(-KEPT), history, name });
    const rate = which => (first ? per(first, which) : null);
    return { rate, history };
  }

  /** Forgets all but these names. */
  keep(names) {
    const wanted = new Set(names);
    for (const [key, { name }] of this.#seen) if (!wanted.has(name)) this.#seen.delete(key);
  }
}

/** A rate for a table. */
export const perSecond = value => (value === null ? "–" : value.toFixed(value >= 100 ? 0 : 1));

/** An empty curve; the numbers beside it say the same, so it is hidden from screen readers. */
export const curve = () => draw("svg", { class: "curve", width: WIDTH, height: HEIGHT, "aria-hidden": "true" }, draw("polyline"));

/** Draws the numbers, the oldest on the left. */
export const trace = (svg, values) => {
  const most = Math.max(1, ...values), step = WIDTH / (KEPT - 1), from = WIDTH - step * (values.length - 1);
  const height = value => HEIGHT - 1.5 - value / most * (HEIGHT - 3);
  const points = values.map((value, at) => `${(from + at * step).toFixed(1)},${height(value).toFixed(1)}`);
  svg.firstElementChild.setAttribute("points", points.join(" "));
};
