/**
 * Parses a log of sizes, as JSON or lines. The form of an entry determines its unit, tokens or pixels; its magnitude is
 * never used to guess.
 */
import { isRecord, shorten, VitgraphError } from "@vitgraph/errors";
import { CsvError, parse } from "csv-parse/sync";

/** Most characters of a line in messages: a line may be a whole file. */
const SHOWN = 100;

/** A size, and how often it came. */
export type TraceEntry = {
  readonly count: number;
  /** Its position, for messages: "sizes.csv, line 3". */
  readonly place: string;
} & TraceSize;

type TraceSize = { readonly tokens: number } | { readonly height: number; readonly width: number };

export interface Trace {
  readonly entries: readonly TraceEntry[];
  /** Columns of CSV and keys of JSON objects that say nothing about sizes. */
  readonly unusedColumns: readonly string[];
}

/** The forms, for --help. */
export const TRACE_FORMATS = `A trace is one of:
  a JSON array   of token counts, of [height, width] in pixels, or of objects with "tokens" or "height" and "width", and an optional "count": [961, [480, 640], {"tokens": 256, "count": 12}]
  JSON lines     one such entry per line
  lines          WIDTHxHEIGHT in pixels or a token count, and an optional count after a comma, space or tab: 640x480, 961, or 640x480,12
  CSV            with a first line that names its columns: tokens, or width and height, and count; separated by commas, semicolons or tabs; cells may be quoted
Empty lines and lines that begin with # are skipped.
`;

/** Throws `VG_ARGUMENT_INVALID` that names the file, the line or entry, and the form that it must have. */
export function parseTrace(text: string, name: string): Trace {
  const content = text.replace(/^\uFEFF/, "");
  const array = wholeArray(content);
  const unused = new Set<string>();
  const entries =
    array === undefined
      ? parseLines(content, name, unused)
      : array.map((value, index) => jsonEntry(value, `${name}, entry ${index}`, unused));
  if (entries.length > 0) return { entries, unusedColumns: [...unused] };
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} has no sizes`, {
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

function parseLines(content: string, name: string, unused: Set<string>): TraceEntry[] {
  const lines = content.split(/\r\n|\n|\r/);
  const first = lines.find((line) => !isSkipped(line.trim()))?.trim();
  if (first !== undefined && /^[a-z"]/i.test(first)) return parseCsv(content, name, unused);
  return lines.flatMap((raw, index) => {
    const line = raw.trim();
    const place = `${name}, line ${index + 1}`;
    if (isSkipped(line)) return [];
    if (/^[[{]/.test(line)) return [jsonEntry(parseJsonLine(line, place), place, unused)];
    return [plainEntry(line, place)];
  });
}

function isSkipped(line: string): boolean {
  return line === "" || line.startsWith("#");
}

/** "640x480" or "961", with an optional count after it. */
function plainEntry(line: string, place: string): TraceEntry {
  const match = /^(\d+)(?:\s*[x×]\s*(\d+))?(?:[\s,;]+([\d.]+))?$/i.exec(line);
  if (match === null) return refuse(place, line);
  const [, first, second, count] = match;
  const size =
    second === undefined ? { tokens: Number(first) } : { width: Number(first), height: Number(second) };
  return checked(size, Number(count ?? 1), place, line);
}

const COLUMNS = ["tokens", "width", "height", "count"];

function parseCsv(content: string, name: string, unused: Set<string>): TraceEntry[] {
  const [header, ...rows] = csvRows(content, name);
  if (header === undefined) return [];
  const columns = columnNames(header);
  noteUnused(columns, unused);
  return rows.map((row) => csvEntry(columns, row));
}

/** If a row has both tokens and pixels, the tokens count. */
function noteUnused(names: readonly string[], unused: Set<string>): void {
  const used = names.includes("tokens") ? ["tokens", "count"] : COLUMNS;
  for (const name of names) if (!used.includes(name)) unused.add(name);
}

interface CsvRow {
  readonly cells: readonly string[];
  readonly place: string;
}

function csvRows(content: string, name: string): readonly CsvRow[] {
  try {
    const rows: CsvRow[] = [];
    parse(content, {
      delimiter: [",", ";", "\t"],
      // By default, the parser expects the first line's line ending in the whole file.
      record_delimiter: ["\r\n", "\n", "\r"],
      comment: "#",
      comment_no_infix: true,
      skip_empty_lines: true,
      relax_column_count: true,
      trim: true,
      on_record: (cells: string[], { lines }) => {
        rows.push({ cells, place: `${name}, line ${lines}` });
        return null;
      },
    });
    return rows;
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is not CSV (${cause.message})`, {
      remedy: "quote a cell from its first to its last character, and double the quotes in it",
      cause,
      details: { name },
    });
  }
}

function columnNames({ cells, place }: CsvRow): readonly string[] {
  const names = cells.map((name) => name.toLowerCase());
  const hasSizes = names.includes("tokens") || (names.includes("width") && names.includes("height"));
  if (hasSizes) return names;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `${place}: no column for sizes in "${shorten(cells.join(), SHOWN)}"`,
    {
      remedy: `name the columns ${COLUMNS.join(", ")}; tokens, or width and height, are needed`,
      details: { place, names },
    },
  );
}

function csvEntry(columns: readonly string[], { cells, place }: CsvRow): TraceEntry {
  const cell = (name: string): number => {
    const text = cells[columns.indexOf(name)];
    return text === undefined || text === "" ? Number.NaN : Number(text);
  };
  const size = columns.includes("tokens")
    ? { tokens: cell("tokens") }
    : { width: cell("width"), height: cell("height") };
  return checked(size, columns.includes("count") ? cell("count") : 1, place, cells.join());
}

function parseJsonLine(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${place}: not JSON (${(cause as Error).message})`, {
      remedy: "write one JSON value per line, or one JSON array",
      cause,
      details: { place },
    });
  }
}

/** A token count, [height, width], or an object. */
function jsonEntry(value: unknown, place: string, unused: Set<string>): TraceEntry {
  const text = JSON.stringify(value);
  if (typeof value === "number") return checked({ tokens: value }, 1, place, text);
  if (Array.isArray(value)) {
    if (value.length !== 2) return refuse(place, text);
    return checked({ height: value[0], width: value[1] }, 1, place, text);
  }
  if (!isRecord(value)) return refuse(place, text);
  noteUnused(Object.keys(value), unused);
  const { tokens, height, width, count = 1 } = value as Readonly<Record<string, number>>;
  const size = tokens === undefined ? { height: height!, width: width! } : { tokens };
  return checked(size, count, place, text);
}

function checked(size: TraceSize, count: number, place: string, text: string): TraceEntry {
  const isSize = Object.values(size).every((value) => Number.isSafeInteger(value) && value > 0);
  // Larger counts could add up to infinity.
  const isCount = typeof count === "number" && count >= 0 && count <= Number.MAX_SAFE_INTEGER;
  return isSize && isCount ? { ...size, count, place } : refuse(place, text);
}

function refuse(place: string, text: string): never {
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${place}: ${shorten(text, SHOWN)} is not a size`, {
    remedy: "give a token count or WIDTHxHEIGHT in pixels; vitgraph plan --help shows the forms",
    details: { place, text: shorten(text, SHOWN) },
  });
}
