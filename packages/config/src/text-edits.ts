/**
 * Edits of members that are listed between brackets, as JSON and YAML's flow style have them. Members keep the layout of
 * their neighbours: a new one gets the white space before the first, a removed one takes its comma along.
 */
import type { TextEdit } from "./fix.js";

/** Where a member stands, its key included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Takes one of the members out, with one comma. */
export function removeSpan(members: readonly Span[], index: number): TextEdit {
  const { start, end } = members[index]!;
  const before = members[index - 1];
  const after = members[index + 1];
  if (before !== undefined) return { start: before.end, end, text: "" };
  return { start, end: after?.start ?? end, text: "" };
}

/** Puts a member in front of the others. `open` is the offset after the opening bracket. */
export function insertSpan(text: string, members: readonly Span[], open: number, member: string): TextEdit {
  const first = members[0];
  if (first === undefined) return { start: open, end: open, text: member };
  const layout = text.slice(open, first.start);
  const gap = layout.includes("\n") && layout.trim() === "" ? layout : " ";
  return { start: first.start, end: first.start, text: `${member},${gap}` };
}
