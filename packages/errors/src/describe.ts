/** Values in messages: bounded in length, whatever was passed. */

const MOST_CHARACTERS = 60;
/** Longest path that messages give whole; an argument that is taken for a path may be megabytes of data. */
export const LONGEST_PATH = 1024;
/** Keys of an object that are named. */
const MOST_NAMED = 5;

/** A value as a message quotes it, in some sixty characters: `"text"`, `NaN`, `a Uint8Array of 600`, `{ image, uuid }`. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value.length <= MOST_CHARACTERS
        ? JSON.stringify(value)
        : `${JSON.stringify(value.slice(0, MOST_CHARACTERS))}… of ${value.length} characters`;
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : describeObject(value);
    default:
      return shorten(String(value));
  }
}

function describeObject(value: object): string {
  const kind = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${kind} of ${value.byteLength} bytes`;
  if (kind !== "Object") return `an object of type ${kind}`;
  const keys = Object.keys(value);
  const named = keys.slice(0, MOST_NAMED).map((key) => shorten(key));
  if (keys.length > MOST_NAMED) named.push("…");
  return keys.length === 0 ? "{}" : `{ ${named.join(", ")} }`;
}

/** "a, b, c, and 2 more". @param text what the list has for a value */
export function listed<T>(values: readonly T[], mostListed: number, text: (value: T) => string): string {
  const more = values.length > mostListed ? `, and ${values.length - mostListed} more` : "";
  return values.slice(0, mostListed).map(text).join(", ") + more;
}

/** The text, or its beginning. */
export function shorten(text: string, mostCharacters = MOST_CHARACTERS): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters)}…`;
}
