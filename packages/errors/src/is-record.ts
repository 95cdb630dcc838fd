/** True for an object with named members: neither null nor a list. For values from untyped callers and from JSON. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
