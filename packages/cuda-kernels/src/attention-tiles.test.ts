/** How the CUDA backend cuts attention into tiles: native/kernels/common/attention_tiles.cc, which needs a C++ compiler and no GPU. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

interface Case {
  readonly tallest: number;
  readonly shortest: number;
  readonly heads: number;
  readonly multiprocessors: number;
  readonly lengths: readonly number[];
}

interface Table {
  readonly capacity: number;
  readonly strips: readonly {
    start: number;
    length: number;
    firstRow: number;
    tileRows: number;
    tiles: number;
  }[];
  readonly items: readonly { start: number; length: number; firstRow: number; rows: number; head: number }[];
}

const native = fileURLToPath(new URL("../native", import.meta.url));
const source = fileURLToPath(new URL("../dev/attention_tiles.cc", import.meta.url));
const compiler = [process.env.CXX, "c++", "g++", "clang++"].find(
  (name) => name && spawnSync(name, ["--version"]).status === 0,
);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vitgraph-tiles-"));
  if (compiler === undefined) return;
  const sources = [source, join(native, "kernels/common/attention_tiles.cc")];
  const flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", `-I${native}`, "-o", join(folder, "tiles")];
  const { status, stderr } = spawnSync(compiler, [...flags, ...sources], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

function tablesOf(cases: readonly Case[]): Table[] {
  const input = cases
    .map((c) => [c.tallest, c.shortest, c.heads, c.multiprocessors, ...c.lengths].join(" "))
    .join("\n");
  const { status, stdout } = spawnSync(join(folder, "tiles"), {
    encoding: "utf8",
    input,
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`the tiler ended with ${status}`);
  const groups = (text: string) =>
    text.split(";").flatMap((group) => (group === "" ? [] : [group.split(" ").map(Number)]));
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [strips = "", items = ""] = line.slice(line.indexOf(" ") + 1).split("|");
      return {
        capacity: Number.parseInt(line, 10),
        strips: groups(strips).map(([start = 0, length = 0, firstRow = 0, tileRows = 0, tiles = 0]) => ({
          start,
          length,
          firstRow,
          tileRows,
          tiles,
        })),
        items: groups(items).map(([start = 0, length = 0, firstRow = 0, rows = 0, head = 0]) => ({
          start,
          length,
          firstRow,
          rows,
          head,
        })),
      };
    });
}

/** "2x192 1x128" for each segment of a table, the strips in the table's order. */
const cutsOf = ({ strips }: Table) =>
  strips.map(({ length, firstRow, tileRows, tiles }) => `${length}+${firstRow}: ${tiles}x${tileRows}`);

const hopper = { tallest: 192, shortest: 64, heads: 16, multiprocessors: 132 };

describe.runIf(compiler !== undefined)("attention tiles", () => {
  test("every row of every head is in one item, within the table's capacity and the kernel's heights", () => {
    const anyCase = fc.record({
      heights: fc.constantFrom(
        { tallest: 192, shortest: 64 },
        { tallest: 128, shortest: 64 },
        { tallest: 192, shortest: 192 },
        { tallest: 128, shortest: 128 },
        { tallest: 64, shortest: 64 },
      ),
      heads: fc.integer({ min: 1, max: 5 }),
      multiprocessors: fc.integer({ min: 1, max: 132 }),
      lengths: fc.array(
        fc.oneof(fc.nat(3), fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 3000 })),
        {
          maxLength: 12,
        },
      ),
    });
    const cases = fc.sample(anyCase, 200).map(({ heights, ...rest }) => ({ ...rest, ...heights }));
    for (const [i, table] of tablesOf(cases).entries()) {
      const { tallest, shortest, heads, lengths } = cases[i] as Case;
      const total = lengths.reduce((sum, length) => sum + length, 0);
      const seen = new Uint8Array(total * heads);
      for (const item of table.items) {
        for (let row = 0; row < item.rows; row += 1) {
          const at = (item.start + item.firstRow + row) * heads + item.head;
          seen[at] = (seen[at] ?? 0) + 1;
        }
      }
      expect(seen.every((times) => times === 1)).toBe(true);
      const starts = new Map<number, number>();
      let start = 0;
      for (const length of lengths) {
        if (length > 0) starts.set(start, length);
        start += length;
      }
      let tiles = 0;
      for (const strip of table.strips) {
        expect(starts.get(strip.start)).toBe(strip.length);
        expect(strip.tileRows % 64).toBe(0);
        expect(strip.tileRows).toBeGreaterThanOrEqual(shortest);
        expect(strip.tileRows).toBeLessThanOrEqual(tallest);
        tiles += strip.tiles;
      }
      expect(tiles * heads).toBe(table.items.length);
      expect(tiles).toBeLessThanOrEqual(table.capacity);
    }
  });

  test("the tallest tiles that leave no multiprocessor idle", () => {
    const lengths = [[196], [784], [1200], [2304], [4096], [16384]];
    expect(tablesOf(lengths.map((each) => ({ ...hopper, lengths: each }))).map(cutsOf)).toEqual([
      ["196+0: 4x64"],
      ["784+0: 7x128"],
      ["1200+0: 5x192", "1200+960: 2x128"],
      ["2304+0: 8x192", "2304+1536: 6x128"],
      ["4096+0: 16x192", "4096+3072: 8x128"],
      ["16384+0: 82x192", "16384+15744: 5x128"],
    ]);
  });

  test("segments shorter than a tile have tiles as short as they are", () => {
    const [table] = tablesOf([{ ...hopper, lengths: [64, 100, 3072, 0, 1, 130] }]);
    expect(cutsOf(table as Table).slice(-4)).toEqual([
      "130+0: 1x192",
      "100+0: 1x128",
      "64+0: 1x64",
      "1+0: 1x64",
    ]);
  });

  test("a kernel of one height gets tiles of that height", () => {
    const [table] = tablesOf([{ ...hopper, tallest: 128, shortest: 128, lengths: [64, 4096, 440] }]);
    expect(cutsOf(table as Table)).toEqual(["4096+0: 32x128", "440+0: 4x128", "64+0: 1x128"]);
  });

  test("long segments start first in all heads, and short items end the run", () => {
    const lengths = [196, 784, 3072, 784, 1536, ...Array<number>(40).fill(440)];
    const [table] = tablesOf([{ ...hopper, lengths }]);
    const items = (table as Table).items;
    const last = 3 * hopper.multiprocessors;
    const keys = items.slice(0, -last).map(({ length }) => length);
    expect(keys).toEqual(keys.toSorted((a, b) => b - a));
    expect(items.slice(0, 256).every(({ length }) => length === 3072)).toBe(true);
    expect(items.slice(-16).every(({ length }) => length === 196)).toBe(true);
  });

  test("tiles of a head follow each other, so that they share its keys and values", () => {
    const [table] = tablesOf([{ ...hopper, heads: 2, lengths: [1152] }]);
    expect((table as Table).items.map(({ head, firstRow }) => [head, firstRow])).toEqual(
      [0, 1].flatMap((head) => Array.from({ length: 18 }, (_, tile) => [head, tile * 64])),
    );
  });

  test("no segments, no tiles", () => {
    const tables = tablesOf([
      { ...hopper, lengths: [] },
      { ...hopper, lengths: [0, 0] },
    ]);
    expect(tables.map(({ items }) => items)).toEqual([[], []]);
  });
});
