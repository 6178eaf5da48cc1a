// Chance that repeats: the same seed and the same arrival draw the same request, on
// whichever client it falls.

// The generator mulberry32 (Tommy Ettinger, public domain): numbers from 0 to 1.
export function random(seed, arrival) {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(arrival + 1, 0x85ebca6b)) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// One of `choices`, each with its weight.
export function pick(draw, choices) {
  const total = choices.reduce((sum, [, weight]) => sum + weight, 0);
  let left = draw() * total;
  for (const [choice, weight] of choices) {
    left -= weight;
    if (left < 0) {
      return choice;
    }
  }
  return choices[choices.length - 1][0];
}

// A number whose logarithm is normally distributed (Box and Muller's method), bounded.
export function logNormal(draw, median, sigma, least, most) {
  const normal = Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  return Math.min(most, Math.max(least, median * Math.exp(sigma * normal)));
}

// A rank from 0 to `count` - 1, the first ones most often (Zipf's law with exponent 1).
export function zipf(draw, count) {
  return Math.min(count - 1, Math.floor(Math.pow(count + 1, draw()) - 1));
}
