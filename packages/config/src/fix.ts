/**
 * The correction of a finding as data. A finding names the values to change, by JSON pointer; the document turns that
 * into edits of its text that keep layout and comments. The caller applies the edits.
 */

/** Replaces the characters from `start` up to, not including, `end`. Offsets count UTF-16 units from 0. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** An unambiguous remedy: a title, and edits of the source text. */
export interface ConfigFix {
  /** In the imperative: `rename to "cudagraph_mm_encoder"`. */
  readonly title: string;
  /** Edits in the order of the text, without overlap. Edits of other findings may overlap them. */
  readonly edits: readonly TextEdit[];
}

/** A change of a config, apart from its text. */
export type ConfigChange =
  /** The member and its key. */
  | { readonly kind: "remove"; readonly pointer: string }
  /** The first of the members with this key: the last one counts. */
  | { readonly kind: "remove-first"; readonly pointer: string }
  | { readonly kind: "rename"; readonly pointer: string; readonly name: string }
  /** The value of the member, or a new member in front of the others of its object. */
  | { readonly kind: "set"; readonly pointer: string; readonly value: unknown };

/** The remedy of a finding, if it is unambiguous. */
export interface Repair {
  readonly title: string;
  readonly change: ConfigChange;
}

/** The remedy's edits, as a finding has them: `{}` where the text cannot be edited so. */
export function fixOf(
  text: { edits(change: ConfigChange): readonly TextEdit[] | undefined },
  repair: Repair | undefined,
): { readonly fix?: ConfigFix } {
  if (repair === undefined) return {};
  const edits = text.edits(repair.change);
  return edits === undefined ? {} : { fix: { title: repair.title, edits } };
}

/** The text after the edits. */
export function applyFix(text: string, { edits }: ConfigFix): string {
  return edits.reduceRight(
    (result, { start, end, text: replacement }) => result.slice(0, start) + replacement + result.slice(end),
    text,
  );
}

/** The edits of several fixes, without those that overlap an earlier one: another look at the text finds these again. */
export function mergeFixes(fixes: readonly ConfigFix[]): readonly TextEdit[] {
  const taken: TextEdit[] = [];
  for (const { edits } of fixes) {
    if (edits.every((edit) => taken.every((other) => areApart(edit, other)))) taken.push(...edits);
  }
  return taken.sort((a, b) => a.start - b.start);
}

/** Two insertions at one place are not apart: which is first would change the text. */
function areApart(a: TextEdit, b: TextEdit): boolean {
  if (a.start === b.start) return false;
  return a.end <= b.start || b.end <= a.start;
}

export function rename(pointer: string, name: string): Repair {
  return { title: `rename to "${name}"`, change: { kind: "rename", pointer, name } };
}

export function set(pointer: string, value: unknown, title = `write ${JSON.stringify(value)}`): Repair {
  return { title, change: { kind: "set", pointer, value } };
}

export function remove(pointer: string, title = "remove it"): Repair {
  return { title, change: { kind: "remove", pointer } };
}
