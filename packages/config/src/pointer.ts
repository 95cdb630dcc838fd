/** JSON pointers (RFC 6901): the address of a value in a document, as text. "" is the document itself. */

export function toPointer(segments: readonly (string | number)[]): string {
  return segments.reduce<string>((pointer, segment) => pointerTo(pointer, segment), "");
}

/** The pointer of a member of what `parent` names. */
export function pointerTo(parent: string, member: string | number): string {
  const text = String(member);
  return `${parent}/${/[~/]/.test(text) ? text.replaceAll("~", "~0").replaceAll("/", "~1") : text}`;
}

/** The pointer of what holds the value that `pointer` names. */
export function parentPointer(pointer: string): string {
  return pointer.slice(0, Math.max(0, pointer.lastIndexOf("/")));
}

export function fromPointer(pointer: string): string[] {
  if (pointer === "") return [];
  return pointer
    .slice(1)
    .split("/")
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}
