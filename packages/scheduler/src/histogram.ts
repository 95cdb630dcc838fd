/** Histograms of item sizes, from which budgets are planned. */
import { VitgraphError } from "@vitgraph/errors";

/** How often items of a size occur. */
export interface SizeCount {
  readonly tokens: number;
  /** Frequency in any unit: a count, a share, 1 / rank. */
  readonly weight: number;
}

/** One entry per size, ascending, without zero weights. Throws `VG_ARGUMENT_INVALID` for invalid sizes or weights. */
export function histogramOf(sizes: Iterable<SizeCount | number>): SizeCount[] {
  const weights = new Map<number, number>();
  for (const size of sizes) {
    const { tokens, weight } = typeof size === "number" ? { tokens: size, weight: 1 } : size;
    if (!Number.isSafeInteger(tokens) || tokens < 1) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `a size of ${tokens} tokens is not a positive integer`, {
        remedy: "give the tokens of an item after the merge",
        details: { tokens },
      });
    }
    if (!(weight >= 0 && Number.isFinite(weight))) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `the weight ${weight} of ${tokens} tokens is not a number of at least 0`,
        {
          remedy: "give a count or a share",
          details: { tokens, weight },
        },
      );
    }
    if (weight > 0) weights.set(tokens, (weights.get(tokens) ?? 0) + weight);
  }
  return [...weights].map(([tokens, weight]) => ({ tokens, weight })).sort((a, b) => a.tokens - b.tokens);
}
