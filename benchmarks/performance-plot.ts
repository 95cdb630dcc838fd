/**
 * The plot of docs/performance.md as SVG text: time against patches of single square images, for vitgraph and the peers.
 *
 * Both axes are logarithmic: images of 64 to 25 600 patches take from a millisecond to half a second. The same report gives the
 * same text.
 */
import {
  type PeerName,
  type PerformanceReport,
  peerTime,
  type Row,
  squareRows,
} from "./performance-report.js";

const WIDTH = 880;
const HEIGHT = 500;
const LEFT = 64;
/** Room for the names of the lines. */
const RIGHT = 190;
const TOP = 72;
const BOTTOM = 56;
/** Of text at 13 px. */
const LINE_HEIGHT = 17;
/** Beyond the least and the largest figure, as a factor: the ratios need room below the lowest line. */
const MARGIN = 1.4;

interface Curve {
  readonly title: string;
  /** The class of its colour. */
  readonly name: string;
  readonly points: readonly Point[];
}

interface Point {
  readonly patches: number;
  readonly ms: number;
}

const PEER_CURVES: readonly { readonly peer: PeerName; readonly title: string; readonly name: string }[] = [
  { peer: "transformers-eager", title: "transformers, eager", name: "eager" },
  { peer: "padded-graph-fa2", title: "padded graph, FA2", name: "padded" },
  { peer: "exact-graph-cudnn", title: "exact graph, cuDNN", name: "exact" },
];

/** Each line has its name beside it, and the colours differ in lightness, too. */
const COLOURS: Readonly<Record<string, { readonly light: string; readonly dark: string }>> = {
  vitgraph: { light: "#0b62c4", dark: "#58a6ff" },
  padded: { light: "#c2571a", dark: "#f0883e" },
  exact: { light: "#7b4fa3", dark: "#bc8cff" },
  eager: { light: "#7b8794", dark: "#8b949e" },
  ink: { light: "#1f2933", dark: "#e6edf3" },
  faint: { light: "#52606d", dark: "#9aa5b1" },
  grid: { light: "#d9e0e7", dark: "#2b333d" },
  paper: { light: "#ffffff", dark: "#0d1117" },
};

/** A viewer that knows no media queries draws the light colours. */
const STYLE = [
  "polyline{fill:none;stroke-width:1.75}polyline.vitgraph{stroke-width:3}.name{font-weight:600}",
  coloursOf("light"),
  `@media (prefers-color-scheme:dark){${coloursOf("dark")}}`,
].join("");

function coloursOf(scheme: "light" | "dark"): string {
  return Object.entries(COLOURS)
    .map(([name, { [scheme]: colour }]) => {
      const filled = ["text", "circle", "rect"].map((shape) => `${shape}.${name}`).join();
      return `${filled}{fill:${colour}}line.${name},polyline.${name}{stroke:${colour}}`;
    })
    .join("");
}

/** SVG text, 880 pixels wide, light or dark as the viewer is. */
export function drawPerformance(report: PerformanceReport): string {
  const rows = squareRows(report);
  const squares = rows.map(({ workload }) => workload);
  const curves = curvesOf(rows);
  const all = curves.flatMap(({ points }) => points);
  const x = logScale(
    all.map(({ patches }) => patches),
    [LEFT, WIDTH - RIGHT],
  );
  const y = logScale(
    all.map(({ ms }) => ms),
    [HEIGHT - BOTTOM, TOP],
  );
  const [axis, right] = [HEIGHT - BOTTOM, WIDTH - RIGHT];
  const title = `One square image: time on the GPU against patches (${report.machine.gpu}, bf16)`;
  const model = report.start.vitgraph.model.name;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" ` +
      `font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(LEFT, 26, title, `class="ink" font-size="16" font-weight="600"`),
    text(
      LEFT,
      46,
      `Tower of ${model}. Figures at the lower line: padded graph ÷ vitgraph. Both axes are logarithmic.`,
      `class="faint"`,
    ),
    ...ticksOf(all.map(({ ms }) => ms)).flatMap((ms) => [
      line(LEFT, y(ms), right, y(ms), "grid"),
      text(LEFT - 8, y(ms) + 4, `${ms}`, `class="faint" text-anchor="end"`),
    ]),
    text(LEFT - 8, TOP - 8, "ms", `class="faint" text-anchor="end"`),
    line(LEFT, axis, right, axis, "faint"),
    ...squares.flatMap(({ patches, sizes }) => [
      line(x(patches), axis, x(patches), axis + 5, "faint"),
      text(x(patches), axis + 20, String(patches), `class="faint" font-size="12" text-anchor="middle"`),
      text(x(patches), axis + 37, `${sizes[0]?.[0]}²`, `class="faint" font-size="12" text-anchor="middle"`),
    ]),
    text(right + 16, axis + 20, "patches", `class="faint" font-size="12"`),
    text(right + 16, axis + 37, "pixels", `class="faint" font-size="12"`),
    ...curves.flatMap(({ name, points }) => [
      `<polyline class="${name}" points="${points.map(({ patches, ms }) => `${number(x(patches))},${number(y(ms))}`).join(" ")}"/>`,
      ...points.map(
        ({ patches, ms }) =>
          `<circle class="${name}" cx="${number(x(patches))}" cy="${number(y(ms))}" r="${name === "vitgraph" ? 4 : 3}"/>`,
      ),
    ]),
    ...rows.flatMap((row) => {
      const ms = peerTime(row, "padded-graph-fa2")?.ms;
      if (ms === undefined) return [];
      const { patches, deviceMs } = row.workload;
      const ratio = `${(ms / deviceMs).toFixed(2)}×`;
      return [
        text(
          x(patches) + 16,
          y(deviceMs) + 18,
          ratio,
          `class="name vitgraph" font-size="12" text-anchor="middle"`,
        ),
      ];
    }),
    ...labelsOf(curves, y).map(({ curve, at }) =>
      text(right + 16, at + 4, curve.title, `class="name ${curve.name}"`),
    ),
    "</svg>",
    "",
  ].join("\n");
}

/** vitgraph last, so that it is drawn on top. A peer without a time at some size has no point there. */
function curvesOf(rows: readonly Row[]): readonly Curve[] {
  const peers = PEER_CURVES.map(({ peer, title, name }) => ({
    title,
    name,
    points: rows.flatMap((row) => {
      const ms = peerTime(row, peer)?.ms;
      return ms === undefined ? [] : [{ patches: row.workload.patches, ms }];
    }),
  }));
  const own = rows.map(({ workload: { patches, deviceMs } }) => ({ patches, ms: deviceMs }));
  return [
    ...peers.filter(({ points }) => points.length > 0),
    { title: "vitgraph", name: "vitgraph", points: own },
  ];
}

/** The curves' names from top to bottom, each where its curve reaches the right side, or below the name before it. */
function labelsOf(
  curves: readonly Curve[],
  y: (ms: number) => number,
): readonly { readonly curve: Curve; readonly at: number }[] {
  const labels: { readonly curve: Curve; readonly at: number }[] = [];
  const last = Math.max(...curves.flatMap(({ points }) => points.map(({ patches }) => patches)));
  const endOf = ({ points }: Curve) => y(continued(points, last));
  for (const curve of curves.toSorted((a, b) => endOf(a) - endOf(b))) {
    const above = labels.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
    labels.push({ curve, at: Math.max(endOf(curve), above + LINE_HEIGHT) });
  }
  return labels;
}

/** Milliseconds at `patches` on the line through the last two points, where the curve ends before. */
function continued(points: readonly Point[], patches: number): number {
  const [before, end] = points.slice(-2) as [Point, Point?];
  if (end === undefined) return before.ms;
  const slope = Math.log(end.ms / before.ms) / Math.log(end.patches / before.patches);
  return end.ms * (patches / end.patches) ** slope;
}

function logScale(
  values: readonly number[],
  [from, to]: readonly [from: number, to: number],
): (value: number) => number {
  const least = Math.log(Math.min(...values) / MARGIN);
  const most = Math.log(Math.max(...values) * MARGIN);
  return (value) => from + ((Math.log(value) - least) / (most - least)) * (to - from);
}

/** 1, 2, 5, 10, 20 … within the figures and their margin. */
function ticksOf(values: readonly number[]): readonly number[] {
  const [least, most] = [Math.min(...values) / MARGIN, Math.max(...values) * MARGIN];
  const ticks: number[] = [];
  for (let decade = 10 ** Math.floor(Math.log10(least)); decade <= most; decade *= 10) {
    ticks.push(...[1, 2, 5].map((factor) => factor * decade).filter((tick) => tick >= least && tick <= most));
  }
  return ticks;
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): string {
  return `<line class="${name}" x1="${number(x1)}" y1="${number(y1)}" x2="${number(x2)}" y2="${number(y2)}"/>`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${number(x)}" y="${number(y)}" ${attributes}>${escaped(content)}</text>`;
}

const number = (value: number): string => String(Math.round(value * 10) / 10);

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

const escaped = (content: string): string =>
  content.replace(/[&<>"]/g, (character) => ESCAPES[character] as string);
