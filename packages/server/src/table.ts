/** A plain table for terminals and pipes: no frames but one rule under the head, numbers to the right. */
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

/** A share between 0 and 1, for a cell or a sentence. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
