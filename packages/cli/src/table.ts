/** Plain tables for terminals and pipes: a rule under the head, no frame. */
import Table from "cli-table3";

const NO_FRAME = {
  top: "", "top-mid": "", "top-left": "", "top-right": "", bottom: "", "bottom-mid": "", "bottom-left": "", "bottom-right": "",
  left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  ",
}; // biome-ignore format: a table

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    chars: NO_FRAME,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    head: columns.map(({ title }) => title),
    colAligns: columns.map(({ align }) => align ?? "left"),
  });
  table.push(...rows.map((row) => [...row]));
  const lines = table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd());
  const width = Math.max(...lines.map((line) => line.length));
  return `${[lines[0], "-".repeat(width), ...lines.slice(1)].join("\n")}\n`;
}

export interface StreamedColumn extends Column {
  /** Characters that the longest cell is expected to have. Longer ones push their row to the right. */
  readonly width?: number;
}

/** A table that is written row by row: prints the head, and returns the function that prints a row. */
export function streamTable(
  columns: readonly StreamedColumn[],
  write: (text: string) => void,
): (cells: readonly string[]) => void {
  const widths = columns.map(({ title, width = 0 }) => Math.max(title.length, width));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const width = widths[index] as number;
        return columns[index]?.align === "right" ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  const head = line(columns.map(({ title }) => title));
  write(`${head}\n${"-".repeat(head.length)}\n`);
  return (cells) => write(`${line(cells)}\n`);
}

/** "1 file", "2 files". */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A share between 0 and 1, for a cell or a sentence. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
