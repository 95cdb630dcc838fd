/** The correction of a finding as data: edits of the text that the config was read from. Applying them is the caller's. */

/** Replaces the characters from `start` up to, not including, `end`. Offsets count UTF-16 units from 0. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export interface ConfigFix {
  /** In the imperative: `rename to "cudagraph_mm_encoder"`. */
  readonly title: string;
  /** In the order of the text; they do not overlap. */
  readonly edits: readonly TextEdit[];
}

/** The text after the edits. */
export function applyFix(text: string, { edits }: ConfigFix): string {
  return edits.reduceRight((result, { start, end, text: replacement }) => {
    return result.slice(0, start) + replacement + result.slice(end);
  }, text);
}
