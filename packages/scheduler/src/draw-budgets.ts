/**
 * A picture of a budget plan: how often sizes come, and where the budgets lie, as SVG text. Nothing to install, and
 * the same text for the same numbers.
 */
import type { SizeCount } from "./histogram.js";
import { histogramOf } from "./histogram.js";

export interface BudgetPicture {
  readonly histogram: Iterable<SizeCount | number>;
  /** The planned budgets, drawn as lines across the histogram. */
  readonly budgets: readonly number[];
  /** Other budgets to compare with, drawn as short lines below the axis. */
  readonly comparedWith?: { readonly name: string; readonly budgets: readonly number[] };
  /** A heading; "Sizes and budgets" if left out. */
  readonly title?: string;
  /** Lines of small text below the heading. */
  readonly notes?: readonly string[];
}

const WIDTH = 960;
const LEFT = 64;
const RIGHT = 24;
const CHART_HEIGHT = 260;
const COLUMNS = 120;
const LABEL_ROWS = 4;
const LABEL_ROW_HEIGHT = 14;
/** Wide enough for six digits at 11 px. */
const LABEL_WIDTH = 46;

const INK = "#1f2933";
const FAINT = "#9aa5b1";
const BAR = "#8fb8de";
const LINE = "#b4232a";
const PAPER = "#ffffff";

/** A viewer that knows no style sheets draws the light colours. */
const DARK: Readonly<Record<string, string>> = {
  [INK]: "#e4e8ec",
  [FAINT]: "#6b7683",
  [BAR]: "#5c9fe0",
  [LINE]: "#ff7b80",
  [PAPER]: "#14181c",
};
const DARK_RULES = Object.entries(DARK).map(
  ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
);

/** SVG text, 960 pixels wide, light or dark as the viewer is. Tokens on a logarithmic axis, the share of items upward. */
export function drawBudgets(picture: BudgetPicture): string {
  const { budgets, comparedWith, title = "Sizes and budgets", notes = [] } = picture;
  const sizes = histogramOf(picture.histogram);
  const all = [...sizes.map(({ tokens }) => tokens), ...budgets, ...(comparedWith?.budgets ?? [])];
  const least = Math.log2(Math.max(1, Math.min(...all))) - 0.15;
  const most = Math.log2(Math.max(2, ...all)) + 0.15;
  const position = (tokens: number): number => (Math.log2(tokens) - least) / (most - least);
  const x = (tokens: number): number => LEFT + position(tokens) * (WIDTH - LEFT - RIGHT);

  const labels = labelled(
    [...budgets].sort((a, b) => a - b),
    x,
  );
  const rows = 1 + Math.max(0, ...labels.map(({ row }) => row));
  const labelTop = 44 + notes.length * 16;
  const chartTop = labelTop + rows * LABEL_ROW_HEIGHT + 8;
  const axis = chartTop + CHART_HEIGHT;
  const columns = columnsOf(sizes, position);
  const tallest = Math.max(...columns.map(({ share }) => share));
  const y = (share: number): number => axis - (share / tallest) * (CHART_HEIGHT - 12);
  const columnWidth = (WIDTH - LEFT - RIGHT) / COLUMNS - 1;

  const body: string[] = [
    text(LEFT, 26, title, `font-size="17" font-weight="600"`),
    ...notes.map((note, row) => text(LEFT, 46 + row * 16, note, `font-size="12"`)),
    text(LEFT - 8, chartTop - 4, "items", `font-size="11" text-anchor="end"`),
    ...shareTicks(tallest).flatMap((share) => [
      line(LEFT, y(share), WIDTH - RIGHT, y(share), FAINT, `stroke-opacity="0.4"`),
      text(LEFT - 8, y(share) + 4, `${number(share * 100)} %`, `font-size="11" text-anchor="end"`),
    ]),
    ...columns.map(
      ({ share, center }) =>
        `<rect x="${number(LEFT + center * (WIDTH - LEFT - RIGHT) - columnWidth / 2)}" y="${number(y(share))}" ` +
        `width="${number(columnWidth)}" height="${number(axis - y(share))}" fill="${BAR}"/>`,
    ),
    line(LEFT, axis, WIDTH - RIGHT, axis, INK),
    ...labels.flatMap(({ tokens, at, row }) => {
      const labelY = labelTop + (rows - row) * LABEL_ROW_HEIGHT;
      return [
        line(at, labelY + 4, at, axis, LINE, `stroke-width="1.5"`),
        text(at, labelY, String(tokens), `font-size="11" text-anchor="middle" fill="${LINE}"`),
      ];
    }),
  ];
  let bottom = axis + 18;
  body.push(
    ...sizeTicks(least, most).map((tokens) =>
      text(x(tokens), bottom, String(tokens), `font-size="11" text-anchor="middle"`),
    ),
    ...sizeTicks(least, most).map((tokens) => line(x(tokens), axis, x(tokens), axis + 5, INK)),
  );
  if (comparedWith !== undefined) {
    bottom += 14;
    body.push(
      ...comparedWith.budgets.map((tokens) =>
        line(x(tokens), bottom - 6, x(tokens), bottom + 8, FAINT, `stroke-width="3"`),
      ),
    );
    bottom += 10;
  }
  bottom += 22;
  body.push(
    text(LEFT, bottom, "tokens of an item", `font-size="12"`),
    line(LEFT + 150, bottom - 4, LEFT + 172, bottom - 4, LINE, `stroke-width="1.5"`),
    text(LEFT + 178, bottom, "planned budget", `font-size="12"`),
  );
  if (comparedWith !== undefined) {
    body.push(
      line(LEFT + 300, bottom - 4, LEFT + 322, bottom - 4, FAINT, `stroke-width="3"`),
      text(LEFT + 328, bottom, comparedWith.name, `font-size="12"`),
    );
  }
  const height = bottom + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
      `font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" fill="${INK}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>@media (prefers-color-scheme:dark){${DARK_RULES.join("")}}</style>`,
    `<rect width="${WIDTH}" height="${height}" fill="${PAPER}"/>`,
    ...body,
    "</svg>",
    "",
  ].join("\n");
}

interface Column {
  readonly share: number;
  /** Mean position of its sizes, so that a column of one size stands on it and not beside it. */
  readonly center: number;
}

/** The columns of the logarithmic axis that have items. */
function columnsOf(sizes: readonly SizeCount[], position: (tokens: number) => number): Column[] {
  const total = sizes.reduce((sum, { weight }) => sum + weight, 0);
  const columns = new Map<number, { weight: number; moment: number }>();
  for (const { tokens, weight } of sizes) {
    const at = position(tokens);
    const key = Math.floor(at * COLUMNS);
    const column = columns.get(key) ?? { weight: 0, moment: 0 };
    column.weight += weight;
    column.moment += weight * at;
    columns.set(key, column);
  }
  return [...columns.values()].map(({ weight, moment }) => ({
    share: weight / total,
    center: moment / weight,
  }));
}

/** Each budget's place, and the lowest row of labels in which its own does not touch the one before. */
function labelled(
  budgets: readonly number[],
  x: (tokens: number) => number,
): { readonly tokens: number; readonly at: number; readonly row: number }[] {
  const rowEnds = new Array<number>(LABEL_ROWS).fill(Number.NEGATIVE_INFINITY);
  return budgets.map((tokens) => {
    const at = x(tokens);
    const free = rowEnds.findIndex((end) => at - LABEL_WIDTH / 2 >= end);
    // With every row taken, the row that is free soonest.
    const row = free >= 0 ? free : rowEnds.indexOf(Math.min(...rowEnds));
    rowEnds[row] = at + LABEL_WIDTH / 2;
    return { tokens, at, row };
  });
}

function sizeTicks(least: number, most: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.ceil(least); power <= most; power++) ticks.push(2 ** power);
  return ticks;
}

/** About four round shares up to the tallest column. */
function shareTicks(tallest: number): number[] {
  const rough = tallest / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((candidate) => candidate >= rough)!;
  const ticks: number[] = [];
  for (let tick = 1; tick * step <= tallest; tick++) ticks.push(tick * step);
  return ticks;
}

function line(x1: number, y1: number, x2: number, y2: number, color: string, more = ""): string {
  const ends = `x1="${number(x1)}" y1="${number(y1)}" x2="${number(x2)}" y2="${number(y2)}"`;
  return `<line ${ends} stroke="${color}"${more === "" ? "" : ` ${more}`}/>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${number(x)}" y="${number(y)}" ${attributes}>${escaped(content)}</text>`;
}

const number = (value: number): string => String(Math.round(value * 100) / 100);

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escaped = (content: string): string => content.replace(/[&<>"]/g, (character) => ESCAPES[character]!);
