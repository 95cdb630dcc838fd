/**
 * Which known key did somebody mean? One that has all the words of theirs, or else the nearest by edit distance, within
 * a limit beyond which a guess would only confuse.
 */

/** Keys beyond this length are no typos, and comparing them would take long. */
const LONGEST_TYPO = 100;

/** The known key nearest to `key`, or undefined where none is near. */
export function nearestKey(key: string, known: readonly string[]): string | undefined {
  if (key.length > LONGEST_TYPO) return undefined;
  return withAllWords(key, known) ?? withFewestEdits(key, known);
}

/** `max_items_per_batch` lacks words of `encoder_cudagraph_max_vision_items_per_batch`; by letters, others are nearer. */
function withAllWords(key: string, known: readonly string[]): string | undefined {
  const words = normalise(key).split("_");
  // One word alone, such as "cudagraph", says too little.
  if (words.length < 2) return undefined;
  const candidates = known.filter((candidate) => {
    const its = new Set(normalise(candidate).split("_"));
    return words.every((word) => its.has(word));
  });
  return candidates.toSorted((a, b) => a.length - b.length)[0];
}

function withFewestEdits(key: string, known: readonly string[]): string | undefined {
  const plain = normalise(key);
  let best: string | undefined;
  // A third of the letters wrong is a typo; more is another word.
  let bestDistance = Math.floor(plain.length / 3) + 1;
  for (const candidate of known) {
    const distance = editDistance(plain, normalise(candidate), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** People write keys with dashes, spaces and capitals: these are not typos worth counting. */
function normalise(key: string): string {
  return key.toLowerCase().replaceAll(/[\s_-]+/g, "_");
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`; `limit` at the most. */
export function editDistance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = last[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let distance = Math.min(last[column]! + 1, current[column - 1]! + 1, substitution);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) distance = Math.min(distance, beforeLast[column - 2]! + 1);
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return Math.min(last[b.length]!, limit);
}
