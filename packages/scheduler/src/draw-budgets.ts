/**
 * Plots a budget plan as SVG text: the frequency of sizes, the sizes of each budget, and the padding of each budget. No
 * dependencies, and deterministic output.
 */
import type { SizeCount } from "./histogram.js";
import { histogramOf } from "./histogram.js";
import { type BudgetUse, reportBudgets } from "./plan-budgets.js";

/** The input of `drawBudgets`: a histogram of sizes, and the budgets to compare on it. */
export interface BudgetPicture {
  readonly histogram: Iterable<SizeCount | number>;
  /** The planned budgets: the sizes of each are shaded, and its padding is drawn below. */
  readonly budgets: readonly number[];
  /** Other budgets to compare with; their padding is drawn below the plan's. */
  readonly comparedWith?: { readonly name: string; readonly budgets: readonly number[] };
  /** The heading. Default: "Sizes and budgets". */
  readonly title?: string;
  /** Lines of small text below the heading. */
  readonly notes?: readonly string[];
  /** The unit that the histogram counts. Default: "item". */
  readonly counted?: "item" | "batch";
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
const STRIP_HEIGHT = 26;
/** Wide enough for "43.6 %" at 11 px. */
const SHARE_WIDTH = 42;

const INK = "#1f2933";
const FAINT = "#9aa5b1";
const BAR = "#3f7fbf";
const LINE = "#b4232a";
const PADDING = "#e8a33d";
/** Alternating backgrounds of the budgets' sizes. */
const SHADES = ["#e4ecf4", "#f5f8fb"] as const;
const PAPER = "#ffffff";

/** A viewer that knows no style sheets draws the light colours. */
const DARK: Readonly<Record<string, string>> = {
  [INK]: "#e4e8ec",
  [FAINT]: "#6b7683",
  [BAR]: "#5c9fe0",
  [LINE]: "#ff7b80",
  [PADDING]: "#c98a2f",
  [SHADES[0]]: "#222a33",
  [SHADES[1]]: "#1a2027",
  [PAPER]: "#14181c",
};
const DARK_RULES = Object.entries(DARK).map(
  ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
);

/**
 * SVG text, 960 pixels wide, light or dark as the viewer is. Tokens on a logarithmic axis, the share of items or batches
 * upward.
 */
export function drawBudgets(picture: BudgetPicture): string {
  const { comparedWith, title = "Sizes and budgets", notes = [], counted = "item" } = picture;
  const sizes = histogramOf(picture.histogram);
  const budgets = [...new Set(picture.budgets)].sort((a, b) => a - b);
  const all = [...sizes.map(({ tokens }) => tokens), ...budgets, ...(comparedWith?.budgets ?? [])];
  const least = Math.log2(Math.max(1, Math.min(...all))) - 0.15;
  const most = Math.log2(Math.max(2, ...all)) + 0.15;
  const position = (tokens: number): number => (Math.log2(tokens) - least) / (most - least);
  const x = (tokens: number): number => LEFT + position(tokens) * (WIDTH - LEFT - RIGHT);

  const labels = labelled(budgets, x);
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
    ...intervals(budgets, x).map(({ from, to }, index) =>
      rectangle(from, chartTop, to - from, CHART_HEIGHT, SHADES[index % 2] as string),
    ),
    text(
      LEFT - 8,
      chartTop - 4,
      counted === "item" ? "items" : "batches",
      `font-size="11" text-anchor="end"`,
    ),
    ...shareTicks(tallest).flatMap((share) => [
      line(LEFT, y(share), WIDTH - RIGHT, y(share), FAINT, `stroke-opacity="0.4"`),
      text(LEFT - 8, y(share) + 4, `${number(share * 100)} %`, `font-size="11" text-anchor="end"`),
    ]),
    // Drawn behind the columns, since a budget is often the most frequent size.
    ...labels.flatMap(({ tokens, at, row }) => {
      const labelY = labelTop + (rows - row) * LABEL_ROW_HEIGHT;
      return [
        line(at, labelY + 4, at, axis, LINE, `stroke-dasharray="3 3"`),
        text(at, labelY, String(tokens), `font-size="11" text-anchor="middle" fill="${LINE}"`),
      ];
    }),
    ...columns.map(({ share, center }) =>
      rectangle(
        LEFT + center * (WIDTH - LEFT - RIGHT) - columnWidth / 2,
        y(share),
        columnWidth,
        axis - y(share),
        BAR,
      ),
    ),
    line(LEFT, axis, WIDTH - RIGHT, axis, INK),
    ...sizeTicks(least, most).flatMap((tokens) => [
      line(x(tokens), axis, x(tokens), axis + 5, INK),
      text(x(tokens), axis + 18, String(tokens), `font-size="11" text-anchor="middle"`),
    ]),
    text(LEFT, axis + 36, `tokens of ${counted === "item" ? "an item" : "a batch"}`, `font-size="12"`),
  ];
  let bottom = axis + 36;
  const plans = [{ name: "planned", budgets }, ...(comparedWith === undefined ? [] : [comparedWith])];
  for (const plan of plans) {
    const { byBudget } = reportBudgets(sizes, plan.budgets);
    const caption = `padding by budget, ${plan.name}`;
    body.push(text(LEFT, bottom + 24, caption, `font-size="12"`), ...paddingStrip(byBudget, x, bottom + 32));
    bottom += 32 + STRIP_HEIGHT;
  }
  bottom += 26;
  body.push(
    rectangle(LEFT, bottom - 10, 22, 12, SHADES[0] as string),
    text(LEFT + 28, bottom, "sizes of one budget", `font-size="12"`),
    line(LEFT + 170, bottom - 4, LEFT + 192, bottom - 4, LINE, `stroke-dasharray="3 3"`),
    text(LEFT + 198, bottom, "planned budget", `font-size="12"`),
    rectangle(LEFT + 310, bottom - 10, 22, 12, PADDING),
    text(LEFT + 338, bottom, "padding, as a share of the budget's tokens", `font-size="12"`),
  );
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

/** For each of the ascending budgets, the interval of its sizes on the axis. */
function intervals(
  budgets: readonly number[],
  x: (tokens: number) => number,
): { readonly from: number; readonly to: number }[] {
  return budgets.map((budget, index) => ({
    from: index === 0 ? LEFT : x(budgets[index - 1] as number),
    to: x(budget),
  }));
}

/** A box for each budget below its sizes, filled from the bottom by its share of padding. */
function paddingStrip(uses: readonly BudgetUse[], x: (tokens: number) => number, top: number): string[] {
  const boxes = intervals(
    uses.map(({ budget }) => budget),
    x,
  );
  return boxes.flatMap(({ from, to }, index) => {
    const { share, padding } = uses[index] as BudgetUse;
    const width = to - from;
    const filled = padding * STRIP_HEIGHT;
    const isLabelled = share > 0 && width >= SHARE_WIDTH;
    const shade = SHADES[index % 2] as string;
    // The edge of the filling may cross the label.
    const outline = `stroke="${shade}" stroke-width="3" stroke-linejoin="round" paint-order="stroke"`;
    return [
      rectangle(from, top, width, STRIP_HEIGHT, shade, ` stroke="${FAINT}"`),
      rectangle(from, top + STRIP_HEIGHT - filled, width, filled, PADDING),
      ...(isLabelled
        ? [
            text(
              from + width / 2,
              top + 17,
              percent(padding),
              `font-size="11" text-anchor="middle" ${outline}`,
            ),
          ]
        : []),
    ];
  });
}

interface Column {
  readonly share: number;
  /** Mean position of its sizes, so that a column of one size is drawn at that size. */
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

/** Each budget's position, and the lowest row in which its label does not overlap the previous one. */
function labelled(
  budgets: readonly number[],
  x: (tokens: number) => number,
): { readonly tokens: number; readonly at: number; readonly row: number }[] {
  const rowEnds = new Array<number>(LABEL_ROWS).fill(Number.NEGATIVE_INFINITY);
  return budgets.map((tokens) => {
    const at = x(tokens);
    const free = rowEnds.findIndex((end) => at - LABEL_WIDTH / 2 >= end);
    // If every row is taken, the row that is free soonest.
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

function rectangle(x: number, y: number, width: number, height: number, fill: string, more = ""): string {
  const box = `x="${number(x)}" y="${number(y)}" width="${number(width)}" height="${number(height)}"`;
  return `<rect ${box} fill="${fill}"${more}/>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${number(x)}" y="${number(y)}" ${attributes}>${escaped(content)}</text>`;
}

const percent = (share: number): string => `${number(Math.round(share * 1000) / 10)} %`;

const number = (value: number): string => String(Math.round(value * 100) / 100);

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escaped = (content: string): string => content.replace(/[&<>"]/g, (character) => ESCAPES[character]!);
