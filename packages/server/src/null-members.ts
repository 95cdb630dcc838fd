/** Removes null members from a request's JSON. */

/** Members that the server does not interpret: a JSON schema, variables of a template. Null is a value there. */
const UNINTERPRETED: readonly string[] = ["parameters", "chat_template_kwargs"];

/**
 * Removes each member that is null, at every depth: OpenAI's clients, and programs that write their types as JSON, send
 * null for a member that is not given. Modifies the body.
 */
export function dropNulls(body: unknown): void {
  if (typeof body !== "object" || body === null) return;
  for (const [name, value] of Object.entries(body)) {
    if (value === null && !Array.isArray(body)) Reflect.deleteProperty(body, name);
    else if (!UNINTERPRETED.includes(name)) dropNulls(value);
  }
}
