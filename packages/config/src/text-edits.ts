/**
 * Edits of members between brackets, as in JSON and YAML's flow style. Members keep their neighbours' layout: a new one
 * copies the white space before the first, and removing one also removes its comma.
 */
import type { TextEdit } from "./fix.js";

/** Position of a member, including its key. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** All edits mapped to the enclosing text; undefined if one cannot be. */
export function embedEdits(
  edits: readonly TextEdit[],
  embed: (edit: TextEdit) => TextEdit | undefined,
): readonly TextEdit[] | undefined {
  const embedded = edits.flatMap((edit) => embed(edit) ?? []);
  return embedded.length === edits.length ? embedded : undefined;
}

/** Removes one of the members, with one comma. */
export function removeSpan(members: readonly Span[], index: number): TextEdit {
  const { start, end } = members[index]!;
  const before = members[index - 1];
  const after = members[index + 1];
  if (before !== undefined) return { start: before.end, end, text: "" };
  return { start, end: after?.start ?? end, text: "" };
}

/** Inserts a member before the others. `open` is the offset after the opening bracket. */
export function insertSpan(text: string, members: readonly Span[], open: number, member: string): TextEdit {
  const first = members[0];
  if (first === undefined) return { start: open, end: open, text: member };
  const layout = text.slice(open, first.start);
  const gap = layout.includes("\n") && layout.trim() === "" ? layout : " ";
  return { start: first.start, end: first.start, text: `${member},${gap}` };
}
