/**
 * A log of sizes, as people have them: JSON, or lines. What an entry measures, tokens or pixels, is said by its form;
 * nothing is guessed from its magnitude.
 */
import { VitgraphError } from "@vitgraph/errors";

/** What came, and how often. */
export type TraceEntry = { readonly count: number } & (
  | { readonly tokens: number }
  | { readonly height: number; readonly width: number }
);

/** The forms, for --help. */
export const TRACE_FORMATS = `
A trace is one of:
  a JSON array   of token counts, of [height, width] in pixels, or of objects with "tokens" or "height" and
                 "width", and perhaps a "count": [961, [480, 640], {"tokens": 256, "count": 12}]
  JSON lines     one such entry a line
  lines          WIDTHxHEIGHT in pixels or a token count, with a count behind a comma, space or tab if there is one:
                 640x480  or  961  or  640x480,12
  CSV            with a first line that names its columns: tokens, or width and height, and count
Empty lines and lines that begin with # are passed over.
`;

/** Throws `VG_ARGUMENT_INVALID` that names the file, the line or entry, and what was expected. */
export function parseTrace(text: string, name: string): TraceEntry[] {
  const content = text.replace(/^\uFEFF/, "");
  const array = wholeArray(content);
  const entries =
    array === undefined
      ? parseLines(content, name)
      : array.map((value, index) => jsonEntry(value, `${name}, entry ${index}`));
  if (entries.length > 0) return entries;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} has no sizes in it`, {
    remedy: "give a log with at least one",
    details: { name },
  });
}

function wholeArray(content: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(content);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parseLines(content: string, name: string): TraceEntry[] {
  const entries: TraceEntry[] = [];
  let columns: readonly string[] | undefined;
  content.split(/\r?\n/).forEach((raw, index) => {
    const line = raw.trim();
    const place = `${name}, line ${index + 1}`;
    if (line === "" || line.startsWith("#")) return;
    if (/^[[{]/.test(line)) entries.push(jsonEntry(parseJsonLine(line, place), place));
    else if (columns === undefined && entries.length === 0 && /^[a-z"]/i.test(line)) {
      columns = columnNames(line, place);
    } else if (columns !== undefined) entries.push(csvEntry(columns, line, place));
    else entries.push(plainEntry(line, place));
  });
  return entries;
}

/** "640x480", "961", and a count behind either. */
function plainEntry(line: string, place: string): TraceEntry {
  const match = /^(\d+)(?:\s*[x×]\s*(\d+))?(?:[\s,;]+([\d.]+))?$/i.exec(line);
  if (match === null) return refuse(place, line);
  const [, first, second, count] = match;
  const size =
    second === undefined ? { tokens: Number(first) } : { width: Number(first), height: Number(second) };
  return checked({ ...size, count: Number(count ?? 1) }, place, line);
}

const COLUMNS = ["tokens", "width", "height", "count"];

function columnNames(line: string, place: string): readonly string[] {
  const names = line.split(/[,;\t]/).map((name) =>
    name
      .trim()
      .replace(/^"(.*)"$/, "$1")
      .toLowerCase(),
  );
  const hasSizes = names.includes("tokens") || (names.includes("width") && names.includes("height"));
  if (hasSizes) return names;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${place}: no column for sizes in "${line}"`, {
    remedy: `name the columns ${COLUMNS.join(", ")}; tokens, or width and height, are needed`,
    details: { place, names },
  });
}

/** Columns of other names are passed over. */
function csvEntry(columns: readonly string[], line: string, place: string): TraceEntry {
  const cells = line.split(/[,;\t]/).map((cell) => cell.trim());
  const cell = (name: string): number => {
    const text = cells[columns.indexOf(name)];
    return text === undefined || text === "" ? Number.NaN : Number(text);
  };
  const size = columns.includes("tokens")
    ? { tokens: cell("tokens") }
    : { width: cell("width"), height: cell("height") };
  return checked({ ...size, count: columns.includes("count") ? cell("count") : 1 }, place, line);
}

function parseJsonLine(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${place}: not JSON (${(cause as Error).message})`, {
      remedy: "give one whole JSON value a line, or one JSON array as the file",
      cause,
      details: { place },
    });
  }
}

/** A token count, [height, width], or an object. */
function jsonEntry(value: unknown, place: string): TraceEntry {
  const text = JSON.stringify(value);
  if (typeof value === "number") return checked({ tokens: value, count: 1 }, place, text);
  if (Array.isArray(value)) {
    if (value.length !== 2) return refuse(place, text);
    return checked({ height: value[0], width: value[1], count: 1 }, place, text);
  }
  if (typeof value !== "object" || value === null) return refuse(place, text);
  const { tokens, height, width, count = 1 } = value as Readonly<Record<string, number>>;
  return checked(
    tokens === undefined ? { height: height!, width: width!, count } : { tokens, count },
    place,
    text,
  );
}

function checked(entry: TraceEntry, place: string, text: string): TraceEntry {
  const { count, ...size } = entry;
  const isSize = Object.values(size).every((value) => Number.isSafeInteger(value) && value > 0);
  const isCount = Number.isFinite(count) && count >= 0;
  return isSize && isCount ? entry : refuse(place, text);
}

function refuse(place: string, text: string): never {
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${place}: ${text} is no size`, {
    remedy: "give a token count or WIDTHxHEIGHT in pixels; vitgraph plan --help shows the forms",
    details: { place, text },
  });
}
