/** Integers as vLLM's command line takes them: 1k is 1000, 1K is 1024, 25.6k is 25600. */

const DECIMAL: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9, t: 1e12 };
const BINARY: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * The integer, or undefined. As in vLLM, small letters are powers of 1000 and may follow a decimal fraction; capitals are
 * powers of 1024 and may not. Digits may be grouped as in Python: 16_384.
 */
export function parseHumanReadableInteger(text: string): number | undefined {
  const trimmed = text.trim();
  const suffixed = /^(\d+(?:\.\d+)?)([kKmMgGtT])$/.exec(trimmed);
  if (suffixed === null) {
    return /^[+-]?\d+(_\d+)*$/.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : undefined;
  }
  const [, digits = "", suffix = ""] = suffixed;
  const decimal = DECIMAL[suffix];
  if (decimal !== undefined) return Math.trunc(Number(digits) * decimal);
  return digits.includes(".") ? undefined : Number(digits) * BINARY[suffix]!;
}
